"""Small models and folders that many tests share."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if os.environ.get("PYTEST_XDIST_WORKER"):  # workers share the cores, and so do the commands that they run
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from small import SMALL

# Files that take long: with these first no worker is left alone with one at the end.
LONG = ("test_kinds", "test_readme", "test_compress", "test_verbs", "test_onnx_file", "test_engines", "test_export")

# Where coverage follows the lines: to follow a whole command's takes as long again as to run it.
FOLLOWED = {"method", "encoder", "native", "models", "store", "tasks", "compress", "search", "training"}


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """What tests share is imported where tests run: the process that only hands them out starts at once.

    Not before pytest-cov follows the lines of a worker, or it misses those of what was imported.
    """
    config = session.config
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("once")


def pytest_configure() -> None:
    """absl, which tensorboard brings, is kept from closing pytest's own capture of stderr.

    Its handler holds the stderr of its import, and closes it at `logging.shutdown` unless it is the present one. Hydra
    calls that at the beginning of each job, which in a test with capfd has another stderr.
    """
    if find_spec("absl"):
        from absl import logging

        logging.get_absl_handler().python_handler.stream = sys.__stderr__


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in LONG)
    for item in items:
        if item.path.parent.name not in FOLLOWED:
            item.add_marker("no_cover")


@pytest.fixture
def host():
    from hosts import make_host

    return make_host()


@pytest.fixture
def batch():
    """Four inputs of 16, 9, 3 and 12 word-pieces, padded to 16."""
    import torch

    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([16, 9, 3, 12])
    mask = (torch.arange(16) < lengths[:, None]).long()
    ids = torch.randint(5, 100, (4, 16), generator=generator)
    return {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask}


@pytest.fixture
def real_data() -> Path:
    """The folder of real data named by POWERBERT_DATA; skips without it."""
    folder = os.environ.get("POWERBERT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set POWERBERT_DATA to a folder with glue/cola to run this")
    return Path(folder)


@pytest.fixture
def material():
    from trainings import make_material

    return make_material()


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory):
    """The finished stage of `finetune` with SMALL."""
    from powerbert_cli.cli import dispatch

    folder = tmp_path_factory.mktemp("finetuned")
    assert dispatch(["finetune", *SMALL, f"output_dir={folder}"]) == 0
    return next(path for path in folder.glob("stages/finetune-*") if path.is_dir())


def _retrained(folder: Path, finetuned: Path, *own: str) -> Path:
    from powerbert_cli.cli import dispatch

    shutil.copytree(finetuned, folder / "outputs" / "stages" / finetuned.name)
    keys = ["retention.lengths=[12,5]", f"output_dir={folder}/outputs", f"hydra.run.dir={folder}/run"]
    assert dispatch(["retrain", *SMALL, *keys, *own]) == 0
    return folder / "run/model"


@pytest.fixture(scope="session")
def shortened(tmp_path_factory, finetuned):
    """A shortened model directory of float32 layers."""
    return _retrained(tmp_path_factory.mktemp("shortened"), finetuned)


@pytest.fixture(scope="session")
def few_bits(tmp_path_factory, finetuned):
    """A shortened model directory whose layers have few bits."""
    own = ["compress.bits=4", "compress.act_bits=8", "compress.sparsity='2:4'"]
    return _retrained(tmp_path_factory.mktemp("few_bits"), finetuned, *own)


@pytest.fixture
def here(tmp_path, monkeypatch, finetuned):
    """The current folder, whose outputs/ has nothing but the finished fine-tune of SMALL."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finetuned, tmp_path / "outputs" / "stages" / finetuned.name)
    return tmp_path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, empty but for data/ with a train.tsv and a dev.tsv of two rows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("train", "dev"):
        (tmp_path / "data" / f"{name}.tsv").write_text("sentence\tlabel\na\t1\nb\t0\n")
    return tmp_path
