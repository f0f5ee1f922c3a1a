"""The shortened models that users load, by what they are for."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import QuestionAnsweringModelOutput
from transformers.models.auto import modeling_auto

from ..captured.model import NotCaptured, tried
from ..encoder.family import ANSWERS, CHOOSES, CLASSIFIES, EMBEDS, HEARS, SEES, SPELLS, TAGS
from ..native.saved import native_of
from ..store.retention_file import read as read_retention
from .model_dir import RETENTION, load_host
from .shipped import ShippedModel
from .weights import ModelError


class PowerBertForSequenceClassification(ShippedModel):
    """A shortened sequence classifier, e.g. for transformers' pipeline("text-classification", model=…, tokenizer=…)."""

    _purpose = CLASSIFIES


class PowerBertForMultipleChoice(ShippedModel):
    """A shortened multiple-choice model."""

    _purpose = CHOOSES


class PowerBertForTokenClassification(ShippedModel):
    """A shortened tagger, e.g. for transformers' pipeline("token-classification", model=…, tokenizer=…).

    A word-vector that was dropped gets the tag that its state then has, see `encoder.restoring`.
    """

    _purpose = TAGS


class PowerBertForQuestionAnswering(ShippedModel):
    """A shortened model that finds an answer's start and end in a text; dropped word-vectors as in a tagger."""

    _purpose = ANSWERS

    def forward(  # type: ignore[override]
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> QuestionAnsweringModelOutput | tuple[Any, ...]:
        """Logits of start and end (B, N) each, and the loss if both positions (B,) are given.

        A position beyond the input has no part in the loss.

        Raises:
            ValueError: one position without the other, or labels; and as the classifiers.
        """
        if others.get("labels") is not None or (start_positions is None) != (end_positions is None):
            raise ValueError("an answer's labels are start_positions and end_positions; give both")
        given = (start_positions, end_positions)
        labels = torch.stack(given, dim=-1) if start_positions is not None else None  # type: ignore[arg-type]
        found: Any = super().forward(
            input_ids, attention_mask, token_type_ids, labels, output_hidden_states, True, **others
        )
        (start, end), loss = found.logits.unbind(dim=-1), found.loss
        output = QuestionAnsweringModelOutput(
            loss=loss, start_logits=start, end_logits=end, hidden_states=found.hidden_states
        )
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()


class PowerBertForEmbedding(ShippedModel):
    """A shortened model whose logits (B, D) are the texts' vectors; see also `SentenceTransformer(folder)`."""

    _purpose = EMBEDS


class PowerBertForImageClassification(ShippedModel):
    """A shortened classifier of pictures, e.g. for pipeline("image-classification", model=…, image_processor=…)."""

    _purpose = SEES

    def forward(self, pixel_values: Any = None, labels: Any = None, **others: Any) -> Any:  # type: ignore[override]
        """Logits (B, C) of pictures (B, channels, height, width), as the directory's image processor makes them."""
        return super().forward(pixel_values=pixel_values, labels=labels, **others)


class _HearingModel(ShippedModel):
    def forward(  # type: ignore[override]
        self, input_values: Any = None, attention_mask: Any = None, labels: Any = None, **others: Any
    ) -> Any:
        """Logits of sound (B, samples), as the processor of the directory makes it.

        Args:
            attention_mask: (B, samples), of padding on the right.
        """
        return super().forward(input_values=input_values, attention_mask=attention_mask, labels=labels, **others)


class PowerBertForAudioClassification(_HearingModel):
    """A shortened classifier of sound, with logits (B, C)."""

    _purpose = HEARS


class PowerBertForCTC(_HearingModel):
    """A shortened model that spells what is said, with logits (B, frames, letters); frames of padding say blank.

    A frame that was dropped says what its state then says, see `encoder.restoring`.
    """

    _purpose = SPELLS


# A pipeline looks a model's class up by name in these tables, and has no other way to be told of one.
modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES["powerbert"] = PowerBertForSequenceClassification.__name__
modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES["powerbert"] = PowerBertForTokenClassification.__name__
modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES["powerbert"] = PowerBertForImageClassification.__name__
modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES["powerbert"] = PowerBertForAudioClassification.__name__
modeling_auto.MODEL_FOR_CTC_MAPPING_NAMES["powerbert"] = PowerBertForCTC.__name__


def load_shortened(folder: str | Path, engine: str = "eager") -> Any:
    """The shortened model of a directory on this machine, of any kind, in float32; see `from_pretrained`.

    Call it with what the directory's tokenizer gives (input_ids, attention_mask, token_type_ids), at most `seq_len`
    word-pieces long.

    Args:
        engine: eager for one of the PowerBertFor… classes, which PyTorch runs;
            native for a `NativeModel`, which answers faster on a CPU and does nothing else; in the precision that
            `powerbert export engine=native` gave the directory, else in float32; captured for a `CapturedModel`, which
            does so on a GPU, in bfloat16: its `warm_up` records passes before they are needed.

    Raises:
        ModelError: another engine.
        NotNative, NoLibrary, NotCaptured: the engine does not run this model, or not here.
    """
    if engine not in ("eager", "native", "captured"):
        raise ModelError(f"engine={engine} is none of eager, native, captured; bench and predict have more")
    if engine == "captured" and not torch.cuda.is_available():
        raise NotCaptured("engine=captured runs on a GPU only, and PyTorch finds none")
    read_retention(Path(folder) / RETENTION)  # before the weights
    host = load_host(str(folder), local_files_only=True)
    model = ShippedModel.for_config(host.config)._made(str(folder), host, {"local_files_only": True})
    if engine == "captured":
        return tried(model.to("cuda", torch.bfloat16))
    return native_of(model, Path(folder)) if engine == "native" else model
