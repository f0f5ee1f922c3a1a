"""Texts that ℓ cuts are told loudly, with what another ℓ would cut."""

import logging

import pytest
from hydra import compose, initialize_config_dir

from powerbert_cli.cli import conf_dir
from powerbert_cli.settings.typed import typed
from powerbert_cli.stages.context import Context
from powerbert_cli.verbs import settings_of


def said(tmp_path, caplog, words, seq_len):
    rows = "".join(f"{' '.join(['a'] * count)},{i % 2}\n" for i, count in enumerate(words))
    for name in ("train", "dev"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}")
    given = ["task=custom", f"task.data_dir={tmp_path}", "task.label_names=[no,yes]", f"seq_len={seq_len}"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        settings, _ = typed(
            compose("finetune", overrides=[*given, "task.text_columns=[text]"]), settings_of("finetune")
        )
    with caplog.at_level("INFO"):
        Context(settings).material  # noqa: B018
    return [record for record in caplog.records if "cuts" in record.getMessage()]


@pytest.mark.parametrize(
    ("words", "level", "shares"),
    [
        # [CLS] and [SEP] count: 30 words are 32 word-pieces
        (
            [5] * 50 + [30] * 50,
            logging.WARNING,
            (50.0, 32, 0.0),
        ),
        (
            [5] * 97 + [20, 25, 30],
            logging.INFO,
            (3.0, 27, 1.0),
        ),
        ([5] * 99 + [14], None, None),
    ],
)
def test_how_many_texts_are_cut(tmp_path, caplog, words, level, shares):
    found = said(tmp_path, caplog, words, 16)
    if level is None:
        assert not found
        return
    message = "seq_len=16 cuts {:.1f}% of the training texts; seq_len={} would cut {:.1f}%".format(*shares)
    assert [(one.levelno, one.getMessage()) for one in found] == [(level, message)]
