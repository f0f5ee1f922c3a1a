"""What kinds of tasks about clips of sound have in common.

Legend: B inputs, T samples.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .kind import Row
from .media import OfFiles, name_of, taught
from .sounds import samples_at, sound_of


class Hearing(OfFiles):
    """Rows hold the file of a clip; samples are made of it batch by batch. ℓ counts frames of the model."""

    PROCESSOR = "feature_extractor"
    MEDIUM = "audio"
    ARE = "clips"
    UNIT = "frames"
    KNOWN = (["audio"], ["file_name"], ["file"], ["path"], ["wav"], ["sound"], ["clip"])

    def features(self, texts: Sequence[str]) -> Row:
        return {self.MEDIUM: "binary", "file": "string"}

    def inputs(self, row: Row, texts: Sequence[str]) -> Row:
        value = row.get(texts[0])
        return {self.MEDIUM: sound_of(value, texts[0]), "file": name_of(value)}

    def encode(self, batch: dict[str, list[Any]], processor: Any, seq_len: int | None) -> dict[str, list[Any]]:
        """Files as they are, with the samples and frames that the model is given of each, and what the file has.

        A clip of more than ℓ frames is cut.
        """
        found: dict[str, list[Any]] = {name: [] for name in (self.MEDIUM, "samples", "length", "rate", "channels")}
        for content in batch[self.MEDIUM]:
            clip = processor.clip(content)
            samples = samples_at(len(clip.values), clip.rate, processor.rate)
            frames = processor.frames(samples)
            if seq_len is not None and frames > seq_len:
                samples, frames = processor.samples_for(seq_len), seq_len
            for name, value in zip(found, (content, samples, frames, clip.rate, clip.channels), strict=True):
                found[name].append(value)
        if "label" in batch:
            found["labels"] = batch["label"]
        return found

    def about(self, tokens: Any, processor: Any) -> str | None:
        """What is made of the encoded clips, where they are not as the model hears them."""
        rates, channels = (np.asarray(tokens[name][:]) for name in ("rate", "channels"))
        others, mixed = np.unique(rates[rates != processor.rate]), int((channels > 1).sum())
        said = []
        if len(others):
            count, listed = int((rates != processor.rate).sum()), ", ".join(map(str, others[:5]))
            said.append(f"{count} are resampled to {processor.rate} Hz (from {listed} Hz)")
        if mixed:
            said.append(f"{mixed} of several channels are mixed to one")
        return f"of {len(rates)} clips {' and '.join(said)}" if said else None

    def lasts(self, length: int, processor: Any) -> str:
        seconds = processor.samples_for(length) / processor.rate
        return f" ({seconds:.1f} s)" if seconds >= 1 else f" ({seconds:.2f} s)"

    def collator(self, processor: Any, **padding: Any) -> Callable[[list[Row]], Any]:
        """Encoded rows → input_values (B, T) float32, attention_mask (B, T) where the model takes one, labels.

        And what a teacher says of them. All are padded to `frames` where these are given.
        """

        def collate(rows: list[Row], frames: int | None = None) -> dict[str, Any]:
            import torch

            given = [row[self.MEDIUM] for row in rows], [row["samples"] for row in rows]
            found = processor(*given, frames=frames or padding.get("max_length"))
            if "labels" in rows[0]:
                found["labels"] = torch.tensor(self.batched([row["labels"] for row in rows], 0))
            return found | taught(rows)

        return collate
