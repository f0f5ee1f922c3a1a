"""What every run does around its recipe."""

from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from .. import processes
from ..method.kernels import use_kernel
from ..settings import FinetuneSettings
from ..store.artifacts import whole_file, write_json
from ..store.environment import capture
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
    _without_home(run_dir / ".hydra" / "hydra.yaml")
    with whole_file(run_dir / "config.yaml") as temporary:
        OmegaConf.save(cfg, temporary, resolve=True)
    write_environment(settings, run_dir)
    return settings, run_dir


def _without_home(path: Path) -> None:
    """Hydra's own record names the folders of this machine; whose they are is nobody's business."""
    if path.is_file() and len(Path.home().parts) > 1:
        text = path.read_text(encoding="utf-8").replace(str(Path.home()), "~")
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def write_environment(settings: FinetuneSettings, run_dir: Path) -> None:
    write_json(run_dir / "environment.json", capture(resolve_device(settings.device)))
