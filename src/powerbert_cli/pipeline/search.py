"""The search stage: one search, or those that target.max_drop takes."""

from functools import partial

from ..settings import SearchSettings
from ..store.stages import Stage
from .bisection import bisected
from .single_search import search_record, searched_once
from .work import Work


def search(settings: SearchSettings, work: Work[SearchSettings] | None = None) -> Stage:
    """Finds a retention configuration, or finds that it is known; fine-tunes first where no model is given."""
    return searched(work or Work(settings), settings.fresh)


def searched(work: Work[SearchSettings], fresh: bool = False) -> Stage:
    """The search of these settings."""
    if work.settings.target.max_drop is None:
        return searched_once(work, fresh)
    return work.ensure(search_record(work), partial(bisected, work), fresh)
