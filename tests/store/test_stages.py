import json
import multiprocessing
import shutil
import threading
import time
from pathlib import Path

import pytest

from powerbert_cli.store.artifacts import whole_file, write_json
from powerbert_cli.store.stages import StageStore, _exchanged, export, identity_of


def maker(calls):
    def make(result, checkpoints):
        calls.append(1)
        (result / "model").mkdir()
        (result / "model" / "model.safetensors").write_bytes(b"weights")
        write_json(result / "metrics.json", {"value": len(calls)})

    return make


def test_made_once_for_the_same_settings(tmp_path):
    store, calls = StageStore(tmp_path), []
    first = store.ensure("finetune", {"lr": 1}, maker(calls), fresh=False)
    second = store.ensure("finetune", {"lr": 1}, maker(calls), fresh=False)
    assert (first.made, second.made, len(calls)) == (True, False, 1)
    assert store.ensure("finetune", {"lr": 2}, maker(calls), fresh=False).identity != first.identity
    assert store.ensure("finetune", {"lr": 1}, maker(calls), fresh=True).made


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_fresh_stage_takes_the_place_of_the_old_one_whole(tmp_path, monkeypatch, exchanges):
    """Readers take no lock: while it is made, and up to the moment that it is there, the old one is complete."""
    if not exchanges:
        monkeypatch.setattr("powerbert_cli.store.stages._exchanged", lambda one, other: False)
    store, calls, seen = StageStore(tmp_path), [], []
    folder = store.ensure("finetune", {}, maker(calls), fresh=False).folder
    rmtree = shutil.rmtree

    def whole():
        files = sorted(path.name for path in folder.rglob("*") if path.is_file())
        seen.append((files, json.loads((folder / "metrics.json").read_text())["value"]))

    def removed(path, **options):
        rmtree(path, **options)
        whole()

    def make(result, checkpoints):
        maker(calls)(result, checkpoints)
        whole()

    monkeypatch.setattr("powerbert_cli.store.stages.shutil.rmtree", removed)
    assert store.ensure("finetune", {}, make, fresh=True).made
    assert {name for names, _ in seen for name in names} == {"metrics.json", "model.safetensors", "stage.json"}
    assert all(len(names) == 3 for names, _ in seen)
    values = [value for _, value in seen]
    assert values == sorted(values) and set(values) == {1, 2}
    assert [path.name for path in store.root.iterdir() if not path.name.endswith(".lock")] == [folder.name]


def test_a_reader_beside_fresh_stages_always_finds_one(tmp_path):
    store, calls, failures, ended = StageStore(tmp_path), [], [], threading.Event()
    folder = store.ensure("finetune", {}, maker(calls), fresh=False).folder
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    if not _exchanged(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this system exchanges no folders")

    def read():
        while not ended.is_set():
            try:
                (folder / "model" / "model.safetensors").read_bytes()
            except OSError as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        store.ensure("finetune", {}, maker(calls), fresh=True)
    ended.set()
    reader.join()
    assert not failures


def test_damaged_stage_is_made_anew(tmp_path):
    store, calls = StageStore(tmp_path), []
    stage = store.ensure("search", {}, maker(calls), fresh=False)
    (stage.folder / "model" / "model.safetensors").write_bytes(b"trunc")
    assert store.ensure("search", {}, maker(calls), fresh=False).made


def test_a_failed_stage_leaves_nothing_under_its_name_but_its_checkpoints(tmp_path):
    store = StageStore(tmp_path)

    def fail(result, checkpoints):
        checkpoints.mkdir(parents=True)
        (checkpoints / "step").write_text("1")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        store.ensure("search", {}, fail, fresh=False)
    assert [p.name for p in store.root.iterdir() if not p.name.startswith(".")] == []
    seen = []
    store.ensure("search", {}, lambda result, checkpoints: seen.append((checkpoints / "step").read_text()), fresh=False)
    assert seen == ["1"]


def _slow_make(folder, log):
    def make(result, checkpoints):
        with open(log, "a") as stream:
            stream.write("made\n")
        time.sleep(0.5)

    StageStore(folder).ensure("finetune", {}, make, fresh=False)


def test_parallel_jobs_make_a_stage_once(tmp_path):
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=_slow_make, args=(tmp_path / "out", log)) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(timeout=30)
    assert log.read_text() == "made\n"


def test_export_copies_all_but_the_manifest(tmp_path):
    stage = StageStore(tmp_path).ensure("finetune", {}, maker([]), fresh=False)
    export(stage.folder, tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").rglob("*") if p.is_file()) == ["metrics.json", "model.safetensors"]


def test_an_export_that_is_stopped_leaves_no_half_file(tmp_path, monkeypatch):
    stage = StageStore(tmp_path).ensure("finetune", {}, maker([]), fresh=False)

    def stopped(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr("powerbert_cli.store.stages.shutil.copyfile", stopped)
    with pytest.raises(KeyboardInterrupt):
        export(stage.folder, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.json"))


def test_identity_sees_values_not_order():
    assert identity_of({"a": 1, "b": 2}) == identity_of({"b": 2, "a": 1}) != identity_of({"a": 1, "b": 3})


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "metrics.json"
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n  "a": 1\n}\n'
