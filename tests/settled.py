"""A test session composes and settles each config once: hundreds of commands differ in a few values.

Hydra's own code and ours do all of it, the first time. The values of a command are applied anew.
"""

import copy
import pickle
from dataclasses import replace

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig

from powerbert_cli.cli import conf_dir
from powerbert_cli.settings import typed

_list = config_loader_impl.create_defaults_list
_merge = ConfigLoaderImpl._compose_config_from_defaults_list
_load = ConfigRepository.load_config
_listed: dict[str, DefaultsList] = {}
_loaded: dict[str, bytes] = {}
_merged: dict[str, bytes] = {}
_settle = typed.from_config
_settled: tuple[str, bytes] = ("", b"")


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


def load_once(self: ConfigRepository, config_path: str) -> ConfigResult | None:
    """One of the shipped configs, as it was read."""
    if not _are_shipped(self):
        return _load(self, config_path)
    if config_path not in _loaded:
        found = _load(self, config_path)
        try:
            _loaded[config_path] = pickle.dumps(found)
        except pickle.PicklingError:  # as in `merge_once`
            return found
    return pickle.loads(_loaded[config_path])


def settle_once(cfg: DictConfig, cls: type) -> object:
    """`from_config`: a command checks its settings before anything heavy is imported, and makes them again to run."""
    global _settled
    key = f"{cls} {cfg}"
    if key != _settled[0]:
        _settled = (key, pickle.dumps(_settle(cfg, cls)))
    return pickle.loads(_settled[1])


def compose_and_settle_once() -> None:
    """To be called before tests and verbs import what it replaces."""
    config_loader_impl.create_defaults_list = list_once
    ConfigLoaderImpl._compose_config_from_defaults_list = merge_once
    ConfigRepository.load_config = load_once
    ConfigRepository.__deepcopy__ = lambda self, memo: copy.copy(self)  # Hydra gives its copies other sources
    typed.from_config = settle_once
