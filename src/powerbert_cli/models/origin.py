"""Where models and what reads their inputs come from: a folder, or a name on the hub."""

from pathlib import Path

from .weights import ModelError


def unreachable(name: str, what: str, error: Exception) -> ModelError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if Path(name).expanduser().is_dir():
        return ModelError(f"{name}: {what} cannot be loaded: {reason}")
    return ModelError(
        f"model.name_or_path={name}: {what} cannot be loaded ({reason}); download it where there is a network with "
        f"'hf download {name} --local-dir FOLDER', put the folder on this machine and set model.name_or_path=FOLDER"
    )


def source_of(name: str) -> str:
    """A local folder as it is; a hub name stays one. A path that isn't there is named as such."""
    if (name.startswith((".", "/", "~")) or name.count("/") > 1) and not Path(name).expanduser().is_dir():
        raise ModelError(f"model.name_or_path={name} is no folder on this machine")
    return str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
