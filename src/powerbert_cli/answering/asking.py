"""What `predict` asks of a model: which columns of an input are texts, which stand beside the answers."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow

from ..errors import PowerbertError
from ..kinds import Kind
from ..kinds.kind import Row
from ..kinds.values import RowError, check_unicode
from ..settings import AUTO, STANDARD, PredictSettings
from ..settings.predict import OF_FILES, VECTORS
from ..store.task_file import TaskFile
from ..tasks.answer_rows import Fields
from ..tasks.columns import KNOWN, chosen
from ..tasks.files import beside
from ..tasks.media_folders import MEDIA
from ..tasks.rows import Read, Table, check_once

FILE = "file"  # what names a picture or a clip in the answers
_OURS = {"words", "label", "value", "tags", "entities"}  # and those of the model's kind


class Asked(NamedTuple):
    """A row to be answered.

    Attributes:
        place: as the file counts it. inputs: what its kind gives a model. kept: columns that stand before its answer.
        wrong: why it cannot be answered; None of a good row.
    """

    place: str
    inputs: dict[str, Any] | None = None
    kept: tuple[Any, ...] = ()
    wrong: str | None = None


@dataclass(frozen=True)
class Columns:
    """
    Attributes:
        texts: columns with the texts. kept: those that stand before the answers, and what they are called there.
    """

    texts: list[str]
    kept: dict[str, str]

    def fields(self, table: Table) -> Fields:
        """Of the kept columns."""
        return {
            name: None if table.schema is None else table.schema.field(column).type
            for column, name in self.kept.items()
        }


def columns_of(settings: PredictSettings, table: Table, task: TaskFile | None, kind: Kind) -> Columns:
    """Which columns of an input are answered, and which are kept.

    Raises:
        PowerbertError: they are not those that the model was trained on, or it cannot be told.
    """
    where = "standard input" if settings.input == STANDARD else settings.input
    trained = None if task is None else task.text_columns
    if trained is not None and kind.TAUGHT:  # pairs are there to be measured on
        trained = trained[:1]
    given = settings.text_columns
    _check_medium(settings, kind, where)
    if settings.input_format in OF_FILES:
        return Columns([FILE], {FILE: FILE})
    if settings.input_format == "lines":
        _check_no_header(settings, table, trained)
        pairs = trained or kind.KNOWN[0] if min(kind.TEXTS) == 2 else trained or []
        if len(pairs) == 2:
            raise PowerbertError(
                f"{where}: lines hold one text each, and the model answers pairs ({', '.join(pairs)}); give a file "
                "with columns, or set predict.input_format"
            )
        return Columns(["text"], {} if kind.MEDIUM is None else {"text": FILE})
    if given is not None and trained is not None and len(given) != len(trained):
        raise PowerbertError(
            f"text_columns={given}: the model was trained on {' and '.join(trained)}; name {len(trained)} of them"
        )
    if given is not None and len(given) not in kind.TEXTS:
        raise PowerbertError(f"text_columns={given}: the model answers {kind.NAME}; name {min(kind.TEXTS)} columns")
    if not table.columns:  # of JSON without rows
        return Columns(given or trained or ["text", "text_pair"][: min(kind.TEXTS)], {})
    uniform = task is not None and task.task.get("hub_path") is not None
    if kind.MEDIUM is not None and not set(trained or ()) <= set(table.columns):
        trained = None  # what paths are called is not what the training rows call pictures
    texts = chosen(where, table.columns, given or trained, "text_columns", uniform, kind.KNOWN, kind.ARE)
    wanted = settings.predict.keep
    if wanted is None:
        wanted = [] if settings.output == STANDARD or settings.output_format == VECTORS else table.columns
        wanted = [column for column in wanted if kind.MEDIUM is None or not _holds_bytes(table, column)]
    missing = next((column for column in wanted if column not in table.columns), None)
    if missing is not None:
        raise PowerbertError(
            f"predict.keep={wanted}: {where} has no column '{missing}'; its columns: {', '.join(table.columns)}"
        )
    check_once(where, table.columns, wanted)
    kept: dict[str, str] = {}
    for column in wanted:
        if "\\ud" in ascii(column):
            raise PowerbertError(f"{where}: the column {column!r} has half of a character in its name; rename it")
        name = column
        while _is_ours(name, kind) or name in kept.values() or (name != column and name in wanted):
            name = f"input_{name}"
        kept[column] = name
    return Columns(texts, kept)


def _check_medium(settings: PredictSettings, kind: Kind, where: str) -> None:
    """
    Raises:
        PowerbertError: files are given to a model of something else.
    """
    medium = OF_FILES.get(settings.input_format)
    found = kind.MEDIUM is not None and Path(settings.input).is_dir()  # of a folder those of the model's were taken
    if medium is not None and medium != kind.MEDIUM and not found:
        raise PowerbertError(f"input={where}: these are {MEDIA[medium].are}, and the model answers {kind.ARE}")


def _holds_bytes(table: Table, column: str) -> bool:
    """Whether a column of a Parquet file holds files and not their paths."""
    kind = None if table.schema is None else table.schema.field(column).type
    return kind is not None and not (pyarrow.types.is_string(kind) or pyarrow.types.is_primitive(kind))


def files_in(source: str, medium: str) -> Table:
    """A file, or those of a folder and of all below it, by the ends of their names: a row for each, in order.

    Args:
        medium: image or audio.

    Raises:
        PowerbertError: there is none.
    """
    of, found = MEDIA[medium], [Path(source)]
    if found[0].is_dir():
        found = sorted(one for one in found[0].rglob("*") if of.known(one.name) and not one.name.startswith("."))
    if not found:
        raise PowerbertError(f"input={source}: no {of.are} are in this folder ({', '.join(of.endings)})")

    def reads(columns: list[str]) -> Iterator[Read]:
        return (Read(str(one), {FILE: str(one)}) for one in found)

    return Table([FILE], reads)


def _check_no_header(settings: PredictSettings, table: Table, trained: list[str] | None) -> None:
    """
    Raises:
        PowerbertError: the format was not said, and the first line is the header of a table.
    """
    first = (table.first or "").strip()
    if settings.predict.input_format != AUTO or not first:
        return
    for kind, delimiter in (("csv", ","), ("tsv", "\t")):
        names = first.split(delimiter) if "\r" in first else next(csv.reader([first], delimiter=delimiter), [])
        known = [trained] if trained else KNOWN
        if any(all(column in names for column in columns) for columns in known):
            raise PowerbertError(
                f"{settings.input}: its first line, {first!r:.80}, is the header of a table; set "
                f"predict.input_format={kind}, or lines to have it answered"
            )
    if first.startswith("{") and first.endswith("}"):
        raise PowerbertError(
            f"{settings.input}: its first line is a JSON object; set predict.input_format=jsonl, or lines to have it "
            "answered as a text"
        )


def _is_ours(column: str, kind: Kind) -> bool:
    """Whether an answer has a column of that name."""
    return column in _OURS or column in kind.answer_types() or column.startswith("probability_")


def asked_of(
    table: Table, plan: Columns, kind: Kind, folder: Path, refused: Callable[[Row], str | None]
) -> Iterator[Asked]:
    """The rows of an input as they are asked.

    Args:
        folder: that relative paths of files begin at.
        refused: why the model cannot answer what a row gives; None if it can.
    """
    for place, row, wrong in table.reads([*dict.fromkeys([*plan.texts, *plan.kept])]):
        if wrong is not None:
            yield Asked(place, wrong=wrong)
            continue
        try:
            given = row
            if kind.MEDIUM is not None:
                given = row | {column: beside(row.get(column), folder) for column in plan.texts}
            inputs = kind.inputs(given, plan.texts)
            for column in plan.kept:
                check_unicode(row.get(column), f"'{column}'")
            wrong = refused(inputs)
        except RowError as error:
            wrong = str(error)
        if wrong is not None:
            yield Asked(place, wrong=wrong)
            continue
        yield Asked(place, inputs, tuple(row.get(column) for column in plan.kept))
