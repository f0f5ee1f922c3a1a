"""Configs from a folder that is named set keys and run no code."""

import importlib

import pytest

from powerbert_cli.cli import dispatch
from powerbert_cli.errors import PowerbertError
from powerbert_cli.foreign import ALLOWED, check_folders

FOREIGN = [
    "hydra: {callbacks: {mine: {_target_: os.system, command: touch ran}}}",
    "hydra: {job_logging: {handlers: {mine: {'()': subprocess.call, args: touch ran}}}}",
    "hydra: {job_logging: {handlers: {mine: {class: os.system}}}}",
    "hydra: {sweeper: {custom_search_space: os.system}}",
    "hydra: {callbacks: {mine: {_target_: '${name}'}}}",
    "hydra.callbacks.mine._target_: os.system",
    "hydra: {searchpath: ['file:///tmp']}",
    "name: [",
    "hydra: {callbacks: {mine: {_target_: logging.FileHandler, filename: mine.txt, mode: w}}}",
    "hydra: {job_logging: {handlers: {file: {filename: mine.txt, mode: w}}}}",
    "hydra: {job_logging: {handlers: {console: {stream: 'ext://antigravity.x'}}}}",
    "model: {trust_remote_code: true, name_or_path: mine}",
    "model: {trust_remote_code: '${seed}'}",
    "model: '${oc.decode:\"{trust_remote_code: true}\"}'",
    "hydra: {callbacks: '${oc.create:\"{a: {_target_: os.system}}\"}'}",
    "hydra: {launcher: {setup: ['touch ran']}}",
    "hydra: {launcher: {additional_parameters: {wrap: touch ran}}}",
    "hydra: {job: {env_set: {LD_PRELOAD: mine.so}}}",
]


@pytest.mark.parametrize("content", FOREIGN)
@pytest.mark.parametrize("flag", [["--config-dir", "mine"], ["--config-dir=mine"], ["-cd", "mine"]])
def test_a_config_from_elsewhere_runs_no_code(folder, capfd, content, flag):
    (folder / "mine" / "task").mkdir(parents=True)
    (folder / "mine" / "task" / "theirs.yaml").write_text(f"# @package _global_\n{content}\n")
    assert dispatch(["finetune", *flag, "task=theirs"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("powerbert: mine/task/theirs.yaml: ") and err.count("\n") == 1
    assert not (folder / "ran").exists() and not (folder / "outputs").exists()


@pytest.mark.parametrize("module", sorted({name.rpartition(".")[0] for name in ALLOWED} | {"logging", "os", "torch"}))
def test_only_the_names_that_are_listed_may_be_called(tmp_path, module):
    """Every public attribute of the modules that allowed names are in."""
    try:
        names = [name for name in dir(importlib.import_module(module)) if not name.startswith("_")]
    except ImportError:
        pytest.skip(f"{module} is not installed")
    path = tmp_path / "theirs.yaml"
    passed = set()
    for name in names:
        for key in ("_target_", "class", "()"):
            path.write_text(f"x: {{'{key}': {module}.{name}}}")
            try:
                check_folders(["--config-dir", str(tmp_path)])
            except PowerbertError:
                continue
            passed.add(f"{module}.{name}")
    assert passed == {name for name in ALLOWED if name.rpartition(".")[0] == module}


def test_a_folder_on_the_search_path_is_checked_too(folder, capfd):
    (folder / "mine" / "task").mkdir(parents=True)
    (folder / "mine" / "task" / "theirs.yaml").write_text(f"# @package _global_\n{FOREIGN[0]}\n")
    for given in ("[file://mine]", "[mine]", "['file://mine']"):
        assert dispatch(["finetune", f"hydra.searchpath={given}", "task=theirs"]) == 2
        assert "names code to run" in capfd.readouterr().err


@pytest.mark.parametrize("flag", ["--config-d", "--config-di=mine", "--multi", "-cdmine", "--experimental-rerun=x"])
def test_flags_have_their_whole_names(folder, capfd, flag):
    assert dispatch(["finetune", flag, "mine"]) == 2
    assert f"unknown flag {flag.partition('=')[0]}" in capfd.readouterr().err


def test_trust_on_the_command_line_counts(folder):
    assert dispatch(["finetune", "model.trust_remote_code=true", "--cfg", "job"]) == 0


def test_a_folder_below_home_is_checked_too(folder, capfd, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "mine" / "task").mkdir(parents=True)
    (folder / "mine" / "task" / "theirs.yaml").write_text(f"# @package _global_\n{FOREIGN[0]}\n")
    assert dispatch(["finetune", "--config-dir=~/mine", "task=theirs"]) == 2
    assert "names code to run" in capfd.readouterr().err


@pytest.mark.parametrize("args", [[], ["--config-dir"], ["--config-dir="], ["lambda=1e-3"]])
def test_command_lines_without_a_folder_of_configs(tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "not_named.yaml").write_text(FOREIGN[0])
    check_folders(args)


def test_a_config_from_elsewhere_sets_keys(folder, capfd):
    (folder / "mine" / "task").mkdir(parents=True)
    (folder / "mine" / "task" / "theirs.yaml").write_text("defaults: [custom]\nname: theirs\nlabel_names: [a, b]\n")
    assert dispatch(["finetune", "--config-dir", "mine", "task=theirs", "--cfg", "job"]) == 0
    assert "name: theirs" in capfd.readouterr().out
