"""Keys and values that had another name are answered with the one they have now, wherever they stand."""

import pytest

from powerbert_cli import api
from powerbert_cli.cli import conf_dir, dispatch
from powerbert_cli.errors import PowerbertError
from powerbert_cli.settings import former
from powerbert_cli.settings.former import FORMER, FORMER_VALUES
from powerbert_cli.settings.keys import keys_in
from powerbert_cli.usage import groups
from powerbert_cli.verbs import VERBS, settings_of

GIVEN = [(name, f"{name}=1", f"{name}= is now {now}=") for name, now in FORMER.items()]
GIVEN += [(name, f"{name}={value}", f"{name}={value} is now {now}") for (name, value), now in FORMER_VALUES.items()]


@pytest.mark.parametrize(("name", "now"), FORMER.items())
def test_the_new_name_is_a_key_or_a_group(name, now):
    having = [
        verb
        for verb in VERBS
        if now in {key.name for key in keys_in(settings_of(verb))} | set(groups(verb, conf_dir()))
    ]
    assert having
    assert all(name not in {key.name for key in keys_in(cls)} for cls in map(settings_of, VERBS))


@pytest.mark.parametrize("before", ["", "+", "++", "hydra.sweeper.params."])
@pytest.mark.parametrize(("name", "given", "said"), GIVEN)
def test_on_the_command_line(name, given, said, before):
    for verb in ("bench", "finetune"):
        with pytest.raises(PowerbertError) as error:
            former.check(verb, [f"{before}{given}"])
        assert said in str(error.value)


@pytest.mark.parametrize(("name", "given", "said"), GIVEN)
def test_in_a_config_of_ones_own(tmp_path, name, given, said):
    """In a file that sets keys anywhere, and in one of the group that they belong to."""
    *nodes, last = name.split(".")
    value = given.partition("=")[2]
    (tmp_path / "experiment").mkdir()
    lines = [f"{'  ' * depth}{node}:" for depth, node in enumerate(nodes)] + [f"{'  ' * len(nodes)}{last}: {value}"]
    (tmp_path / "experiment" / "own.yaml").write_text("\n".join(["# @package _global_", *lines]))
    with pytest.raises(PowerbertError) as error:
        former.check_folders([str(tmp_path)])
    assert said in str(error.value) and "own.yaml" in str(error.value)
    if not nodes:
        return
    (tmp_path / "experiment" / "own.yaml").write_text("seed: 1\n")
    (tmp_path / nodes[0]).mkdir()
    (tmp_path / nodes[0] / "mine.yaml").write_text(f"{last}: {value}\n")
    with pytest.raises(PowerbertError, match="mine.yaml"):
        former.check_folders([str(tmp_path)])


def test_what_only_looks_like_a_former_key_passes(tmp_path):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "own.yaml").write_text("name: checkpoint\nlabel_names: [attention, none]\nmax_drop: 1\n")
    former.check_folders([str(tmp_path), "nowhere"])
    former.check(
        "bench", ["bench.threads=[1]", "target.max_drop=0.1", "variant=paper", "bench.rounds=3", "strategy=head"]
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["bench", "checkpoint=RUN/model"], "checkpoint= is now model_dir="),
        (["compress", "compress={flops:0.5}"], "compress.flops= is now target.flops="),
        (["search", "strategy=none"], "strategy=none is now retention=full"),
        (["sweep", "strategy=attention,none"], "strategy=none is now retention=full"),
        (["finetune", "model_dir=RUN/model"], "start from a model with model.name_or_path=FOLDER"),
        (["finetune", "+model_dir=RUN/model"], "start from a model with model.name_or_path=FOLDER"),
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


def test_in_a_folder_that_the_command_names(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nevolutionary: {population: 4}\n")
    assert dispatch(["search", "--config-dir", "conf", "experiment=mine"]) == 2
    assert "evolutionary.population= is now research.evolutionary.population=" in capfd.readouterr().err


def test_in_python():
    with pytest.raises(PowerbertError, match="shortened= is now model_dir="):
        api.settings("bench", "shortened=RUN/model")
