"""AdamW's step on a CPU, fused and not, taking turns: python benchmarks/optimiser.py MODEL [THREADS]"""

import sys
import time

import numpy as np
import torch
from transformers import AutoModel

ROUNDS = 15


def main() -> None:
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    parameters = list(AutoModel.from_pretrained(sys.argv[1]).parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    contenders = {name: torch.optim.AdamW(parameters, 1e-6, fused=name == "fused") for name in ("plain", "fused")}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, optimiser in contenders.items():
            start = time.perf_counter()
            optimiser.step()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(found[1:])) for name, found in seconds.items()}  # the first makes the state
    for name, median in medians.items():
        print(f"{name}: {1000 * median:.1f} ms")
    print(f"plain over fused: {medians['plain'] / medians['fused']:.2f}")


if __name__ == "__main__":
    main()
