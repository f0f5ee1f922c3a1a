"""Local data files: found, checked and read into Arrow by `datasets`."""

import codecs
import csv
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import IO, Any

import datasets

from ..errors import PowerbertError

FORMATS = ("tsv", "csv", "jsonl", "json", "parquet")
SPLIT_FILES = {"train": ("train",), "dev": ("dev", "validation"), "test": ("test",)}


class DataError(PowerbertError):
    """A data file or row that breaks a rule."""


def find_file(folder: Path, split: str) -> Path | None:
    """The file of a split ('train', 'dev' or 'test'), or None.

    Raises:
        DataError: if several files could be meant.
    """
    names = [f"{stem}.{kind}{gz}" for stem in SPLIT_FILES[split] for kind in FORMATS for gz in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise DataError(f"{folder} has several {split} files: {', '.join(p.name for p in found)}; keep one")
    return found[0] if found else None


def require_file(folder: Path, split: str) -> Path:
    """As `find_file`, but a missing file is an error."""
    path = find_file(folder, split)
    if path is None:
        wanted = " or ".join(f"{stem}.*" for stem in SPLIT_FILES[split])
        raise DataError(f"no {wanted} ({', '.join(FORMATS)}, also .gz) in task.data_dir={folder}")
    return path


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def kind_of(path: Path) -> str:
    """tsv, csv, jsonl or parquet, with .gz taken off."""
    return Path(path.name.removesuffix(".gz")).suffix.lstrip(".")


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def check_text(path: Path) -> None:
    """Refuses an empty, binary or wrongly encoded file, naming the line.

    Raises:
        DataError
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, any_bytes = 1, False
    try:
        with _open(path) as stream:
            while block := stream.read(1 << 20):
                any_bytes = True
                if b"\0" in block:
                    raise DataError(
                        f"{path}: line {line + block[: block.index(0)].count(10)} has a NUL byte; not a text file"
                    )
                try:
                    decoder.decode(block)
                except UnicodeDecodeError as error:
                    bad = line + block[: max(0, error.start)].count(b"\n")
                    raise DataError(f"{path}: line {bad} is not valid UTF-8; save the file as UTF-8") from None
                line += block.count(b"\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise DataError(f"{path}: line {line} is not valid UTF-8; save the file as UTF-8") from None
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not any_bytes:
        raise DataError(f"{path} is empty; it needs a header line and at least one row")
    if kind_of(path) in ("tsv", "csv"):
        _check_fields(path)


def _check_fields(path: Path) -> None:
    """Each row needs as many fields as the header: the reader itself would guess."""
    csv.field_size_limit(1 << 30)
    options = _delimited(path)
    with io.TextIOWrapper(_open(path), encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream, delimiter=options["sep"], quoting=options["quoting"])
        header = next(reader, [])
        for row in reader:
            if row and len(row) != len(header):
                raise DataError(
                    f"{path}: line {reader.line_num} has {len(row)} fields, "
                    f"the header has {len(header)} ({', '.join(header)})"
                )


def _delimited(path: Path) -> dict[str, Any]:
    """Reader options of tsv (no quoting: texts may hold a lone \") and csv."""
    tab = kind_of(path) == "tsv"
    return {"sep": "\t" if tab else ",", "quoting": csv.QUOTE_NONE if tab else csv.QUOTE_MINIMAL}


def columns_of(path: Path) -> list[str]:
    """Column names, without reading the rows (but for one of jsonl)."""
    if kind_of(path) == "parquet":
        import pyarrow.parquet

        try:
            return list(pyarrow.parquet.read_schema(path).names)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: is no Parquet file: {error}") from error
    with io.TextIOWrapper(_open(path), encoding="utf-8", newline="") as stream:
        if kind_of(path) in ("json", "jsonl"):
            return _json_columns(path, stream)
        options = _delimited(path)
        return next(csv.reader(stream, delimiter=options["sep"], quoting=options["quoting"]), [])


def _json_columns(path: Path, stream: io.TextIOWrapper) -> list[str]:
    """Keys of the first object: of the first line, or of a file that is one list of objects."""
    line = stream.readline()
    try:
        first = json.loads(line if line.strip() not in ("[", "[{") else line + stream.read())
        row = first[0] if isinstance(first, list) else first
        if isinstance(row, dict):
            return list(row)
        reason = f"it is {type(row).__name__}"
    except (ValueError, IndexError) as error:
        reason = str(error)
    raise DataError(f"{path}: line 1 is no JSON object: {reason}")


def read(path: Path) -> datasets.Dataset:
    """All rows of a checked file, memory-mapped.

    Raises:
        DataError: with the reader's own message, which names the line.
    """
    kind = kind_of(path)
    builder = {"tsv": "csv", "jsonl": "json"}.get(kind, kind)
    options: dict[str, Any] = {}
    if builder == "csv":
        # Everything as text: "NA" and "null" are words, "007" is no number; labels are read by us.
        text = datasets.Features({name: datasets.Value("string") for name in columns_of(path)})
        options = {**_delimited(path), "keep_default_na": False, "features": text}
    reader_log = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        rows = datasets.load_dataset(builder, data_files={"train": str(path)}, split="train", **options)
    except datasets.exceptions.DatasetGenerationError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[-1]
        raise DataError(f"{path}: {reason}") from error
    except ValueError as error:
        if "no data" not in str(error):
            raise
        raise DataError(f"{path} has no rows") from error
    finally:
        datasets.logging.set_verbosity(reader_log)
    if len(rows) == 0:
        raise DataError(f"{path} has no rows")
    return rows
