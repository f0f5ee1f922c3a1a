"""Settings of a task of one's own that many tests share."""

from powerbert_cli.settings import TaskSettings


def task(folder, **changes) -> TaskSettings:
    values = {
        "name": "custom",
        "kind": "classification",
        "test_split": "test",
        "options_column": None,
        "stride": None,
        "no_answer": None,
        "max_answer": 30,
        "candidates": 50,
        "submission": None,
        "hub_path": None,
        "hub_name": None,
        "dev_split": "validation",
        "data_dir": str(folder),
        "text_columns": ["text"],
        "label_column": "label",
        "label_names": ["bad", "good"],
        "metric": "accuracy",
        "max_train": None,
        "max_dev": None,
        "max_test": None,
        "folds": None,
        "fold": None,
        "synthetic": None,
        "published": {},
    }
    return TaskSettings(**{**values, **changes})
