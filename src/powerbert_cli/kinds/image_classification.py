"""One of several classes for each picture."""

from collections.abc import Callable, Sequence
from typing import Any

from .classification import Classification
from .kind import Row
from .media import OfFiles, taught
from .pictures import picture_of


class ImageClassification(OfFiles, Classification):
    """Rows hold the file of a picture; pixels are made of it batch by batch.

    Each input has as many word-vectors: [CLS] and others of the model's own, and one for each patch.
    """

    NAME = "image_classification"
    ABOUT = "one of several classes, of a picture"
    HEAD = "ForImageClassification"
    PIPELINE = "image-classification"
    PROCESSOR = "image_processor"
    MEDIUM = "image"
    ARE = "pictures"
    CUTS = False
    TASK = "image"
    GENERATED = ("size",)
    KNOWN = (["image"], ["img"], ["picture"], ["pixel_values"], ["path"], ["file"], ["file_name"])

    def features(self, texts: Sequence[str]) -> Row:
        return {self.MEDIUM: "binary"}

    def inputs(self, row: Row, texts: Sequence[str]) -> Row:
        return {self.MEDIUM: picture_of(row.get(texts[0]), texts[0])}

    def encode(self, batch: dict[str, list[Any]], processor: Any, seq_len: int | None) -> dict[str, list[Any]]:
        """Pictures as they are, each of the model's one length; seq_len cuts nothing."""
        pictures = batch[self.MEDIUM]
        labels = {"labels": batch["label"]} if "label" in batch else {}
        return {self.MEDIUM: pictures, "length": [processor.length] * len(pictures), **labels}

    def collator(self, processor: Any, **padding: Any) -> Callable[[list[Row]], Any]:
        """Encoded rows → pixel_values (B, C, H, W) float32, labels, and a teacher's answers."""

        def collate(rows: list[Row]) -> dict[str, Any]:
            import torch

            found = {"pixel_values": processor([row[self.MEDIUM] for row in rows]), **taught(rows)}
            return found | ({"labels": torch.tensor([row["labels"] for row in rows])} if "labels" in rows[0] else {})

        return collate
