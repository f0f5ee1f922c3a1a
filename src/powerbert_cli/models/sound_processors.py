"""Feature extractors of sound, alone or beside the letters of a model that spells (CTC)."""

import functools
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from torch import Tensor
from transformers.utils import cached_file

from ..encoder.families import takes_of, usable_positions
from ..encoder.family import SOUND, SPELLS
from ..encoder.sound_hosts import convolutions_of, samples_for
from ..kinds.sounds import Clip, decoded, resampled
from ..kinds.spelling import BOUNDARY, Spelling, letters_in
from ..settings import ModelSettings
from .origin import source_of, unreachable
from .processing import Processing
from .weights import ModelError

_RATE = 16000  # of a feature extractor that is made
_PAD, _UNKNOWN = "<pad>", "<unk>"
_CTC = {"ctc_loss_reduction": "mean", "ctc_zero_infinity": True}  # the loss is a mean over inputs


class Sounds:
    """What makes the inputs of one model of sound.

    Args:
        extractor: transformers'.
        tokenizer: the letters of a model that spells; else None.
        convolutions: kernel and stride of each, by which samples become frames.
    """

    model_input_names = ("input_values", "attention_mask")

    def __init__(self, extractor: Any, tokenizer: Any = None, convolutions: Sequence[tuple[int, int]] = ()) -> None:
        self.extractor, self.tokenizer, self.convolutions = extractor, tokenizer, tuple(convolutions)
        self.rate: int = extractor.sampling_rate

    def clip(self, content: bytes) -> Clip:
        """
        Raises:
            RowError: the file cannot be read.
        """
        return decoded(content)

    def frames(self, samples: int) -> int:
        """That the model makes of so many samples; of fewer than a frame has, which are filled up, one."""
        for kernel, stride in self.convolutions:
            samples = max(samples - kernel, 0) // stride + 1
        return samples

    def samples_for(self, frames: int) -> int:
        """The fewest samples that become so many frames."""
        return samples_for(self.convolutions, frames)

    def __call__(
        self, contents: Sequence[bytes], samples: Sequence[int], frames: int | None = None
    ) -> dict[str, Tensor]:
        """input_values (B, T) float32 and, where the model takes it, attention_mask (B, T).

        Args:
            contents: files, as `kinds.sounds` has them. samples: that are taken of each, at the model's rate.
            frames: that all are padded to; None for those of the longest.

        Raises:
            RowError: a file cannot be read.
        """
        clips = [self._values(content, count) for content, count in zip(contents, samples, strict=True)]
        how: dict[str, Any] = {"padding": True}
        if frames is not None:
            how = {"padding": "max_length", "max_length": self.samples_for(frames + 1) - 1}
        found = dict(self.extractor(clips, sampling_rate=self.rate, return_tensors="pt", **how))
        if "attention_mask" in found:
            found["attention_mask"] = found["attention_mask"].long()  # as engines' files take it
        return found

    def _values(self, content: bytes, samples: int) -> np.ndarray:
        clip = self.clip(content)
        values = resampled(clip.values, clip.rate, self.rate)[:samples]
        return np.pad(values, (0, max(0, self.samples_for(1) - len(values))))

    @functools.cached_property
    def spelling(self) -> Spelling:
        """The letters of a model that spells."""
        own = self.tokenizer
        letters = tuple(own.convert_ids_to_tokens(list(range(len(own)))))
        space = own.word_delimiter_token_id if own.word_delimiter_token in letters else None
        ends = (getattr(own, f"{name}_token_id", None) for name in ("bos", "eos"))
        silent = tuple(sorted({one for one in ends if one is not None and one != own.pad_token_id}))
        return Spelling(letters, own.pad_token_id, space, own.unk_token_id, silent)

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        self.extractor.save_pretrained(folder, **options)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder, **options)


