"""The verbs as functions: settings in, records of what was made out; see docs/how-to/python.md."""

from pathlib import Path
from typing import Any

import pandas as pd

from . import cli, processes, usage  # cli first: it says how OpenMP waits before anything imports PyTorch
from .answering.predict import Done, predict
from .bench.timing import Told, silent
from .models.kinds import load_shortened
from .overrides import meant
from .recipes import bench as timing
from .recipes import study as studies
from .recipes.bench import Timed
from .report.following import Following
from .settings import PredictSettings, SettingsError
from .settings.composed import RetrainedSettings, TimedSettings
from .settings.typed import from_config
from .stages.run import Run
from .store.stages import Stage
from .verbs import VERBS, settings_of
from .verbs import compress as compressing
from .verbs import finetune as finetuning
from .verbs import retrain as retraining
from .verbs import search as searching
from .verbs.prepare import prepared

__all__ = [
    "Done",
    "Stage",
    "Timed",
    "bench",
    "compress",
    "finetune",
    "load_shortened",
    "predict",
    "retrain",
    "search",
    "settings",
    "study",
]


def settings(verb: str, *overrides: str) -> Any:
    """The typed settings of a verb, as `powerbert VERB OVERRIDE …` has them: `auto` is settled, all checks are made.

    Args:
        overrides: "task=rte", "lambda=3e-4" …

    Raises:
        PowerbertError: with what the command line says.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if verb not in VERBS:
        raise SettingsError(usage.unknown_verb(verb))
    processes.check()
    given = meant(verb, list(overrides), cli.conf_dir(), [])
    try:
        with initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
            composed = compose(verb, overrides=given)
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingsError(usage.explain_hydra(error, verb, given, cli.conf_dir())) from error
    cls = settings_of(verb)
    return from_config(composed, cls) if issubclass(cls, PredictSettings) else prepared(composed, cls).settings


def finetune(given: finetuning.Settings) -> Stage:
    """Fine-tunes a classifier, or finds that it is done."""
    return _made(finetuning, given)


def compress(given: compressing.Settings) -> Stage:
    """Removes layers, heads or neurons of the fine-tuned model, or finds that it is done."""
    return _made(compressing, given)


def search(given: searching.Settings) -> Stage:
    """Finds a retention configuration, or finds that it is known; fine-tunes first where no model is given."""
    return _made(searching, given)


def retrain(given: retraining.Settings) -> Stage:
    """Re-trains with the given retention configuration, or the one that the search of these settings finds."""
    return _made(retraining, given)


def _made(verb: Any, given: Any) -> Stage:
    job = _run(given)
    return job.made(verb.goals(job)[0], given.fresh)


def bench(given: TimedSettings, folder: Path | None = None, told: Told = silent) -> Timed:
    """Times the shortened model of these settings; trains it first where it has to be trained and is not.

    Args:
        folder: gets retention.json, timing.csv and timing.json.
        told: hears what is done now.
    """
    return timing.bench(_run(given), folder, told)


def study(given: RetrainedSettings) -> pd.DataFrame:
    """The study of that name, as a table."""
    return studies.study(_run(given))


def _run(given: Any) -> Run[Any]:
    return Run(given, Following(given))
