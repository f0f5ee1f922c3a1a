import pytest

from powerbert_cli.cli import dispatch
from powerbert_cli.store.home import IN_CONFIG, with_home, without_home


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "ada"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder


def test_only_paths_below_the_home_folder_change(home):
    text = f'a: {home}/data\nb: "{home}"\nc: [{home}/x,{home}]\nd: {home}s/data\ne: /mnt{home}/data\n'
    assert without_home(text) == f'a: ~/data\nb: "~"\nc: [~/x,~]\nd: {home}s/data\ne: /mnt{home}/data\n'
    assert without_home(f"a: {home}/b", IN_CONFIG) == "a: ${oc.env:HOME}/b"


def test_the_root_as_home_changes_nothing(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert without_home("/data /") == "/data /"


def test_overrides_know_the_home_folder(home):
    given = ["task.data_dir=~/a", "x=[~/a,~/b]", "output_dir=~", "~seed", "name=a~/b"]
    wanted = [f"task.data_dir={home}/a", f"x=[{home}/a,{home}/b]", f"output_dir={home}", "~seed", "name=a~/b"]
    assert [with_home(one) for one in given] == wanted


def test_no_artifact_names_the_home_folder(home, capfd):
    (home / "data").mkdir()
    for name in ("train", "dev"):
        rows = "".join(f"a text of number {i}\t{i % 2}\n" for i in range(8))
        (home / "data" / f"{name}.tsv").write_text(f"sentence\tlabel\n{rows}")
    data = ["task=cola", "task.data_dir=~/data", "task.metric=accuracy", "model=tiny", "epochs=1", "seq_len=16"]
    args = ["sweep", *data, "lambda=1e-2", "bench.rounds=3", "bench.examples=8", "bench.paddings=[sorted]"]
    assert dispatch([*args, "output_dir=~/out"]) == 0, capfd.readouterr().err
    assert "nothing is learnt; set search.epochs higher" in capfd.readouterr().out  # one step, in warm-up
    texts = {path: path.read_bytes() for path in (home / "out").rglob("*") if path.is_file()}
    assert [path for path, content in texts.items() if str(home).encode() in content] == []
    # and what was written for this run is what starts another one
    [config] = (home / "out").glob("sweep/*/*/0/config.yaml")
    assert "data_dir: ${oc.env:HOME}/data" in config.read_text()
    (home / "mine" / "experiment").mkdir(parents=True)
    (home / "mine" / "experiment" / "again.yaml").write_text(f"# @package _global_\n{config.read_text()}")
    assert dispatch(["sweep", "--config-dir", "mine", "experiment=again", "lambda=1e-2", "--cfg", "job"]) == 0
    assert "data_dir: ${oc.env:HOME}/data" in capfd.readouterr().out
