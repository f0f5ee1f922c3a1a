"""Model directories that keys name: folders on this machine, or names on the hub."""

import json
import re
from pathlib import Path

from .rules import SettingsError

_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")  # OWNER/NAME
_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model"]
_CONFIG, _RETENTION, _EXPORT = "config.json", "retention.json", "export.json"


def folder_of(name: str) -> Path | None:
    """A folder as it is; of a name on the hub its copy in the cache, which is made if it is not there.

    None of what can be neither.

    Raises:
        SettingsError: it is no folder, and the hub does not give it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or not _NAME.fullmatch(name):
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingsError(
            f"{name}: is no folder here, and the hub does not give it ({reason}); give the folder of a model directory"
        ) from error


def model_folder(name: str) -> Path:
    """The folder of the model directory that model_dir names, on this machine or of the hub.

    Raises:
        SettingsError: it is none, or one that powerbert does not load; says what it is.
    """
    folder = folder_of(name)
    if folder is None or not (folder / _CONFIG).is_file():
        raise SettingsError(
            f"model_dir={name} is no {_what(folder)}; give the folder 'model' of a finished run, or a classifier as "
            "transformers saves it"
        )
    if (folder / _EXPORT).is_file() and not any(folder.glob("*.safetensors")):
        raise SettingsError(
            f"model_dir={name} is an exported folder, which its engine loads (see its README.md); give the model "
            "directory that it was made of"
        )
    return folder


def is_shortened(folder: Path) -> bool:
    """Whether a model directory says which word-vectors are kept."""
    return (folder / _RETENTION).is_file()


def keeps_everything(folder: Path) -> bool:
    """Whether a shortened model drops nothing, so that it is a plain or compressed classifier."""
    try:
        content = json.loads((folder / _RETENTION).read_text(encoding="utf-8"))
        lengths, seq_len = content.get("lengths"), content.get("seq_len")
    except (OSError, ValueError, AttributeError):
        return False
    return isinstance(lengths, list) and bool(lengths) and all(length == seq_len for length in lengths)


def _what(folder: Path | None) -> str:
    if folder is not None and (folder / "adapter_config.json").is_file():
        return (
            "model directory: it holds a PEFT adapter, without the model; merge it into its base model with "
            "merge_and_unload(), save that"
        )
    below = [] if folder is None else sorted(folder.glob(f"*/{_CONFIG}"))
    if below:
        return f"model directory (no {_CONFIG} in it, but in {below[0].parent})"
    return f"model directory (no {_CONFIG} in it)"
