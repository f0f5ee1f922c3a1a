"""Model directories: what is shipped, and how it is loaded back."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..encoder.loading import ModelError
from ..encoder.shortened import ShortenedModel, is_multiple_choice
from ..method.retention import RetentionError
from .retention_file import RetentionFile
from .retention_file import read as read_retention

RETENTION = "retention.json"


def save_model_dir(
    folder: Path, host: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, retention: RetentionFile | None = None
) -> None:
    """Writes safetensors, config and tokenizer, and retention.json for a shortened model."""
    host.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if retention is not None:
        retention.write(folder / RETENTION)


def load_plain(folder: str | Path) -> PreTrainedModel:
    """The unshortened classifier of a model directory, in float32 and evaluation mode.

    Raises:
        ModelError: if the folder holds no complete model.
    """
    try:
        choice = is_multiple_choice(AutoConfig.from_pretrained(str(folder), local_files_only=True))
        kind = AutoModelForMultipleChoice if choice else AutoModelForSequenceClassification
        return kind.from_pretrained(str(folder), use_safetensors=True, dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: the model cannot be loaded: {str(error).splitlines()[0]}") from error


def load_shortened(folder: str | Path) -> ShortenedModel:
    """The shortened classifier of a model directory that `powerbert retrain` wrote.

    The same directory loads in plain transformers, as the unshortened model.

    Args:
        folder: holds config.json, model.safetensors and retention.json.

    Returns:
        The model in evaluation mode; call it with what the directory's tokenizer gives
        (input_ids, attention_mask, token_type_ids), at most `seq_len` word-pieces long.

    Raises:
        RetentionFileError: if there is no retention.json, or it breaks a rule.
        ModelError: if the model cannot be loaded or the configuration is not for it.
    """
    retention = read_retention(Path(folder) / RETENTION)
    host = load_plain(folder)
    try:
        return ShortenedModel(host, retention.elimination).eval()
    except RetentionError as error:
        raise ModelError(f"{folder}: {error}") from error


def fingerprint(folder: str | Path) -> str:
    """Hash of the files in a model folder that decide its outputs."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.suffix in (".json", ".safetensors", ".txt") and path.is_file():
            with path.open("rb") as stream:
                digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
