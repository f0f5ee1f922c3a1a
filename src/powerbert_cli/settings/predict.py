"""Settings of the verb that answers rows with a finished model."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..kinds.pictures import is_picture
from ..kinds.sounds import is_sound
from .bench import BENCH_PRECISIONS, ENGINES
from .common import DEVICES, ThreadsSettings
from .folders import exported, model_folder
from .formats import FORMATS, PACKED, UNREAD, format_of, parts_of
from .rules import SettingsError, at_least_one, key, one_of

PICTURES, CLIPS = "pictures", "clips"
OF_FILES = {PICTURES: "image", CLIPS: "audio"}  # formats without rows, and what kinds call their medium
INPUTS = ("lines", *FORMATS, *OF_FILES)
VECTORS = "npy"  # a table of what an embedder answers, without columns
OUTPUTS = ("tsv", "csv", "jsonl", "parquet", VECTORS)
STANDARD = "-"  # standard input or output
AUTO = "auto"


@dataclass(kw_only=True)
class PredictOptions:
    input_format: str = key(
        "lines (a text in each), tsv, csv, jsonl, json, parquet; auto: by the name",
        " of the file, lines for .txt and standard input",
        common=True,
    )
    output_format: str = key(
        "tsv, csv, jsonl, parquet, npy (vectors alone); auto: by the file's name",
        ", tsv without a header on standard output",
        common=True,
    )
    keep: list[str] | None = key(
        "columns of the input that stand before the answers",
        "; null: all of them in a file, none on standard output",
        common=True,
    )
    on_error: str = key("at a row that cannot be read: stop, or skip and list it in OUTPUT.errors.tsv", common=True)
    survivors: bool = key("also each word with the last layer that it reached", common=True)
    together: int = key("rows that are read before they are answered, in order of their length; they come out in order")

    def __post_init__(self) -> None:
        one_of("predict.input_format", self.input_format, (AUTO, *INPUTS))
        one_of("predict.output_format", self.output_format, (AUTO, *OUTPUTS))
        one_of("predict.on_error", self.on_error, ("stop", "skip"))
        at_least_one("predict.together", self.together)


@dataclass(kw_only=True)
class PredictSettings:
    model_dir: str | None = key("finished model directory, plain, shortened or exported: RUN/model", common=True)
    input: str = key(
        "file of rows, pictures or clips; - is standard input",
        " (tsv, csv, json, jsonl, parquet, lines; also .gz, .bz2, .xz; a picture or clip, or a folder of them)",
        common=True,
    )
    output: str = key("file of answers (tsv, csv, jsonl, parquet, npy); - is standard output", common=True)
    text_columns: list[str] | None = key(
        "one or two columns with the texts; null: those that the model was trained on",
        "; or the one with the files",
        common=True,
    )
    seq_len: int | None = key(
        "longer inputs are cut; null: the ℓ of the model", ", or all positions if it has none", common=True
    )
    batch_size: int = key("inputs in a batch", common=True)
    engine: str | None = key(
        "how the model is run, as bench.engines; null: as it was exported, else eager", common=True
    )
    precision: str | None = key(
        "fp32, bf16, fp16 or int8, as the engine has them; null: as it was exported, else fp32", common=True
    )
    device: str = key("auto, cpu or cuda", common=True)
    predict: PredictOptions = key("")
    runtime: ThreadsSettings = key("")

    def __post_init__(self) -> None:
        if self.model_dir is None:
            raise SettingsError("model_dir is not given; give a finished model directory: model_dir=RUN/model")
        self.folder  # noqa: B018  (checks it)
        at_least_one("batch_size", self.batch_size)
        at_least_one("seq_len", self.seq_len)
        self.runs  # noqa: B018  (checks it)
        one_of("device", self.device, DEVICES)
        if self.input != STANDARD and not (Path(self.input).is_file() or Path(self.input).is_dir()):
            raise SettingsError(f"input={self.input} is no file; give one, or - for standard input")
        if Path(self.input).is_dir() and self.input_format not in OF_FILES:
            raise SettingsError(
                f"input={self.input} is a folder, which is read as {_held_by(self.input)} and not as "
                f"{self.input_format}; leave predict.input_format out"
            )
        if self.input_format in OF_FILES and self.input == STANDARD:
            raise SettingsError(
                f"predict.input_format={self.input_format} is for a file or a folder; set predict.input_format=lines, "
                "and give a path a line"
            )
        self._check_output()
        self.input_format, self.output_format  # noqa: B018  (checks them)
        for name, given in (("text_columns", self.text_columns), ("predict.keep", self.predict.keep)):
            if not given or self.input_format not in ("lines", *OF_FILES):
                continue
            raise SettingsError(
                f"{name}={given} is for files with columns, and input={self.input} is read as {self.input_format}; "
                "set predict.input_format"
            )
        if self.output_format == VECTORS and (self.output == STANDARD or self.predict.keep or self.predict.survivors):
            raise SettingsError(
                "predict.output_format=npy is a file of vectors and nothing else; give output=FILE.npy, without "
                "predict.keep and predict.survivors"
            )
        if self.text_columns is not None and len(self.text_columns) not in (1, 2):
            raise SettingsError(f"text_columns={self.text_columns} must name one or two columns")
        if self.predict.on_error == "skip" and self.output == STANDARD:
            raise SettingsError(
                "predict.on_error=skip lists rows beside the output file; give output=FILE, or predict.on_error=stop"
            )

    @property
    def runs(self) -> tuple[str, str]:
        """Engine and precision: as given, else as the folder was exported, else PyTorch in float32."""
        found = exported(self.folder)
        engine, precision = ("eager", "fp32") if found is None else (found.engine, found.precision)
        given = (self.engine or engine, self.precision or (precision if self.engine in (None, engine) else "fp32"))
        if found is not None and not found.weights and given != found.runs:
            raise SettingsError(
                f"engine={given[0]} precision={given[1]}: model_dir={self.model_dir} was exported for {found}, and "
                "holds nothing else; leave engine and precision out, or give the model directory that it was made of"
            )
        one_of("engine", given[0], ENGINES)
        one_of("precision", given[1], BENCH_PRECISIONS)
        return given

    def _check_output(self) -> None:
        """Nothing that is written is what is read."""
        if self.output == STANDARD:
            if self.input != STANDARD and _is_behind(1, Path(self.input)):
                raise SettingsError(f"input={self.input} is what standard output goes to; give another file")
            return
        if Path(self.output).exists() and not Path(self.output).is_file() and not Path(self.output).is_dir():
            raise SettingsError(f"output={self.output} is no regular file; give one, or - for standard output")
        if Path(self.output).is_dir() or not Path(self.output).absolute().parent.is_dir():
            what = "is a folder" if Path(self.output).is_dir() else f"there is no folder {Path(self.output).parent}"
            raise SettingsError(f"output={self.output}: {what}; give a file")
        for written in (self.output, f"{self.output}.part", f"{self.output}.errors.tsv"):
            path = Path(written)
            same = _is_behind(0, path) if self.input == STANDARD else path.exists() and path.samefile(self.input)
            if same:
                raise SettingsError(
                    f"output={self.output}: {written} is the input, which would be lost; give another file"
                )

    @property
    def folder(self) -> Path:
        """Where the model is: a folder, or the hub's in the cache."""
        assert self.model_dir is not None
        return model_folder(self.model_dir, exported=True)

    @property
    def input_format(self) -> str:
        if self.predict.input_format != AUTO:
            return self.predict.input_format
        if Path(self.input).is_dir():
            return _held_by(self.input)
        if is_picture(self.input) or is_sound(self.input):
            return PICTURES if is_picture(self.input) else CLIPS
        _, ending, _ = parts_of(self.input)
        if self.input == STANDARD or ending in ("txt", ""):
            return "lines"
        return _known("input", self.input, format_of(self.input), INPUTS)

    @property
    def output_format(self) -> str:
        if self.predict.output_format != AUTO:
            return self.predict.output_format
        if self.output == STANDARD:
            return "tsv"
        _, ending, packed = parts_of(self.output)
        found = VECTORS if ending == VECTORS and not packed else format_of(self.output)
        return _known("output", self.output, None if packed and found == "parquet" else found, OUTPUTS)


def _is_behind(descriptor: int, path: Path) -> bool:
    """Whether standard input (0) or output (1) is that very file."""
    try:
        return path.is_file() and os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _held_by(folder: str) -> str:
    """Whether a folder holds clips or pictures, by the first file of either that is found."""
    names = (one.name for one in Path(folder).rglob("*") if not one.name.startswith("."))
    return next(
        (CLIPS if is_sound(name) else PICTURES for name in names if is_sound(name) or is_picture(name)), PICTURES
    )


def _known(name: str, path: str, found: str | None, known: tuple[str, ...]) -> str:
    if found in known:
        return str(found)
    unpack = "; unpack it first" if parts_of(path)[1] in UNREAD and name == "input" else ""
    raise SettingsError(
        f"{name}={path}: its ending is none of {', '.join(k for k in known if k != 'lines')} (also "
        f"{', '.join(PACKED)}){unpack}; rename it, or set predict.{name}_format"
    )
