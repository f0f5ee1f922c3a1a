"""Where a split's rows come from: local files, the generator, or the hub; each with the place that a message names."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import datasets

from ..kinds.labels import LabelError
from ..settings import TaskSettings
from . import beir, cache, candidates, files, media_folders, synthetic, synthetic_pictures, synthetic_sounds
from .rows import DataError, Row
from .source import Source

# Names that the original RACE files use for the questions of one passage, all in one row.
RACE = {"questions": "question", "options": "options", "answers": "answer"}


def finder(task: TaskSettings) -> Callable[[str], Source | None]:
    """split → its source, or None if the task has no such split."""
    if task.data_dir:
        return partial(_local, task, Path(task.data_dir))
    if task.synthetic:
        return partial(_GENERATED.get(task.kind, _generated), task.synthetic)
    return partial(_from_hub, task)


def _local(task: TaskSettings, folder: Path, split: str) -> Source | None:
    if (folder / "dataset_dict.json").is_file():
        return _saved(folder, split)
    if beir.is_beir(folder):
        ranks = task.of_kind.CANDIDATES
        return candidates.source(folder, split, task.candidates) if ranks else beir.source(folder, split)
    of_files = task.of_kind.MEDIUM is not None
    if of_files and not files.find_files(folder, "train"):
        label = task.label_column if task.of_kind.SPELLS else None
        return media_folders.source(folder, split, media_folders.medium_of(task.of_kind), task.text_columns, label)
    paths = files.require_files(folder, split) if split == "train" else files.find_files(folder, split)
    if not paths:
        return None
    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    if of_files:
        return media_folders.of_rows(name, paths, task.text_columns)
    return Source(
        name,
        f"{files.digest(paths)} {files.kind_of(paths[0])}",
        files.columns_in(paths),
        partial(files.class_names, paths),
        partial(files.rows_in, paths),
    )


def _saved(folder: Path, split: str) -> Source | None:
    """A split of what `DatasetDict.save_to_disk` wrote."""
    try:
        found = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"task.data_dir={folder}: cannot be read as a saved data set: {error}") from error
    name = next((name for name in found if name.lower() in files.SPLIT_FILES[split]), None)
    if name is None and split == "train":
        raise DataError(f"task.data_dir={folder} is a saved data set of {', '.join(found)}; it needs a split train")
    if name is None:
        return None
    digest = files.digest(sorted((folder / name).glob("*.arrow")))
    return _of_dataset(f"{folder} {name}", found[name], digest)


def _of_dataset(where: str, found: datasets.Dataset, digest: str) -> Source:
    for name, feature in found.features.items():
        if isinstance(feature, datasets.Image | datasets.Audio):
            found = found.cast_column(name, type(feature)(decode=False))

    def rows(columns: list[str]) -> Iterator[tuple[str, Row]]:
        for number, row in enumerate(found, 1):
            yield f"row {number}", row

    return Source(where, digest, found.column_names, partial(files.names_in, found.features), rows)


def _generated(sizes: dict[str, int], split: str) -> Source | None:
    if split == "test":
        return None

    def rows(columns: list[str]) -> Iterator[tuple[str, Row]]:
        texts, labels = synthetic.generate(
            sizes[split], 2 * sizes["seed"] + (0 if split == "train" else 1), sizes["max_words"]
        )
        for number, (text, label) in enumerate(zip(texts, labels, strict=True), 1):
            yield f"row {number}", {"text": text, "label": label}

    digest = repr(("generator", synthetic.VERSION, split, sorted(sizes.items())))
    return Source("generated", digest, ["text", "label"], lambda column: None, rows)


def _pictures(sizes: dict[str, int], split: str) -> Source | None:
    if split == "test":
        return None

    def rows(columns: list[str]) -> Iterator[tuple[str, Row]]:
        seed = 2 * sizes["seed"] + (0 if split == "train" else 1)
        for number, (picture, label) in enumerate(synthetic_pictures.generate(sizes[split], seed, sizes["size"]), 1):
            yield f"row {number}", {"image": picture, "label": label}

    digest = repr(("pictures", synthetic_pictures.VERSION, split, sorted(sizes.items())))
    return Source("generated", digest, ["image", "label"], lambda column: None, rows)


def _clips(sizes: dict[str, int], split: str) -> Source | None:
    most = sizes["milliseconds"]
    return _sounds(sizes, split, "label", lambda rows, seed: synthetic_sounds.classes(rows, seed, most))


def _spoken(sizes: dict[str, int], split: str) -> Source | None:
    most = sizes["letters"]
    return _sounds(sizes, split, "transcription", lambda rows, seed: synthetic_sounds.spoken(rows, seed, most))


def _sounds(sizes: dict[str, int], split: str, label: str, generate: Any) -> Source | None:
    if split == "test":
        return None

    def rows(columns: list[str]) -> Iterator[tuple[str, Row]]:
        seed = 2 * sizes["seed"] + (0 if split == "train" else 1)
        for number, (clip, value) in enumerate(generate(sizes[split], seed), 1):
            yield f"row {number}", {"audio": {"bytes": clip, "path": f"{split}-{number}.wav"}, label: value}

    digest = repr(("sounds", synthetic_sounds.VERSION, split, sorted(sizes.items())))
    return Source("generated", digest, ["audio", label], lambda column: None, rows)


_GENERATED: dict[str, Callable[[dict[str, int], str], Source | None]] = {
    "image_classification": _pictures,
    "audio_classification": _clips,
    "speech_recognition": _spoken,
}


def _from_hub(task: TaskSettings, split: str) -> Source | None:
    name = {"train": "train", "dev": task.dev_split, "test": task.test_split}[split]
    if name is None:
        return None
    try:
        with cache.writing():
            found = datasets.load_dataset(task.hub_path, task.hub_name, split=name)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"dataset {task.hub_path} cannot be had from the hub ({type(error).__name__}: {reason}); without a "
            f"network give task.data_dir=FOLDER with train.tsv and dev.tsv "
            f"(columns {', '.join(task.text_columns)}, {task.label_column})"
        ) from error

    return _of_dataset(f"{task.hub_path} {name}", found, found._fingerprint)


def is_race(columns: list[str]) -> bool:
    return {"article", *RACE} <= set(columns)


def questions_of(rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, Row]]:
    """A passage of the original RACE files, with the lists of its questions, options and answers in a row, as a row for
    each question; all else as it is."""
    for place, row in rows:
        if not is_race(list(row)):
            yield place, row
            continue
        lists = {one: row[many] for many, one in RACE.items()}
        if len({len(values) if isinstance(values, list) else -1 for values in lists.values()}) != 1:
            raise LabelError(f"has lists of other lengths in {', '.join(RACE)}")
        for number in range(len(lists["question"])):
            yield (
                f"{place}, question {number + 1}",
                {
                    "article": row["article"],
                    **{one: values[number] for one, values in lists.items()},
                },
            )
