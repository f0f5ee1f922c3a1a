"""An Optuna study in persistent storage: the same sweep command goes on with it."""

import hashlib
import re
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf, open_dict

from ..errors import PowerbertError
from ..report.console import console

_FREE = ("hydra", "output_dir", "runtime", "fresh")  # what may differ between two calls that share a study
_MARK, _FOLDERS = "powerbert_settings", "powerbert_sweeps"  # attributes of the study


def go_on(config: Any) -> tuple[str, list[str]] | None:
    """Has Hydra's sweeper run only the trials that the study still lacks.

    Args:
        config: composed, before the sweeper is made; its n_trials and seed are changed.

    Returns:
        A token of the study, and the sweep folders of earlier calls; None if the sweep has no persistent study.

    Raises:
        PowerbertError: the storage cannot be used, or the study is one of other settings.
    """
    sweeper = config.hydra.sweeper
    storage, name = sweeper.get("storage"), sweeper.get("study_name")
    if not storage:
        return None
    if not name:
        raise PowerbertError(
            f"hydra.sweeper.storage={storage} needs a name to go on with: hydra.sweeper.study_name=NAME"
        )
    study = _opened(sweeper, str(storage), str(name))
    settings = _settings_hash(config)
    if study.user_attrs.get(_MARK, settings) != settings:
        raise PowerbertError(
            f"hydra.sweeper.study_name={name}: the study in {storage} is one of other settings; give another name"
        )
    earlier = study.user_attrs.get(_FOLDERS, [])
    study.set_user_attr(_MARK, settings)
    study.set_user_attr(_FOLDERS, [*earlier, str(Path(config.hydra.sweep.dir).resolve())])
    finished = sum(trial.state.is_finished() for trial in study.trials)
    if finished:
        console.print(f"study {name} has {finished} of {sweeper.n_trials} trials, going on with it")
    with open_dict(sweeper):
        sweeper.n_trials = max(0, sweeper.n_trials - finished)
        if sweeper.sampler.get("seed") is not None:  # the same seed would draw the first trials once more
            sweeper.sampler.seed += finished
    return hashlib.sha256(f"{storage} {name}".encode()).hexdigest()[:32], earlier


def _opened(sweeper: Any, storage: str, name: str) -> Any:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions = sweeper.direction if OmegaConf.is_list(sweeper.direction) else [sweeper.direction]
    try:
        if storage.startswith("sqlite:///"):
            Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        return optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[getattr(direction, "name", direction) for direction in directions],
            load_if_exists=True,
        )
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, OSError, ValueError) as error:
        raise PowerbertError(f"hydra.sweeper.storage={storage} cannot be used: {str(error).splitlines()[0]}") from error


def _settings_hash(config: Any) -> str:
    """Of all that the jobs share and that decides what a trial means."""
    settings = OmegaConf.masked_copy(config, [key for key in config if key not in _FREE])
    swept = sorted(given for given in config.hydra.overrides.task if re.split(r"[.=]", given)[0] not in _FREE)
    decides = [OmegaConf.to_yaml(settings), OmegaConf.to_yaml(config.hydra.sweeper.params), *swept]
    return hashlib.sha256("\n".join(decides).encode()).hexdigest()[:16]
