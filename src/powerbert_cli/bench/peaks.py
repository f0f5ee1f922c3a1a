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
        product = _best_seconds(lambda: torch.nn.functional.linear(x, weight), device)
        read = _best_seconds(numbers.sum, device)
    return Peaks(2 * rows * weight.numel() / product, numbers.nbytes / read)


def _best_seconds(work: Callable[[], object], device: str) -> float:
    work()
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while True:
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return best
