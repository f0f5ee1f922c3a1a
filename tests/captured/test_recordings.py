"""Recording and replaying, with a stand-in for CUDA: what is called, in which order, and what a failure leaves."""

from contextlib import contextmanager

import pytest
import torch
from passes import batch_of, expected, ours

from powerbert_cli.captured.buckets import bucket_of
from powerbert_cli.captured.forward import Forward
from powerbert_cli.captured.model import CapturedModel, NotCaptured, tried
from powerbert_cli.captured.recordings import Recordings


class Cuda:
    """Stands for torch.cuda: what is called in which order; a graph computes its pass when it is replayed."""

    def __init__(self, monkeypatch, fails=False):
        self.calls, self.current, self.fails = [], "users", fails
        for name in ("current_stream", "set_stream", "stream", "Stream", "graph", "CUDAGraph", "Event"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")

    class Stream:
        def wait_stream(self, other):
            pass

    class CUDAGraph:
        pass

    def current_stream(self):
        cuda = self

        class Current:
            def wait_stream(self, other):
                cuda.calls.append("wait for the warm-up")

            def wait_event(self, event):
                cuda.calls.append("wait for the pass before")

        return Current()

    def set_stream(self, stream):
        self.current = "users"

    @contextmanager
    def stream(self, aside):
        self.calls.append("warm up")
        yield

    @contextmanager
    def graph(self, graph, pool, capture_error_mode):
        assert (pool, capture_error_mode) == ("pool", "thread_local")
        self.calls.append("record")
        self.current = "recording"
        yield
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        self.current = "users"
        graph.replay = lambda: self.calls.append("replay")

    def Event(self):
        class Done:
            def record(done):
                self.calls.append("done")

        return Done()


def test_a_pass_is_recorded_once_and_replayed_after_the_one_before(monkeypatch):
    model = ours()
    passes, cuda = Recordings(Forward(model, True)), Cuda(monkeypatch)
    passes._on_gpu = True
    sizes = torch.tensor([7, 5])
    bucket = bucket_of(model.elimination, sizes, 3, True)
    recorded = passes.ready(bucket, model.elimination)
    assert cuda.calls == ["warm up", "wait for the warm-up", "record"]
    assert passes.ready(bucket, model.elimination) is recorded
    words = torch.zeros(recorded.layout.size, dtype=torch.int32)
    for _ in range(2):
        logits, over = passes.answer(recorded, words)
        assert logits.shape == (2, 2) and logits.data_ptr() != recorded.logits.data_ptr() and over is None
    assert cuda.calls[3:] == ["replay", "done", "wait for the pass before", "replay", "done"]


def test_a_recording_that_fails_leaves_the_users_stream_and_still_answers(monkeypatch, caplog):
    model, batch = ours(), batch_of((7, 5))
    captured, cuda = CapturedModel(model), Cuda(monkeypatch, fails=True)
    captured._passes._on_gpu = True
    assert torch.allclose(captured(**batch).logits, expected(model, batch), atol=3e-5)
    assert cuda.current == "users" and caplog.text.count("have no graph: operation not permitted") == 1
    captured(**batch)
    assert cuda.calls.count("record") == 1  # not again in each answer
    made = CapturedModel.__init__

    def on_gpu(self, *given, **options):
        made(self, *given, **options)
        self._passes._on_gpu = True

    monkeypatch.setattr(CapturedModel, "__init__", on_gpu)
    with pytest.raises(NotCaptured, match="cannot be recorded on this device: operation not permitted when"):
        tried(model)
