"""Passes that are recorded as CUDA graphs, by the bucket of their batches.

Legend: B inputs of a bucket, C classes.
"""

import logging
import threading
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..method.elimination import Elimination
from ..method.retention import Thresholds
from .buckets import Bucket
from .forward import Forward
from .given import Layout

log = logging.getLogger(__name__)
GRAPHS = 128  # that are recorded; of further buckets those answer that have room
_LARGER = 2  # times as many rows as needed, up to which another bucket's graph answers
_RECORDING = threading.Lock()  # a process records one at a time


class Recorded(NamedTuple):
    """
    Attributes:
        layout: of `buffer`, which the pass reads.
        graph: None where the pass is computed anew each time; else it writes `logits` and `over`.
    """

    layout: Layout
    buffer: Tensor
    elimination: Elimination
    graph: Any = None
    logits: Tensor | None = None
    over: Tensor | None = None


class Recordings:
    """Their graphs share their memory: one pass runs after the other, for which the caller sees.

    On a CPU passes are computed anew each time.

    Attributes:
        failure: why a pass could not be recorded; None if all were.
    """

    def __init__(self, forward: Forward) -> None:
        self.failure: str | None = None
        self._forward, self._on_gpu = forward, forward.device.type == "cuda"
        self._known: dict[tuple[Bucket, Elimination], Recorded] = {}
        self._pool: Any = None
        self._aside: Any = None
        self._done: Any = None
        self._said = False

    def __len__(self) -> int:
        return len(self._known)

    def clear(self) -> None:
        self._known.clear()
        self._pool = None  # it goes with the last graph

    def ready(self, bucket: Bucket, elimination: Elimination) -> Recorded:
        """What answers batches of a bucket; recorded if this is the first of them, as long as there is room."""
        found = self._known.get((bucket, elimination))
        if found is not None:
            return found
        full = len(self._known) >= GRAPHS
        larger = self._larger(bucket, elimination) if full else None
        if larger is not None:
            return larger
        if full and not self._said:
            log.info("captured: %d passes are recorded; what does not fit into one is computed without a graph", GRAPHS)
            self._said = True
        steps = 1 if isinstance(elimination.retention, Thresholds) else len(self._forward.layers) + 1
        layout = Layout(bucket, steps, elimination.shields, self._forward.placed)
        buffer = torch.zeros(layout.size, dtype=torch.int32, device=self._forward.device)
        found = Recorded(layout, buffer, elimination)
        if not full:
            self._known[bucket, elimination] = found = self._record(found) if self._on_gpu else found
        return found

    def _larger(self, bucket: Bucket, elimination: Elimination) -> Recorded | None:
        """The smallest recorded pass that has room, unless it is a waste."""
        having_room = (one for one, how in self._known if how == elimination and one.holds(bucket))
        least = min(having_room, key=lambda one: one.rows, default=None)
        return None if least is None or least.rows > _LARGER * bucket.rows else self._known[least, elimination]

    def answer(self, recorded: Recorded, words: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (B, C) of what stands in `words`, and of thresholds by layer whether rows did not fit."""
        if self._done is not None:  # the pass before may be on another stream, and reads the same buffers
            torch.cuda.current_stream().wait_event(self._done)
        recorded.buffer.copy_(words, non_blocking=True)
        if recorded.graph is None:
            logits, over = self.compute(recorded)
        else:
            recorded.graph.replay()
            assert recorded.logits is not None
            logits = recorded.logits.clone()  # the next pass writes over them
            over = None if recorded.over is None else recorded.over.clone()
        if self._on_gpu:
            self._done = torch.cuda.Event()
            self._done.record()
        return logits, over

    def compute(self, recorded: Recorded) -> tuple[Tensor, Tensor | None]:
        """The pass, without a graph."""
        layout = recorded.layout
        return self._forward(layout.views(recorded.buffer), layout.bucket, recorded.elimination)

    def _record(self, made: Recorded) -> Recorded:
        """The same with a graph, or without if that fails."""
        current = torch.cuda.current_stream()
        try:
            with _RECORDING:
                self._pool = self._pool or torch.cuda.graph_pool_handle()
                self._aside = self._aside or torch.cuda.Stream()
                self._aside.wait_stream(current)
                # Kernels are compiled, and libraries choose theirs, before the recording; on another stream, so that
                # the workspaces that libraries take for the recording's lie in the pool.
                with torch.cuda.stream(self._aside):
                    for _ in range(2):
                        self.compute(made)
                current.wait_stream(self._aside)
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                    logits, over = self.compute(made)
        except Exception as error:  # of the compiler, the driver, a library; without a graph it may still answer
            torch.cuda.set_stream(current)  # a recording that fails at its end leaves its own
            self.failure = (str(error).strip().splitlines() or [type(error).__name__])[0]
            log.warning("captured: passes of %d rows have no graph: %s", made.layout.bucket.rows, self.failure)
            return made
        return made._replace(graph=graph, logits=logits, over=over)
