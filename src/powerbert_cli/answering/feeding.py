"""Items that one thread makes while another works on those before: rows that are read, batches of them."""

import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_END = object()
_STEP = 0.1  # seconds between looks at whether anybody still waits


class Feed(Generic[T]):
    """The items of an iterator, made ahead in a thread that holds up nobody's end.

    Args:
        most: items that wait at the most.
    """

    def __init__(self, items: Iterator[T], most: int) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(most)
        self._stopped = threading.Event()
        threading.Thread(target=self._fill, args=(items,), daemon=True).start()

    def _fill(self, items: Iterator[T]) -> None:
        last: Any = _END
        try:
            for item in items:
                if not self._put(item):
                    return
        except BaseException as error:  # is raised where the items are taken
            last = error
        self._put(last)

    def _put(self, item: Any) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_STEP)
                return True
            except queue.Full:
                continue
        return False

    def stop(self) -> None:
        """Nobody takes any more."""
        self._stopped.set()

    def take(self, wait: float | None = None, meanwhile: Callable[[], None] = lambda: None) -> list[T] | None:
        """The next item in a list; an empty one if none has come in time, None at the end.

        Args:
            wait: seconds; None waits for ever.
            meanwhile: is called while it waits, and may raise.

        Raises:
            Exception: what making it raised.
        """
        end = None if wait is None else time.monotonic() + wait
        while True:
            left = _STEP if end is None else max(0.0, min(_STEP, end - time.monotonic()))
            try:
                item = self._queue.get(timeout=left) if left else self._queue.get_nowait()
            except queue.Empty:
                if end is not None and time.monotonic() >= end:
                    return []
                meanwhile()
                continue
            if item is _END or isinstance(item, BaseException):
                self._queue.put(item)  # it is the last one: for whoever asks again
            if isinstance(item, BaseException):
                raise item
            return None if item is _END else [item]


def gathered(feed: Feed[T], most: int, idle: float | None) -> Iterator[list[T]]:
    """Items in lists of at most so many, in order.

    Args:
        idle: seconds without a new item after which what is there goes on; None waits until a list is full.
    """
    while (found := feed.take()) is not None:
        while len(found) < most:
            more = feed.take(idle)
            if not more:
                break
            found += more
        yield found


def check_somebody_reads() -> None:
    """
    Raises:
        BrokenPipeError: who read standard output has gone away.
    """
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # not on this system, or no descriptor
        return
    if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        raise BrokenPipeError(os.strerror(32))
