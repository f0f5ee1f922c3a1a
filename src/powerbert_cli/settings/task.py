"""Settings of the task and the model."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..kinds import KINDS, METRICS, Kind
from .rules import SettingsError, at_least_one, key, one_of

_COLUMNS: dict[tuple[int, ...], str] = {
    (1,): "one column",
    (2,): "two columns",
    (1, 2): "one column, or two for pairs",
}
_ERRORS = {"wer": "word_accuracy", "cer": "character_accuracy"}


@dataclass(kw_only=True)
class TaskSettings:
    name: str = key("name of the task")
    kind: str = key("what is predicted: " + ", ".join(KINDS))
    hub_path: str | None = key("dataset on the hub")
    hub_name: str | None = key("configuration of that dataset")
    dev_split: str | None = key(
        "split of the hub dataset that epochs, targets and configurations are chosen on; null holds back a fifth of "
        "the training rows for it, as is done for a local folder without dev.*, and then measures on the test split too"
    )
    data_dir: str | None = key(
        "your folder with train.*, dev.*, optional test.*",
        " or validation.* for dev.*; tsv, csv, json, jsonl, parquet; also .gz; of "
        "pictures and clips also folders train/CLASS and dev/CLASS, or train/ and dev/ with a metadata.csv",
        common=True,
    )
    test_split: str | None = key("split of the hub dataset that predict_test answers; null for none")
    text_columns: list[str] = key(
        "one text column, or two for pairs; auto: by their names",
        ", or the only one beside the label; of pictures and clips that with their files; of a multiple choice "
        "context and question",
        common=True,
    )
    options_column: str | None = key("column with the list of choices (multiple choice only)")
    stride: int | None = key(
        "word-pieces by which the windows of a text longer than seq_len overlap; null: a quarter of it",
        " (token classification, question answering)",
    )
    no_answer: float | None = key(
        "no answer is given where its score is more than that above the best answer's; null: there always is one",
        " (question answering; 0 is usual where some questions have none)",
    )
    max_answer: int = key("word-pieces of the longest answer (question answering only)")
    candidates: int = key(
        "documents of each query, the best by BM25 or the first of candidates/SPLIT.tsv (ranking of a folder as BEIR's)"
    )
    label_column: str = key("column of the label", common=True)
    label_names: list[str] | None = key(
        "names of the classes in the order of their numbers, or of the choices; auto: by the model, else the rows",
        " in their order; null for regression",
    )
    metric: str = key(
        "headline metric, e.g. accuracy or f1; auto: the usual one",
        " of the kind. One of "
        + ", ".join(METRICS)
        + "; f1 is of the second of two classes, of more it is macro_f1; word_accuracy is 1 - wer",
        common=True,
    )
    max_train: int | None = key("use that many training rows, drawn once with a fixed seed")
    max_dev: int | None = key("use that many dev rows, drawn once with a fixed seed")
    max_test: int | None = key("measure on that many test rows, drawn once with a fixed seed; not with predict_test")
    folds: int | None = key(
        "cross-validation: the training rows are cut into that many folds, classes in like shares; each is dev "
        "once, and finetune and retrain give the mean; the task's own dev and test splits are left alone"
    )
    fold: int | None = key("the one fold, from 0, that is dev here; null: finetune and retrain go over all of them")
    synthetic: dict[str, int] | None = key("sizes and seed of the generated task")
    submission: dict[str, Any] | None = key("file name and label names of the GLUE server's test-set file")
    published: dict[str, Any] = key("the task's settings that the top-level keys default to")

    def __post_init__(self) -> None:
        one_of("task.kind", self.kind, tuple(KINDS))
        kind = KINDS[self.kind]
        if self.metric == "auto":
            self.metric = kind.usual_metric(self.label_names)
        if self.metric in _ERRORS:
            raise SettingsError(
                f"task.metric={self.metric} counts errors, and more of a headline metric is better; set task.metric="
                f"{_ERRORS[self.metric]}, which is 1 - {self.metric}: both are reported"
            )
        one_of("task.metric", self.metric, METRICS)
        if len(self.text_columns) not in kind.TEXTS:
            raise SettingsError(f"task.text_columns={self.text_columns} must name {_COLUMNS[kind.TEXTS]}")
        self._check_names()
        if self.metric not in kind.METRICS:
            others = " or ".join(f"task.kind={name}" for name, other in KINDS.items() if self.metric in other.METRICS)
            raise SettingsError(
                f"task.metric={self.metric} is not for task.kind={self.kind}; take one of {', '.join(kind.METRICS)}, "
                f"or set {others}"
            )
        if wrong := kind.wrong(self):
            raise SettingsError(wrong)
        if self.metric == "f1" and "macro_f1" in kind.METRICS and len(self.label_names or ()) > 2:
            self.metric = "macro_f1"
        for name, given, needed in (
            ("submission", self.submission, {"file", "labels"}),
            ("synthetic", self.synthetic, {"train", "dev", "seed", *kind.GENERATED}),
        ):
            if given is not None and set(given) != needed:
                raise SettingsError(f"task.{name}={dict(given)} must have {', '.join(sorted(needed))} and nothing else")
        file = (self.submission or {}).get("file", "")
        if Path(file).name != file:
            raise SettingsError(
                f"task.submission.file={file} must be a file name; it is written into the run directory"
            )
        at_least_one("task.stride", self.stride)
        at_least_one("task.max_answer", self.max_answer)
        at_least_one("task.candidates", self.candidates)
        at_least_one("task.max_train", self.max_train)
        at_least_one("task.max_dev", self.max_dev)
        at_least_one("task.max_test", self.max_test)
        if self.folds is not None and self.folds < 2:
            raise SettingsError(f"task.folds={self.folds} must be at least 2, or null for no cross-validation")
        if self.fold is not None and not 0 <= self.fold < (self.folds or 0):
            allowed = f"0 … {self.folds - 1} (task.folds={self.folds})" if self.folds else "null without task.folds"
            raise SettingsError(f"task.fold={self.fold} must be {allowed}")
        if not (self.data_dir or self.hub_path or self.synthetic):
            wanted = "train/CLASS and dev/CLASS" if kind.MEDIUM and kind.NAMED else "train.* and dev.* files"
            wanted = "train/ and dev/ with clips and a metadata.csv" if kind.SPELLS else wanted
            raise SettingsError(f"task={self.name} needs task.data_dir=FOLDER with your {wanted}")
        if self.data_dir and not Path(self.data_dir).is_dir():
            raise SettingsError(f"task.data_dir={self.data_dir} is not a folder; give the one with train.* and dev.*")

    def _check_names(self) -> None:
        """Names are different: "1.1" and "1.10" are two."""
        names = self.label_names or []
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise SettingsError(f"task.label_names={names} names '{twice}' twice; give each class one name")

    @property
    def of_kind(self) -> Kind:
        """All that follows from the kind."""
        return KINDS[self.kind].of_task(self.label_names, vars(self))


@dataclass(kw_only=True)
class ModelSettings:
    name: str = key("name of the preset")
    name_or_path: str | None = key("model on the hub, or a local folder", "; goes before model.config", common=True)
    config: dict[str, Any] | None = key("settings of transformers' config for a model with random weights")
    tokenizer: str | None = key(
        "tokenizer, image processor or feature extractor, for random weights; null makes one for the task"
    )
    vocab_size: int | None = key("most entries of a vocabulary built from the task")
    trust_remote_code: bool = key("let a downloaded model run its own code; off unless you trust it")

    def __post_init__(self) -> None:
        if not (self.name_or_path or self.config):
            raise SettingsError("model has neither name_or_path nor config; set model.name_or_path=FOLDER or NAME")

    def of_folder(self, folder: str) -> "ModelSettings":
        """A model directory in place of this model, with its own tokenizer; as trusted as this one."""
        return replace(self, name="model_dir", name_or_path=folder, config=None, tokenizer=None, vocab_size=None)

    @property
    def label(self) -> str:
        """What to call the model: where its weights come from, else the preset."""
        return Path(self.name_or_path).name if self.name_or_path else self.name
