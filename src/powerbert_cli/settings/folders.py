"""Model directories that keys name: folders on this machine, or names on the hub."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from .bench import ENGINE_PRECISIONS
from .rules import SettingsError

_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")  # OWNER/NAME
_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "model.onnx", "openvino_model.*", "ctranslate2/*"]
_CONFIG, _RETENTION, _EXPORT = "config.json", "retention.json", "export.json"
HEAD = "head.safetensors"  # of a folder for CTranslate2, which runs the encoder
NATIVE = "native.safetensors"  # precision and scales of the native engine
_NEEDS = {"native": (NATIVE,), "ctranslate2": (HEAD,)}


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


def model_folder(name: str, exported: bool = False) -> Path:
    """The folder of the model directory that model_dir names, on this machine or of the hub.

    Args:
        exported: what `export` wrote for an engine will do, where PyTorch can load no weights.

    Raises:
        SettingsError: it is none, or one that powerbert does not load; says what it is.
    """
    folder = folder_of(name)
    if folder is None or not (folder / _CONFIG).is_file():
        raise SettingsError(
            f"model_dir={name} is no {_what(folder)}; give the folder 'model' of a finished run, or a classifier as "
            "transformers saves it"
        )
    if not exported and (folder / _EXPORT).is_file() and not has_weights(folder):
        raise SettingsError(
            f"model_dir={name} is an exported folder, which its engine loads (see its README.md), and predict and "
            "bench; give the model directory that it was made of"
        )
    return folder


def has_weights(folder: Path) -> bool:
    """Whether PyTorch can load them."""
    return any(path.name not in (HEAD, NATIVE) for path in folder.glob("*.safetensors"))


@dataclass(frozen=True)
class Exported:
    """What `export` wrote for an engine.

    Attributes:
        file: in the folder, what the engine loads. seq_len: ℓ.
        weights: PyTorch can load the model too.
    """

    folder: Path
    engine: str
    precision: str
    file: str
    seq_len: int
    weights: bool

    @property
    def runs(self) -> tuple[str, str]:
        return self.engine, self.precision

    def __str__(self) -> str:
        return f"{self.engine} in {self.precision}"


def exported(folder: Path) -> Exported | None:
    """None of other model directories.

    Raises:
        SettingsError: its export.json is damaged.
    """
    path = folder / _EXPORT
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        engine = content["engine"]
        if engine == "powerbert":
            return None
        precision, file, seq_len = content["precision"], content["file"], content["seq_len"]
        if precision not in ENGINE_PRECISIONS[engine]:
            raise ValueError(f"precision is {precision}")
        needed = [_RETENTION, *_NEEDS.get(engine, ())]
        missing = [name for name in needed if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"there is no {missing[0]} beside it")
        if type(seq_len) is not int or seq_len < 1 or Path(file).name != file or not (folder / file).exists():
            raise ValueError(f"seq_len is {seq_len}, file {file}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SettingsError(f"{path}: is not as powerbert export writes it ({error}); write it again") from error
    return Exported(folder, engine, precision, file, seq_len, has_weights(folder))


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
