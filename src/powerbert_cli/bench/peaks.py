"""What this device reaches at best: the two numbers of a roofline, measured."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from ..native.kernels import Scale
from ..native.products import ByteProduct, FloatProduct
from .caches import available_bytes, last_level_bytes
from .cost import Peaks
from .timing import synchronize

_SECONDS = 0.5  # for each of the two
_TIMES_CACHE = 4  # as STREAM asks of its arrays, so that little of one pass is left for the next
_LEAST_BYTES = {"cpu": 2**28, "cuda": 2**31}  # what is read where no cache is reported, or a smaller one
_SHARE = 4  # at most one part in so many of the memory that is available


def measure_peaks(device: str, dtype: torch.dtype) -> Peaks:
    """Peak matrix throughput and read bandwidth, with the threads that are set now.

    Throughput is the best of many runs of a product as large as those of BERT-base at batch
    128; bandwidth that of reading a tensor once, see `read_bytes`.

    Args:
        dtype: a floating one; or int8, for oneDNN's product of bytes on a CPU.
    """
    rows = 2048 if device == "cpu" else 16384
    x, weight = torch.randn(rows, 768, device=device), torch.randn(3072, 768, device=device)
    product_of: Any
    if dtype is torch.int8:
        product_of = ByteProduct(FloatProduct(weight, None), Scale(1.0, 128))
        x = torch.randint(256, x.shape, dtype=torch.uint8)
    else:
        x, weight = x.to(dtype), weight.to(dtype)
        product_of = partial(torch.nn.functional.linear, weight=weight)
    cache = last_level_bytes() if device == "cpu" else None
    numbers = torch.ones(read_bytes(device, cache, available_bytes()) // 4, device=device)
    with torch.inference_mode():
        product = best_seconds(lambda: product_of(x), device, _SECONDS)
        read = best_seconds(numbers.sum, device, _SECONDS)
    flops = 2 * rows * weight.numel() / product
    return Peaks(flops, numbers.nbytes / read, numbers.nbytes, cache)


def read_bytes(device: str, cache: int | None, available: int | None) -> int:
    """The size of the tensor that is read: four times the last-level cache that is reported, 256 MB or more.

    On a GPU 2 GB. Where a quarter of the memory that is available is less, that quarter.
    """
    wanted = max(_LEAST_BYTES["cpu" if device == "cpu" else "cuda"], _TIMES_CACHE * (cache or 0))
    return wanted if available is None or device != "cpu" else min(wanted, available // _SHARE)


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
