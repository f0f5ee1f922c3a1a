"""What every run does around its recipe."""

from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from .. import processes
from ..method.kernels import use_kernel
from ..settings import FinetuneSettings
from ..store.artifacts import write_json, write_text
from ..store.environment import capture
from ..store.home import IN_CONFIG, without_home
from ..training.trainer import resolve_device
from . import preflight
from .auto import settle
from .typed import S, from_config


def begin(cfg: Any, cls: type[S]) -> tuple[S, Path]:
    """Checks the settings and writes config.yaml and environment.json into the run directory.

    Returns:
        The typed settings and the run directory.
    """
    settle(cfg, cls)
    settings = from_config(cfg, cls)
    processes.join(cpu=resolve_device(settings.device) == "cpu")
    preflight.check(settings)
    use_kernel(settings.attention)
    if settings.runtime.threads:
        torch.set_num_threads(settings.runtime.threads)
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    for path in (*(run_dir / ".hydra").glob("*.yaml"), Path(HydraConfig.get().sweep.dir) / "multirun.yaml"):
        if path.is_file():  # Hydra's own records
            _write_config(path, path.read_text(encoding="utf-8"))
    _write_config(run_dir / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_environment(settings, run_dir)
    return settings, run_dir


def _write_config(path: Path, text: str) -> None:
    write_text(path, without_home(text, IN_CONFIG))


def write_environment(settings: FinetuneSettings, run_dir: Path) -> None:
    write_json(run_dir / "environment.json", capture(resolve_device(settings.device)))
