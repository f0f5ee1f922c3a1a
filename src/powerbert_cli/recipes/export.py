"""The shortened model as an inference engine loads it, or as bits, compared with PyTorch on dev."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from ..bench.engines import Place, Runner, Unavailable, onnx_file, openvino_file, run_onnx, run_openvino, save_openvino
from ..bench.table import compared
from ..encoder.families import layers_of
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import plain
from ..models.model_dir import RETENTION, save_tokenizer
from ..models.onnx_file import compare_onnx
from ..models.packed_file import NAME as PACKED
from ..models.packed_file import load_packed, write_packed
from ..report.card import card
from ..stages.run import Run
from ..store.artifacts import write_json, write_text
from ..store.compression_file import Compression
from ..store.retention_file import RetentionFile
from ..tasks.batches import answers
from .bench import calibration_inputs
from .timed_models import loaded

FILES = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}  # as other programs call them


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
    file, run = (_packed if packed else _for_engine)(job, model, folder)
    found = Exported(file, _size_mb(file), retention, _compared(job, model, run))
    model.config.save_pretrained(folder)
    job.context.describe(folder)
    save_tokenizer(job.context.tokenizer, folder)
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
    return sum(path.stat().st_size for path in file.parent.glob(f"{file.stem}.*")) / 1e6


def _packed(job: Run[Any], model: ShortenedModel, folder: Path) -> tuple[Path, Runner]:
    """The weights as bits, and the model that is loaded of them."""
    path = folder / PACKED
    write_packed(model.host, path, embeddings=job.settings.embeddings == "int8")
    found: Compression | None = getattr(model.host, "compression", None)
    if found is not None:
        found.write(folder)
    return path, ShortenedModel(load_packed(path, model.config, found), model.elimination)


def _for_engine(job: Run[Any], model: ShortenedModel, folder: Path) -> tuple[Path, Runner]:
    """The graph as an engine loads it, and that engine."""
    settings = job.settings
    graph = folder / FILES[settings.engine]
    try:
        _write(job, model, graph)
        run = _runner(settings, graph, model.config)
    except Unavailable as error:
        raise PowerbertError(f"engine={settings.engine} precision={settings.precision}: {error}") from error
    if settings.engine == "onnx":
        compare_onnx(graph, model, exact=settings.precision == "fp32")
    return graph, run


def _write(job: Run[Any], model: ShortenedModel, graph: Path) -> None:
    settings = job.settings
    inputs = calibration_inputs(job) if settings.precision == "int8" and settings.engine == "openvino" else ()
    with tempfile.TemporaryDirectory() as files:
        place = Place("cpu", torch.get_num_threads(), Path(files), inputs)
        if settings.engine == "onnx":
            shutil.copyfile(onnx_file("model", model, settings.precision, place), graph)
        else:
            save_openvino(openvino_file("model", model, settings.precision, place), graph)


def _runner(settings: Any, graph: Path, config: Any) -> Runner:
    threads = torch.get_num_threads()
    if settings.engine == "onnx":
        return run_onnx(graph, config, threads)
    return run_openvino(graph, config, settings.precision, threads)


def _compared(job: Run[Any], model: ShortenedModel, run: Runner) -> dict[str, Any]:
    """The file's answers on dev beside those of PyTorch in float32."""
    material, settings = job.context.material, job.settings
    pad, dev = material.collator("max"), material.dev
    exact, found = (
        answers(one, dev, pad, settings.batch_size, seq_len=settings.seq_len).logits for one in (model, run)
    )
    return compared(found, exact, np.asarray(dev["labels"]), settings.task.metric, settings.task.kind)
