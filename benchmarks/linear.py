"""Products of a BERT-base block with few rows, plain and as the native engine arranges weights: linear.py [THREADS]

Weights of ten blocks take turns, so that none stays in the cache, as in an encoder.
"""

import sys
import time

import torch
import torch.nn.functional as F

from powerbert_cli.native import products

SHAPES = ((2304, 768), (768, 768), (3072, 768), (768, 3072))
BLOCKS, ROUNDS = 10, 7


def main() -> None:
    if len(sys.argv) > 1:
        torch.set_num_threads(int(sys.argv[1]))
    products.FEW_ROWS = 10**9  # always arranged: the threshold is what is looked for
    layers = [
        products.FloatProduct(torch.randn(shape), torch.randn(shape[0])) for _ in range(BLOCKS) for shape in SHAPES
    ]
    print(f"{torch.get_num_threads()} threads\n| rows | plain ms | arranged ms | ratio |\n| --- | --- | --- | --- |")
    for rows in (1, 5, 11, 17, 32, 64, 96, 128, 256, 512):
        inputs = {size: torch.randn(rows, size) for _, size in SHAPES}
        plain, arranged = [], []
        for _ in range(ROUNDS):
            for seconds, run in (
                (plain, lambda layer, x: F.linear(x, layer.weight, layer.bias)),
                (arranged, lambda layer, x: layer(x)),
            ):
                start = time.perf_counter()
                for layer in layers:
                    run(layer, inputs[layer.weight.shape[1]])
                seconds.append(time.perf_counter() - start)
        a, b = (1000 * sorted(seconds)[ROUNDS // 2] / BLOCKS for seconds in (plain, arranged))
        print(f"| {rows} | {a:.2f} | {b:.2f} | {a / b:.2f} |", flush=True)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
