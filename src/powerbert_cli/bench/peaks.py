"""What this device reaches at best: the two numbers of a roofline, measured."""

import time
from collections.abc import Callable

import torch

from .cost import Peaks
from .timing import synchronize

_SECONDS = 0.5  # for each of the two


def measure_peaks(device: str, dtype: torch.dtype) -> Peaks:
    """Peak matrix throughput and read bandwidth, with the threads that are set now.

    Throughput is the best of many runs of a product as large as those of BERT-base at batch
    128; bandwidth that of reading a tensor larger than any cache once.
    """
    rows = 2048 if device == "cpu" else 16384
    x = torch.randn(rows, 768, device=device).to(dtype)
    weight = torch.randn(3072, 768, device=device).to(dtype)
    numbers = torch.ones((64 if device == "cpu" else 512) * 2**20, device=device)
    with torch.inference_mode():
        product = best_seconds(lambda: torch.nn.functional.linear(x, weight), device, _SECONDS)
        read = best_seconds(numbers.sum, device, _SECONDS)
    return Peaks(2 * rows * weight.numel() / product, numbers.nbytes / read)


def best_seconds(work: Callable[[], object], device: str, at_least: float) -> float:
    """The shortest of as many runs as fit into `at_least` seconds, three or more, after one that is not counted."""
    work()
    best, runs, end = float("inf"), 0, time.perf_counter() + at_least
    while True:
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        now = time.perf_counter()
        best, runs = min(best, now - start), runs + 1
        if now > end and runs >= 3:
            return best
