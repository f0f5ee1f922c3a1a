"""Named parts of a forward pass, so that a profile can say where the time goes.

Outside a profile `part` gives a context that does nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

PARTS = ("embed", "project", "significance", "select", "attention", "output", "feed-forward", "head")
Timer = Callable[[str], AbstractContextManager[None]]

_NOTHING: AbstractContextManager[None] = nullcontext()
_timer: Timer | None = None


def part(name: str) -> AbstractContextManager[None]:
    """The context of one of `PARTS`; each layer begins with `project`."""
    return _NOTHING if _timer is None else _timer(name)


@contextmanager
def timed_by(timer: Timer) -> Iterator[None]:
    """Hands each part to `timer`, in this process, until the context ends."""
    global _timer
    _timer = timer
    try:
        yield
    finally:
        _timer = None
