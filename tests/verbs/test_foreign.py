"""Configs from a folder that is named set keys and run no code."""

import os

import pytest
from omegaconf.basecontainer import BaseContainer

from powerbert_cli.cli import dispatch
from powerbert_cli.errors import PowerbertError
from powerbert_cli.foreign import check_folders

RUNS = "# @package _global_\nhydra: {callbacks: {mine: {_target_: os.mkdir, path: ran}}}\n"
FOREIGN = [
    "hydra: {callbacks: {mine: {_target_: os.system, command: touch ran}}}",
    "hydra: {job_logging: {handlers: {mine: {'()': subprocess.call, args: touch ran}}}}",
    "hydra: {sweeper: {custom_search_space: os.system}}",
    "hydra: {launcher: {whatever_comes_next: touch ran}}",
    "hydra: {run: {dir: elsewhere}}",
    "hydra.callbacks.mine._target_: os.system",
    "name: {hydra: {job: {}}}",
    "name: {_target_: os.system}",
    "name: [{deep: [{_partial_: true}]}]",
    "a: &x {_target_: os.system}\nb: {<<: *x}",
    "name: [",
    "name: !!python/name:os.system ''",
    "name: !mine x",
    "model: {trust_remote_code: true, name_or_path: mine}",
    "model: {trust_remote_code: '${seed}'}",
    "model: {trust_remote_code: {a: b}}",
    "a: &t true\nmodel: {trust_remote_code: *t}",
    "defaults: [{override /hydra/launcher: joblib}]",
    "defaults: [{override hydra/launcher: joblib}]",
    "defaults: [/hydra/launcher/joblib]",
    "defaults: ['custom@hydra.callbacks']",
    "defaults: [{'/task@hydra.callbacks': custom}]",
    "defaults: [{task: ['a', 'b@hydra']}]",
    "defaults: ['${name}/launcher']",
    "defaults: [../../hidden/x]",
    "defaults: [/../hidden/x]",
    "defaults: [//tmp/x]",
    "defaults: [{/../hidden: x}]",
    "a: &d [../x]\ndefaults: *d",
]


def theirs(folder, content, name="theirs.yaml"):
    (folder / "mine" / "task").mkdir(parents=True, exist_ok=True)
    (folder / "mine" / "task" / name).write_text(content)


@pytest.mark.parametrize("content", FOREIGN)
def test_a_config_from_elsewhere_sets_keys_of_powerbert_alone(folder, content):
    theirs(folder, f"# @package _global_\n{content}\n")
    with pytest.raises(PowerbertError, match=r"^mine/task/theirs.yaml: "):
        check_folders(["--config-dir", "mine"])


@pytest.mark.parametrize("flag", [["--config-dir", "mine"], ["--config-dir=mine"], ["-cd", "mine"], ["-cd=mine"]])
def test_a_folder_is_checked_however_it_is_named(folder, capfd, flag):
    theirs(folder, RUNS)
    assert dispatch(["finetune", "task=theirs", *flag]) == 2
    err = capfd.readouterr().err
    assert err.startswith("powerbert: mine/task/theirs.yaml: hydra: ") and err.count("\n") == 1
    assert not (folder / "ran").exists() and not (folder / "outputs").exists()


@pytest.mark.parametrize(
    "given",
    ["[file://mine]", "[mine]", "['file://mine']", '["mine"]', "[elsewhere,mine]", r"[my\ own]", "['file://my own']"],
)
@pytest.mark.parametrize("key", ["hydra.searchpath", "+hydra.searchpath", "++hydra.searchpath"])
def test_a_folder_on_the_search_path_is_checked_too(folder, key, given):
    theirs(folder, RUNS)
    (folder / "my own").symlink_to("mine")
    with pytest.raises(PowerbertError, match="names Hydra's own node"):
        check_folders([f"{key}={given}"])


def test_several_folders_are_all_checked(folder):
    theirs(folder, RUNS)
    (folder / "fine").mkdir()
    with pytest.raises(PowerbertError):
        check_folders(["--config-dir=fine", "hydra.searchpath=[fine]", "hydra.searchpath=[mine]"])


