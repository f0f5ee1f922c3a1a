"""Model directories that keys name: folders on this machine, or names on the hub."""

import re
from pathlib import Path

from .rules import SettingsError

_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")  # OWNER/NAME
_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model"]


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


def model_folder(key: str, name: str, wanted: str, way_out: str) -> Path:
    """The folder of a model directory that a key names, on this machine or of the hub.

    Args:
        wanted: the file that makes it one. way_out: what to give instead.

    Raises:
        SettingsError: it is none; says what it is.
    """
    folder = folder_of(name)
    if folder is None or not (folder / wanted).is_file():
        raise SettingsError(f"{key}={name} is no {_what(folder, wanted)}; {way_out}")
    return folder


def _what(folder: Path | None, wanted: str) -> str:
    kind = "re-trained model directory" if wanted == "retention.json" else "model directory"
    if folder is not None and (folder / "adapter_config.json").is_file():
        return (
            f"{kind}: it holds a PEFT adapter, without the model; merge it into its base model with "
            "merge_and_unload(), save that"
        )
    below = [] if folder is None else sorted(folder.glob(f"*/{wanted}"))
    if below:
        return f"{kind} (no {wanted} in it, but in {below[0].parent})"
    return f"{kind} (no {wanted} in it)"
