"""The verbs as functions: settings in, records of what was made out; see docs/how-to/python.md."""

from typing import Any

from . import processes, usage
from .cli import conf_dir
from .commands.prepare import prepared
from .overrides import meant
from .pipeline.bench import Timed, bench
from .pipeline.chain import retrain
from .pipeline.compress import compress
from .pipeline.finetune import finetune
from .pipeline.predict import Done, predict
from .pipeline.search import search
from .pipeline.study import study
from .settings import VERBS, PredictSettings, SettingsError
from .settings.typed import from_config
from .store.shipped import load_shortened
from .store.stages import Stage

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
    given = meant(verb, list(overrides), conf_dir(), [])
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = compose(verb, overrides=given)
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingsError(usage.explain_hydra(error, verb, given, conf_dir())) from error
    cls: Any = VERBS[verb]
    return from_config(composed, cls) if cls is PredictSettings else prepared(composed, cls).settings