def test_the_search_path_has_folders_alone(folder):
    with pytest.raises(PowerbertError, match="pkg://os: must be a folder"):
        check_folders(["hydra.searchpath=[pkg://os]"])


@pytest.mark.parametrize("resolver", [*BaseContainer._resolvers, "os.system", "powerbert"])
@pytest.mark.parametrize("text", ["${RESOLVER:a}", "x ${RESOLVER:a,b} y", "${RESOLVER:${name}}", "${a.${RESOLVER:b}}"])
def test_no_resolver_runs(folder, resolver, text):
    """Of those that OmegaConf and Hydra register, none is let through; nor is a name that a plugin may register."""
    theirs(folder, f"name: '{text.replace('RESOLVER', resolver)}'\n")
    with pytest.raises(PowerbertError, match="only references"):
        check_folders(["--config-dir", "mine"])


@pytest.mark.parametrize(
    "text", ["${seed}", "${task.name}", "${.name}", "a ${seed} b ${seeds[0]}", "5 $", "${oc.env:HOME}"]
)
def test_plain_references_are_taken(folder, text):
    """The home folder too, which a run's own config.yaml names so."""
    theirs(folder, f"name: '{text}'\n")
    check_folders(["--config-dir", "mine"])


@pytest.mark.parametrize("header", ["# @package hydra", "# @package hydra.callbacks", "\n#@package _global_.hydra.job"])
def test_headers_lead_to_no_node_of_hydra(folder, header):
    theirs(folder, f"{header}\nname: x\n")
    with pytest.raises(PowerbertError, match="@package"):
        check_folders(["--config-dir", "mine"])


@pytest.mark.parametrize("group", ["hydra/launcher", "Hydra/callbacks", "task/hydra"])
def test_no_group_is_called_hydra(folder, group):
    (folder / "mine" / group).mkdir(parents=True)
    with pytest.raises(PowerbertError, match="its name"):
        check_folders(["--config-dir", "mine"])


@pytest.mark.parametrize("name", ["a\nb.yaml", "a\\b.yaml", "a\x1b.yaml", "hydra.yaml"])
def test_odd_names(folder, name):
    theirs(folder, "name: x\n", name)
    with pytest.raises(PowerbertError, match="name"):
        check_folders(["--config-dir", "mine"])


@pytest.mark.parametrize("name", ["theirs.YAML", "theirs.yml", ".theirs.yaml"])
def test_other_endings_and_hidden_files_are_checked(folder, name):
    theirs(folder, RUNS, name)
    with pytest.raises(PowerbertError):
        check_folders(["--config-dir", "mine"])


@pytest.mark.parametrize("target", ["../hidden", "../hidden/x.yaml", "nowhere", ".", "../mine", "../data"])
@pytest.mark.parametrize("name", ["experiment", "x.yaml"])
def test_links_are_refused(folder, target, name):
    (folder / "hidden").mkdir()
    (folder / "hidden" / "x.yaml").write_text(RUNS)
    (folder / "mine").mkdir()
    (folder / "mine" / name).symlink_to(target)
    with pytest.raises(PowerbertError, match=f"mine/{name}: is a link"):
        check_folders(["--config-dir", "mine"])


def test_a_pipe_is_refused(folder):
    (folder / "mine").mkdir()
    os.mkfifo(folder / "mine" / "x.yaml")
    with pytest.raises(PowerbertError, match="a link or a device"):
        check_folders(["--config-dir", "mine"])


def test_the_folder_itself_may_be_a_link(folder, capfd):
    theirs(folder, "defaults: [custom]\nname: theirs\n")
    (folder / "link").symlink_to("mine")
    assert dispatch(["finetune", "--config-dir", "link", "task=theirs", "--cfg", "job"]) == 0
    theirs(folder, RUNS)
    assert dispatch(["finetune", "--config-dir", "link", "task=theirs", "--cfg", "job"]) == 2


