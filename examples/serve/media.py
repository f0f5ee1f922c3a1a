"""Answers pictures or clips of sound over HTTP with a directory that `powerbert export` wrote (native, onnx, openvino).

A request is the file; all else is as in server.py, which has to stand beside this file.

MODEL=EXPORTED python media.py --port 8000
curl localhost:8000/inference --data-binary @picture.png
curl localhost:8000/inference --data-binary @clip.wav
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from mosec import Server, Worker
from mosec.errors import ValidationError
from server import Classifier, serve

from powerbert_cli.kinds import pictures, sounds
from powerbert_cli.kinds.values import RowError

FOLDER = Path(os.environ["MODEL"])
if not (FOLDER / "preprocessor_config.json").is_file():
    raise SystemExit(f"MODEL={FOLDER} is no model of pictures or of sound; server.py serves those of texts")
CONFIG = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
RATE = json.loads((FOLDER / "preprocessor_config.json").read_text(encoding="utf-8")).get("sampling_rate")
LONGEST = json.loads((FOLDER / "export.json").read_text(encoding="utf-8"))["seq_len"]
PIXELS = 2**25  # of a picture; a file of 20 kB can hold five times as many, which take 1 GB


def samples_for(frames: int) -> int:
    """The fewest samples of which the model's convolutions make so many frames."""
    for kernel, stride in reversed(list(zip(CONFIG["conv_kernel"], CONFIG["conv_stride"], strict=True))):
        frames = (frames - 1) * stride + kernel
    return frames


class FileReader(Worker):
    """Reads files one by one, so that a wrong one is answered to its sender alone, with status 422.

    How large it is once it is decoded is known before that: a small file can hold more than the memory does.
    """

    def __init__(self) -> None:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = PIXELS // 2  # PIL warns of more, and refuses twice as many

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> Any:
        try:
            return self._clip(data) if RATE else pictures.decoded(data, CONFIG.get("num_channels", 3))
        except RowError as error:
            raise ValidationError(f"what was sent {error}") from error

    def _clip(self, data: bytes) -> np.ndarray:
        fewest, most = samples_for(1), samples_for(LONGEST + 1) - 1
        clip = sounds.decoded(data, (most + 1) / RATE)
        if not fewest <= sounds.samples_at(len(clip.values), clip.rate, RATE) <= most:
            seconds = len(clip.values) / clip.rate
            raise ValidationError(f"a clip of {seconds:.3f} s; send one of {fewest / RATE:.3f} to {most / RATE:.3f} s")
        return sounds.resampled(clip.values, clip.rate, RATE)


class MediaClassifier(Classifier):
    """Answers what waits in one batch."""

    def read_with(self, folder: Path) -> list[str]:
        from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoTokenizer

        if RATE:
            self.extractor = AutoFeatureExtractor.from_pretrained(folder)
            self.letters = AutoTokenizer.from_pretrained(folder) if (folder / "vocab.json").is_file() else None
            return ["input_values", "attention_mask"]
        self.processor, self.letters = AutoImageProcessor.from_pretrained(folder, backend="pil"), None
        return ["pixel_values"]

    def forward(self, data: list[Any]) -> list[dict[str, Any]]:
        return [self.answer(row) for row in self.rows(data)]

    def rows(self, few: list[Any]) -> np.ndarray:
        if not RATE:
            batch = self.processor(images=few, return_tensors="np")
            return np.asarray(self.logits({"pixel_values": batch["pixel_values"]}), np.float64)
        masks = CONFIG["feat_extract_norm"] == "layer"  # a model of the other norm takes padding for silence
        batch = self.extractor(few, sampling_rate=RATE, padding=True, return_attention_mask=masks, return_tensors="np")
        mask = batch["attention_mask"] if masks else np.ones_like(batch["input_values"])
        given = {"input_values": batch["input_values"].astype(np.float32), "attention_mask": mask.astype(np.int64)}
        return np.asarray(self.logits({name: given[name] for name in self.inputs}), np.float64)

    def answer(self, logits: np.ndarray) -> dict[str, Any]:
        if self.letters is not None:
            return {"transcription": self.letters.decode(logits.argmax(axis=-1))}
        return super().answer(logits)


if __name__ == "__main__":
    server = Server()
    server.append_worker(FileReader)
    serve(server, MediaClassifier, ["/inference"])
