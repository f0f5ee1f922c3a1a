"""A finished model as an inference engine loads it, or as bits, compared with PyTorch on dev."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from ..bench.ctranslate import FOLDER, save_head
from ..bench.engines import ctranslate2_host, onnx_file, run_onnx, runner
from ..bench.openvino import openvino_file, run_openvino, save_openvino
from ..bench.place import Place, Runner, Unavailable
from ..bench.table import compared
from ..encoder.families import layers_of
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import plain
from ..models.model_dir import RETENTION, save_host, save_processor
from ..models.onnx_file import compare_onnx
from ..models.packed_file import NAME as PACKED
from ..models.packed_file import load_packed, write_packed
from ..native.saved import write_native
from ..report.card import card
from ..settings import CALIBRATED
from ..settings.folders import HEAD
from ..stages.run import Run
from ..store.artifacts import write_json, write_text
from ..store.compression_file import Compression
from ..store.retention_file import RetentionFile
from ..tasks.batches import answers
from .bench import calibration_inputs
from .timed_models import loaded

FILES = {  # as other programs call them
    "native": "model.safetensors",
    "onnx": "model.onnx",
    "openvino": "openvino_model.xml",
    "ctranslate2": FOLDER,
}


@dataclass(frozen=True)
class Exported:
    """
    Attributes:
        file: with the weights.
        size_mb: of it, or of both where the weights are in a second one.
        compared: see `bench.table.compared`, on dev.
    """

    file: Path
    size_mb: float
    retention: RetentionFile
    compared: dict[str, Any]


def export(job: Run[Any], folder: Path) -> Exported:
    """Writes the weights, config, tokenizer, retention configuration, export.json and README.md into a folder.

    Raises:
        PowerbertError: the engine cannot have the model, or its answers are others.
    """
    settings, packed = job.settings, job.settings.format == "packed"
    model, retention = _finished(job)
    folder.mkdir(parents=True, exist_ok=True)
    file, run = _packed(job, model, folder) if packed else _for_engine(job, model, folder)
    found = Exported(file, _size_mb(file), retention, _compared(job, model, run))
    model.config.save_pretrained(folder)
    if (compression := getattr(model.host, "compression", None)) is not None:
        compression.write(folder)
    job.context.describe(folder)
    save_processor(job.context.processor, folder)
    retention.write(folder / RETENTION)
    how = {"embeddings": settings.embeddings} if packed else {"precision": settings.precision}
    about = {
        "engine": "powerbert" if packed else settings.engine,
        **how,
        "file": file.name,
        "size_mb": found.size_mb,
        "seq_len": model.seq_len,
        "labels": list((AutoConfig.from_pretrained(folder).id2label or {}).values()),
        **found.compared,
    }
    write_json(folder / "export.json", about)
    write_text(folder / "README.md", card(about, settings.task.name, model))
    return found


def _finished(job: Run[Any]) -> tuple[ShortenedModel, RetentionFile]:
    """The given model, of which a plain or compressed one keeps every word-vector."""
    settings: Any = job.settings
    if settings.shortened_dir is not None:
        return loaded(settings)
    assert settings.checkpoint_dir is not None
    host = job.context.host(settings.checkpoint_dir)
    retention = RetentionFile(plain(settings.seq_len, layers_of(host.config)))
    return ShortenedModel(host, retention.elimination).eval(), retention


def _size_mb(file: Path) -> float:
    files = file.iterdir() if file.is_dir() else file.parent.glob(f"{file.stem}.*")
    return sum(path.stat().st_size for path in files) / 1e6


def _packed(job: Run[Any], model: ShortenedModel, folder: Path) -> tuple[Path, Runner]:
    """The weights as bits, and the model that is loaded of them."""
    path = folder / PACKED
    write_packed(model.host, path, embeddings=job.settings.embeddings == "int8")
    found: Compression | None = getattr(model.host, "compression", None)
    return path, ShortenedModel(load_packed(path, model.config, found), model.elimination)


def _for_engine(job: Run[Any], model: ShortenedModel, folder: Path) -> tuple[Path, Runner]:
    """What an engine loads, and that engine."""
    settings = job.settings
    inputs = calibration_inputs(job) if settings.precision == "int8" and settings.engine in CALIBRATED else ()
    write = {"native": _native, "ctranslate2": _ctranslate2, "onnx": _onnx, "openvino": _openvino}[settings.engine]
    with tempfile.TemporaryDirectory() as files:
        try:
            return write(model, settings.precision, Place("cpu", torch.get_num_threads(), Path(files), inputs), folder)
        except Unavailable as error:
            raise PowerbertError(f"engine={settings.engine} precision={settings.precision}: {error}") from error


def _onnx(model: ShortenedModel, precision: str, place: Place, folder: Path) -> tuple[Path, Runner]:
    graph = folder / FILES["onnx"]
    shutil.copyfile(onnx_file("model", model, precision, place), graph)
    compare_onnx(graph, model, exact=precision == "fp32")
    return graph, run_onnx(graph, model.config, place.threads)


def _openvino(model: ShortenedModel, precision: str, place: Place, folder: Path) -> tuple[Path, Runner]:
    graph = folder / FILES["openvino"]
    save_openvino(openvino_file("model", model, precision, place), graph)
    return graph, run_openvino(graph, model.config, precision, place.threads)


def _native(model: ShortenedModel, precision: str, place: Place, folder: Path) -> tuple[Path, Runner]:
    """The model directory itself, and what the native engine needs beside it."""
    run: Any = runner("native", "model", model, precision, place)
    save_host(model.host, folder)
    write_native(run, precision, folder)
    return folder / FILES["native"], run


def _ctranslate2(model: ShortenedModel, precision: str, place: Place, folder: Path) -> tuple[Path, Runner]:
    host, file = ctranslate2_host("shortened", model), folder / FILES["ctranslate2"]
    run = runner("ctranslate2", "shortened", model, precision, place)
    shutil.copytree(place.folder / "shortened.ctranslate2" / FOLDER, file, dirs_exist_ok=True)
    save_head(host, folder / HEAD)
    return file, run


def _compared(job: Run[Any], model: ShortenedModel, run: Runner) -> dict[str, Any]:
    """The file's answers on dev beside those of PyTorch in float32."""
    material, settings = job.context.material, job.settings
    pad, dev = material.collator("max"), material.dev
    exact, found = (
        answers(one, dev, pad, settings.batch_size, seq_len=settings.seq_len).logits for one in (model, run)
    )
    return compared(found, exact, dev, material.kind)