def test_a_linked_folder_runs_nothing(folder, capfd):
    """As an archive or a repository may carry it: Hydra would call the target before any setting is checked."""
    (folder / "hidden").mkdir()
    (folder / "hidden" / "x.yaml").write_text(RUNS)
    (folder / "mine").mkdir()
    (folder / "mine" / "experiment").symlink_to("../hidden")
    assert dispatch(["finetune", "--config-dir", "mine", "experiment=x", "batch_size=0"]) == 2
    assert capfd.readouterr().err.startswith("powerbert: mine/experiment: is a link")
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    "args", [["experiment=../../hidden/x"], ["+task@a=../../hidden/x"], ["-cn", "../hidden/x"], ["-cn=../hidden/x"]]
)
def test_no_name_leads_out_of_the_folder(folder, capfd, args):
    (folder / "hidden").mkdir()
    (folder / "hidden" / "x.yaml").write_text(RUNS)
    (folder / "mine").mkdir()
    assert dispatch(["finetune", "--config-dir", "mine", *args]) == 2
    assert "must be a config's name" in capfd.readouterr().err
    assert not (folder / "ran").exists()


def test_a_folder_that_cannot_be_listed_is_refused(folder, monkeypatch):
    (folder / "mine").mkdir()
    monkeypatch.setattr(
        "os.scandir", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied", path))
    )
    with pytest.raises(PowerbertError, match="mine: Permission denied"):
        check_folders(["--config-dir", "mine"])


def test_anchors_cost_nothing(folder):
    """A reference to itself, and one that would unfold to 10^30 entries."""
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 31))]
    theirs(folder, "\n".join(["own: &own [*own]", *lines]))
    check_folders(["--config-dir", "mine"])


@pytest.mark.parametrize("flag", ["--config-d", "--config-di=mine", "--multi", "-cdmine", "--experimental-rerun=x"])
def test_flags_have_their_whole_names(folder, capfd, flag):
    assert dispatch(["finetune", flag, "mine"]) == 2
    assert f"unknown flag {flag.partition('=')[0]}" in capfd.readouterr().err


@pytest.mark.parametrize("flag", [["--config-path", "mine"], ["-cp=mine"]])
def test_the_shipped_configs_stay(folder, capfd, flag):
    assert dispatch(["finetune", *flag]) == 2
    assert "--config-dir=FOLDER adds your own" in capfd.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["seed=7", "--config-dir", "mine", "task=theirs", "--cfg", "job"],
        ["seed=7", "--config-dir=mine", "task=theirs", "--cfg=job"],
        ["--cfg", "job", "seed=7", "-cd", "mine", "task=theirs"],
        ["--config-dir", "mine", "--cfg", "job", "task=theirs", "seed=7"],
    ],
)
def test_flags_stand_anywhere(folder, capfd, args):
    theirs(folder, "defaults: [custom]\nname: theirs\n")
    assert dispatch(["finetune", *args]) == 0
    out = capfd.readouterr().out
    assert "name: theirs" in out and "seed: 7\n" in out


def test_trust_on_the_command_line_counts(folder):
    assert dispatch(["finetune", "model.trust_remote_code=true", "--cfg", "job"]) == 0


def test_a_folder_below_home_is_checked_too(folder, capfd, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    theirs(folder, RUNS)
    assert dispatch(["finetune", "--config-dir=~/mine", "task=theirs"]) == 2
    assert "names Hydra's own node" in capfd.readouterr().err


@pytest.mark.parametrize("args", [[], ["--config-dir"], ["--config-dir="], ["lambda=1e-3"]])
def test_command_lines_without_a_folder_of_configs(tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "not_named.yaml").write_text(RUNS)
    check_folders(args)


def test_a_config_from_elsewhere_sets_keys(folder, capfd):
    theirs(folder, "defaults: [custom, _self_]\nname: theirs\nlabel_names: [a, b]\n")
    (folder / "mine" / "experiment").mkdir()
    (folder / "mine" / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults: [{override /task: theirs}]\nmodel: {trust_remote_code: false}\nseed: 7\n"
    )
    assert dispatch(["finetune", "--config-dir", "mine", "experiment=own", "--cfg", "job"]) == 0
    out = capfd.readouterr().out
    assert "name: theirs" in out and "seed: 7\n" in out
