"""What tests have in common is made once: files of a model for other engines, what the machine reaches, templates.

The real code does all of it, the first time.
"""

import copy
import functools
import gc
import hashlib
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from filelock import FileLock
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from powerbert_cli.cli import conf_dir
from powerbert_cli.models import onnx_file
from powerbert_cli.settings import typed

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

_list = config_loader_impl.create_defaults_list
_merge = ConfigLoaderImpl._compose_config_from_defaults_list
_listed: dict[str, DefaultsList] = {}
_merged: dict[str, bytes] = {}


def _are_shipped(repo: IConfigRepository) -> bool:
    """Whether configs come from nowhere but the package, Hydra and its plugins, where no test writes."""
    paths = {source.path for source in repo.get_sources() if source.scheme() == "file"}
    return paths <= {str(conf_dir())}


def list_once(repo: IConfigRepository, config_name: str, overrides_list: list[Override], **how: bool) -> DefaultsList:
    """Hydra's list of configs, which follows from the verb and the groups chosen."""
    values = Overrides(repo, overrides_list).config_overrides
    groups = [one.input_line for one in overrides_list if one not in values and not one.is_sweep_override()]
    key = repr((config_name, groups, how))
    if not _are_shipped(repo):
        return _list(repo, config_name, overrides_list, **how)
    if key not in _listed:
        _listed[key] = _list(repo, config_name, overrides_list, **how)
    return replace(_listed[key], config_overrides=values)


def merge_once(self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
    """Hydra's merging of them, before the command's own values."""
    if not _are_shipped(repo):
        return _merge(self, defaults, repo)
    key = repr([vars(one) for one in defaults])
    if key not in _merged:
        found = _merge(self, defaults, repo)
        try:
            _merged[key] = pickle.dumps(found)
        except pickle.PicklingError:  # a plugin's class, which Hydra looks for by loading all plugins anew
            return found
    return pickle.loads(_merged[key])


config_loader_impl.create_defaults_list = list_once
ConfigLoaderImpl._compose_config_from_defaults_list = merge_once
ConfigRepository.__deepcopy__ = lambda self, memo: copy.copy(self)  # Hydra's copies are given another list of sources
_settle = typed.from_config
_settled: tuple[str, bytes] = ("", b"")


def settle_once(cfg: DictConfig, cls: type) -> object:
    """`from_config`: a command checks its settings before anything heavy is imported, and makes them again to run."""
    global _settled
    key = f"{cls} {cfg}"
    if key != _settled[0]:
        _settled = (key, pickle.dumps(_settle(cfg, cls)))
    return pickle.loads(_settled[1])


typed.from_config = settle_once
_parse = yaml.load
_parsed: dict[str, object] = {}


def parse_once(stream, Loader):
    """`yaml.load` for OmegaConf, which copies what it gets, of the same few configs again and again."""
    if not Loader.__module__.startswith("omegaconf"):
        return _parse(stream, Loader=Loader)
    text = stream if isinstance(stream, str) else stream.read()
    if text not in _parsed:
        _parsed[text] = _parse(text, Loader=Loader)
    return _parsed[text]


yaml.load = parse_once


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
