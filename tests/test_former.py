"""Keys and values that had another name are answered with the one they have now, wherever they stand."""

import pytest

from powerbert_cli import api
from powerbert_cli.cli import conf_dir, dispatch
from powerbert_cli.errors import PowerbertError
from powerbert_cli.settings.former import FORMER
from powerbert_cli.settings.keys import keys_in
from powerbert_cli.usage import groups
from powerbert_cli.verbs import VERBS, settings_of


def test_each_new_name_is_a_key_or_a_group():
    keys = {key.name for verb in VERBS for key in keys_in(settings_of(verb))}
    assert set(FORMER.values()) <= keys | {group for verb in VERBS for group in groups(verb, conf_dir())}
    assert not set(FORMER) & keys


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["bench", "checkpoint=RUN/model"], "checkpoint= is now model_dir="),
        (["finetune", "+threads=2"], "threads= is now runtime.threads="),
        (
            ["search", "++evolutionary.population=2"],
            "evolutionary.population= is now research.evolutionary.population=",
        ),
        (["bench", "variant.name=paper"], "variant.name= is now variant="),
        (["compress", "compress={flops:0.5}"], "compress.flops= is now target.flops="),
        (["search", "strategy=none"], "strategy=none is now retention=full"),
        (["finetune", "model_dir=RUN/model"], "start from a model with model.name_or_path=FOLDER"),
        (["export", "lambda=1e-3"], "unknown key 'lambda', which check, search, retrain, bench, sweep, study have"),
        (["search", "research.bins=3"], "unknown key 'research.bins' (did you mean 'research.retention.bins'?)"),
        (["search", "+research.retention.kind=relative"], "unknown key 'research.retention.kind'"),
        (["export"], "model_dir is not given; export takes a finished model"),
    ],
)
def test_as_whole_commands(args, said, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert dispatch(args) == 2
    err = capfd.readouterr().err
    assert said in err and err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("experiment/own.yaml", "# @package _global_\nmax_drop: 0.1", "max_drop= is now bench.max_drop="),
        ("experiment/own.yaml", "# @package _global_\ncompress: {flops: 0.5}", "compress.flops= is now target.flops="),
        ("experiment/own.yaml", "# @package _global_\nregularizer: loss", "regularizer= is now research.regularizer="),
        ("experiment/own.yaml", "# @package _global_\nstrategy: none", "strategy=none is now retention=full"),
        ("retention/own.yaml", "bins: 3", "retention.bins= is now research.retention.bins="),
    ],
)
def test_in_a_config_of_ones_own(path, content, said, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "conf" / path
    own.parent.mkdir(parents=True)
    own.write_text(content)
    assert dispatch(["bench", "--config-dir", "conf", f"{own.parent.name}=own"]) == 2
    assert said in capfd.readouterr().err


def test_in_python():
    with pytest.raises(PowerbertError, match="shortened= is now model_dir="):
        api.settings("bench", "shortened=RUN/model")
