"""Clips of sound as files, and the processors of a tiny model, that tests share."""

import io
import struct
import wave

import datasets
import numpy as np
from transformers import Wav2Vec2Config

from powerbert_cli.models.sound_processors import FeatureExtractors, SpeechProcessors
from powerbert_cli.settings import ModelSettings
from powerbert_cli.tasks.synthetic_sounds import RATE

HEARS, SPELLS = FeatureExtractors(), SpeechProcessors()
MODEL = ModelSettings(
    name="tiny",
    name_or_path=None,
    config={"model_type": "wav2vec2"},
    tokenizer=None,
    vocab_size=None,
    trust_remote_code=False,
)


def config(**changes):
    sizes = {"conv_dim": [4, 4], "conv_stride": [20, 16], "conv_kernel": [40, 32], "num_feat_extract_layers": 2}
    return Wav2Vec2Config(**{"feat_extract_norm": "layer", **sizes, **changes})


def rows_of(*transcripts):
    return datasets.Dataset.from_dict({"label": list(transcripts)})


def processor(kind="speech", transcripts=("ab a", "b"), **changes):
    return (SPELLS if kind == "speech" else HEARS).made(rows_of(*transcripts), MODEL, config(**changes))


def tone(seconds=0.3, height=440.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * height * np.arange(int(seconds * rate)) / rate)


def pcm(values, width, rate=RATE, channels=1) -> bytes:
    """A WAV file by the standard library's writer, of samples within -1 … 1."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        whole = (np.asarray(values) * (2 ** (8 * width - 1) - 1)).round().astype("<i4")
        raw = (whole + 128).astype(np.uint8).tobytes() if width == 1 else whole.view(np.uint8).reshape(-1, 4)[:, :width]
        file.writeframes(raw if isinstance(raw, bytes) else raw.tobytes())
    return stream.getvalue()


def floats(values, width=4, rate=RATE, kind=3) -> bytes:
    data = np.asarray(values, f"<f{width}").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, 1, rate, width * rate, width, 8 * width)
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVE" + form + b"data" + struct.pack("<I", len(data)) + data