class FeatureExtractors(Processing):
    """Of models that hear, and do not spell."""

    def load(self, name: str, way_out: str, trust_remote_code: bool = False) -> Sounds:
        from transformers import AutoFeatureExtractor, Wav2Vec2FeatureExtractor

        try:
            found = AutoFeatureExtractor.from_pretrained(source_of(name), trust_remote_code=trust_remote_code)
        except (OSError, ValueError) as error:
            if Path(name).expanduser().is_dir():
                raise ModelError(f"{name}: has no feature extractor (preprocessor_config.json); {way_out}") from error
            raise unreachable(name, "its feature extractor", error) from error
        if not isinstance(found, Wav2Vec2FeatureExtractor):
            raise ModelError(
                f"{name}: its feature extractor, {type(found).__name__}, does not give samples as Wav2Vec2 and HuBERT "
                "take them; give one of these models"
            )
        return Sounds(found)

    def check_takes(self, config: Any, name: str) -> None:
        if takes_of(config) != SOUND:
            raise ModelError(
                f"{name}: a model of type {config.model_type} takes no sound; set model=wav2vec2-tiny, or "
                "model.name_or_path to a Wav2Vec2 or HuBERT"
            )

    def fit(self, processor: Sounds, config: Any, name: str) -> Sounds:
        self.check_takes(config, name)
        return Sounds(processor.extractor, processor.tokenizer, convolutions_of(config))

    def made(self, rows: datasets.Dataset, model: ModelSettings, config: Any) -> Sounds:
        from transformers import Wav2Vec2FeatureExtractor

        masks = config.feat_extract_norm == "layer"  # the other norm is over all samples of a batch's row, with padding
        made = Wav2Vec2FeatureExtractor(sampling_rate=_RATE, do_normalize=True, return_attention_mask=masks)
        return Sounds(made, None, convolutions_of(config))

    def entries(self, processor: Sounds, model: ModelSettings) -> dict[str, Any]:
        return {}

    def decides(self, processor: Sounds) -> Any:
        content = {
            name: value
            for name, value in processor.extractor.to_dict().items()
            if isinstance(value, bool | int | float | str)
            and not name.endswith("_class")
            and name != "feature_extractor_type"
        }
        letters = None if processor.tokenizer is None else processor.spelling.written
        return [content, letters, list(map(list, processor.convolutions))]

    def most(self, processor: Sounds, config: Any) -> int:
        return usable_positions(config)


class SpeechProcessors(FeatureExtractors):
    """Of models that spell: letters are the model's own, or those of the training transcripts."""

    def load(self, name: str, way_out: str, trust_remote_code: bool = False) -> Sounds:
        return Sounds(super().load(name, way_out, trust_remote_code).extractor, _letters_of(name))

    def completed(self, processor: Sounds, rows: Callable[[], Any]) -> Sounds:
        return processor if processor.tokenizer is not None else Sounds(processor.extractor, _made_of(rows()))

    def check(self, processor: Sounds, config: Any, name: str) -> None:
        spells = any(one.endswith(SPELLS) for one in config.architectures or ())
        if spells and len(processor.tokenizer) != config.vocab_size:
            raise ModelError(
                f"{name}: has {len(processor.tokenizer)} letters, the model {config.vocab_size}; they do not belong "
                "together"
            )

    def fit(self, processor: Sounds, config: Any, name: str) -> Sounds:
        """
        Raises:
            ModelError: it has no letters.
        """
        if processor.tokenizer is None:
            raise ModelError(f"{name}: has no letters (vocab.json, tokenizer_config.json); copy them beside the model")
        return super().fit(processor, config, name)

    def made(self, rows: datasets.Dataset, model: ModelSettings, config: Any) -> Sounds:
        found = super().made(rows, model, config)
        return Sounds(found.extractor, _made_of(rows), found.convolutions)

    def entries(self, processor: Sounds, model: ModelSettings) -> dict[str, Any]:
        return {"vocab_size": len(processor.tokenizer), "pad_token_id": processor.tokenizer.pad_token_id, **_CTC}


def _letters_of(name: str) -> Any:
    """The tokenizer beside a model; None if there is none.

    Raises:
        ModelError: it is not one of letters.
    """
    from transformers import AutoTokenizer, Wav2Vec2CTCTokenizer

    source = source_of(name)
    options: Any = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    if cached_file(source, "vocab.json", **options) is None:
        return None
    try:
        found = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise unreachable(name, "its letters", error) from error
    if not isinstance(found, Wav2Vec2CTCTokenizer):
        raise ModelError(f"{name}: its tokenizer, {type(found).__name__}, is none of letters (Wav2Vec2CTCTokenizer)")
    return found


def _made_of(rows: datasets.Dataset) -> Any:
    """Letters of the training transcripts: a blank, one for what is missing, the word boundary, and theirs."""
    from transformers import Wav2Vec2CTCTokenizer

    letters = [_PAD, _UNKNOWN, BOUNDARY, *letters_in(rows["label"][:])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.json"
        path.write_text(json.dumps({letter: i for i, letter in enumerate(letters)}), encoding="utf-8")
        return Wav2Vec2CTCTokenizer(
            str(path), bos_token=None, eos_token=None, unk_token=_UNKNOWN, pad_token=_PAD, word_delimiter_token=BOUNDARY
        )
