"""Model directories: what is shipped, and how it is loaded back."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import cached_file

from ..encoder.families import purpose_of
from ..encoder.family import EMBEDS
from ..encoder.quantising import NotQuantisable, clips_of, quantise_inputs, without_clips
from ..encoder.removing import NotRemovable, filled, strip
from ..store.artifacts import write_json
from ..store.compression_file import NAME as COMPRESSION
from ..store.compression_file import Compression, parsed
from ..store.retention_file import RetentionFile
from ..store.task_file import LOCAL as TASK_LOCAL
from ..store.task_file import NAME as TASK
from .classes import auto_of
from .embedders import as_embedder, read_pooling, write_modules
from .packed_file import NAME as PACKED
from .packed_file import load_packed
from .rerankers import is_reranker, write_reranker
from .weights import UNREADABLE, ModelError, check_config, check_finite_weights, load

RETENTION, CONFIG = "retention.json", "config.json"
# options of from_pretrained that say where files are
WHERE = ("revision", "token", "cache_dir", "local_files_only", "subfolder", "proxies", "force_download")
_SAYS_ONLY = ("id2label", "label2id", "transformers_version", "_name_or_path")  # entries that decide no output


def save_model_dir(folder: Path, host: PreTrainedModel, processor: Any, retention: RetentionFile | None = None) -> None:
    """Writes safetensors, config and processor; retention.json for a shortened model, compression.json as it was read.

    Layers whose heads or neurons are fewer than config.json says are filled up with zeros.
    """
    save_host(host, folder)
    save_processor(processor, folder)
    if retention is not None:
        retention.write(folder / RETENTION)
    if purpose_of(host.config) == EMBEDS:
        write_modules(folder, host.config, retention is not None)
    if retention is not None and is_reranker(host.config):
        write_reranker(folder)


def save_processor(processor: Any, folder: Path) -> None:
    """What turns rows into inputs; of a tokenizer without what the last call cut and padded to."""
    backend = getattr(processor, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    processor.save_pretrained(folder)


def save_host(host: PreTrainedModel, folder: str | Path, **options: Any) -> None:
    """Config, weights and, of a compressed model, compression.json.

    Args:
        options: of transformers' save_pretrained.
    """
    found: Compression | None = getattr(host, "compression", None)
    if found is not None and (found.sizes or found.clips is not None):
        options = {**options, "state_dict": without_clips(filled(host) if found.sizes else host.state_dict())}
    host.save_pretrained(folder, **options)
    if found is not None and found.clips is not None:
        found = replace(found, clips=clips_of(host))  # they may have been trained
    if found is not None and options.get("is_main_process", True):
        found.write(Path(folder))


def load_plain(folder: str | Path) -> PreTrainedModel:
    """The unshortened classifier of a directory on this machine, in float32 and evaluation mode.

    Raises:
        ModelError: if the folder holds no complete model.
    """
    return load_host(str(folder), local_files_only=True)


def read_config(name: str, **where: Any) -> Any:
    """transformers' config of a model; of a folder of sentence-transformers that of an embedder.

    Raises:
        ModelError, OSError, ValueError: it cannot be had.
    """
    config = AutoConfig.from_pretrained(name, **where)
    if read_pooling(name, config):
        as_embedder(config)
    return config


def load_host(name: str, config: Any = None, **options: Any) -> PreTrainedModel:
    """The classifier of a directory or a repository on the hub, whole, from safetensors; float32 unless told.

    Args:
        config: of the model, if that was read already.
        options: of transformers' from_pretrained.

    Raises:
        ModelError: if there is no complete model.
    """
    where = {key: options[key] for key in WHERE if key in options}
    try:
        config = config or read_config(name, **where)
        check_config(name, config)
        packed = found_file(name, PACKED, where)
        if packed is not None:
            model = _unpacked(name, Path(packed), config, where)
            return model.to(options.get("dtype", torch.float32))  # type: ignore[no-any-return]
        model = load(auto_of(config), name, whole=True, **{"dtype": torch.float32, **options})
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{name}: the model cannot be loaded: {reason}") from error
    path = found_file(name, COMPRESSION, where)
    if path is not None:
        _as_compressed(model, Path(path))
    return model


def _unpacked(name: str, packed: Path, config: Any, where: dict[str, Any]) -> PreTrainedModel:
    about = found_file(name, COMPRESSION, where)
    model = load_packed(packed, config, None if about is None else parsed(Path(about)))
    check_finite_weights(name, model)
    return model


def _as_compressed(model: PreTrainedModel, path: Path) -> None:
    """Takes out what compression.json says was removed, has inputs quantised, and keeps its content with the model."""
    found = parsed(path)
    try:
        if found.sizes:
            strip(model, found.sizes)
        if found.clips is not None:
            quantise_inputs(model, found.clips)
    except (NotRemovable, NotQuantisable) as error:
        raise ModelError(f"{path}: {error}; take it and the weights from the same run") from error
    model.compression = found  # type: ignore[assignment]


def found_file(name: str, file: str, where: dict[str, Any]) -> str | None:
    """A file of a directory or of a repository on the hub, if there is one.

    Args:
        where: of transformers' options those that say where files are.
    """
    found: str | None = cached_file(
        name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False, **where
    )
    return found


def fingerprint(folder: str | Path) -> str:
    """Hash of the files in a model folder that decide its outputs; its task and what its classes are called do not."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.name in (TASK, TASK_LOCAL):
            continue
        if path.name == CONFIG:
            digest.update(_what_decides(path).encode())
        elif path.suffix in (".json", ".safetensors", ".txt") and path.is_file():
            with path.open("rb") as stream:
                digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def _what_decides(config: Path) -> str:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        kept = {name: value for name, value in content.items() if name not in _SAYS_ONLY}
        return json.dumps(kept, sort_keys=True)
    except (ValueError, AttributeError, OSError) as error:
        raise ModelError(f"{config}: is not a valid JSON file: {error}") from error


def name_classes(folder: Path, names: list[str] | None) -> None:
    """Has a model directory call its classes by these names; None leaves them."""
    path = folder / CONFIG
    if names is None or not path.is_file():
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    given = {str(c): name for c, name in enumerate(names)}
    if len(config.get("id2label") or {}) == len(names) and config["id2label"] != given:
        write_json(path, {**config, "id2label": given, "label2id": {name: c for c, name in enumerate(names)}})
