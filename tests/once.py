"""What tests have in common is made once: files of a model for other engines, what the machine reaches, templates.

The real code does all of it, the first time.
"""

import functools
import gc
import hashlib
import os
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from settled import compose_and_settle_once

from powerbert_cli.models import onnx_file

PLAIN = int | float | str | bool | tuple | type(None)
_export = onnx_file.export_onnx


def key_of(model: torch.nn.Module) -> str:
    """A digest of all that decides what a model answers: its modules, what is set of them, and their tensors."""
    modules = repr(model).partition("(")[2]  # whatever its own class is called
    config = {name: value for name, value in model.config.to_dict().items() if name != "_name_or_path"}
    digest = hashlib.sha256(f"{modules} {sorted(config.items())} {getattr(model, 'elimination', '')}".encode())
    for name, module in model.named_modules():
        own = {key: value for key, value in sorted(vars(module).items()) if isinstance(value, PLAIN)}
        digest.update(f"{name} {own | dict.fromkeys(('training', '_is_torch_compile', 'name_or_path'))}".encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes() if tensor.dim() else b"")
        digest.update(str(tensor.item()).encode() if not tensor.dim() else b"")
    return digest.hexdigest()


def export_once(model: torch.nn.Module, path: Path) -> None:
    """`export_onnx`, which takes the file of the same model from a folder that all workers have."""
    known = Path(os.environ["POWERBERT_TEST_GRAPHS"], f"{key_of(model)}.onnx")
    with FileLock(known.with_suffix(".lock")):
        if not known.exists():
            _export(model, path)
            shutil.copy(path, known.with_suffix(".part"))
            known.with_suffix(".part").rename(known)
            return
    shutil.copy(known, path)


onnx_file.export_onnx = export_once  # before tests and engines import it
compose_and_settle_once()


@pytest.fixture(scope="session", autouse=True)
def once(tmp_path_factory, worker_id):
    """Bootstraps have fewer resamples; the tests of the intervals have all of them."""
    common = tmp_path_factory.getbasetemp()
    folder = (common if worker_id == "master" else common.parent) / "graphs"
    folder.mkdir(exist_ok=True)

    from powerbert_cli.recipes import bench
    from powerbert_cli.report import page
    from powerbert_cli.tasks import information, metrics

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POWERBERT_TEST_GRAPHS", str(folder))
        patch.setattr(bench, "measure_peaks", functools.cache(bench.measure_peaks))
        patch.setattr(page, "_template", functools.cache(page._template))
        for module in (metrics, information):
            patch.setattr(module, "_RESAMPLES", 100)
        yield


_collect = gc.collect


def pytest_collection_finish() -> None:
    """What was imported stays: the collector passes over it, and looks at the youngest alone."""
    _collect()
    gc.freeze()
    gc.collect = lambda generation=0: _collect(0)


def pytest_unconfigure() -> None:
    gc.collect = _collect
    gc.unfreeze()
