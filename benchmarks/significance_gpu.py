"""Significance by PyTorch and by the Triton kernel on a GPU: python benchmarks/significance_gpu.py

At BERT-base size, bfloat16, batch 128 and 1; and as a share of a model of one layer that keeps half, with embeddings
and head.
"""

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import Elimination
from powerbert_cli.method.kernels import significance_by_triton
from powerbert_cli.method.retention import Lengths
from powerbert_cli.method.significance import attention_weights, significance

REPEATS = 50


def milliseconds(work) -> float:
    for _ in range(3):
        work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(REPEATS):
        work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / REPEATS


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("needs a CUDA GPU")
    print(f"{torch.cuda.get_device_name()}\n")
    print("| batch | n | torch ms | Triton ms | model ms | share |\n| --- | --- | --- | --- | --- | --- |")
    for batch in (128, 1):
        for n in (64, 128, 256, 512):
            config = AutoConfig.for_model("bert", num_hidden_layers=1)
            host = AutoModelForSequenceClassification.from_config(config).to("cuda", torch.bfloat16).eval()
            model = ShortenedModel(host, Elimination(Lengths((n // 2,)), n)).eval()
            model.ends_in_first = False  # the one layer here stands for one in the middle
            ids = torch.randint(30000, (batch, n), device="cuda")
            query, key = torch.randn(2, batch, 12, n, 64, device="cuda", dtype=torch.bfloat16)
            rows = [one.transpose(1, 2).flatten(0, 1).contiguous() for one in (query, key)]
            starts = torch.arange(batch + 1, dtype=torch.int32, device="cuda") * n
            taken = {
                "torch": milliseconds(lambda q=query, k=key: significance(attention_weights(q, k))),
                "triton": milliseconds(lambda r=rows, s=starts, n=n: significance_by_triton(*r, s, n, None)),
            }
            whole = milliseconds(lambda m=model, i=ids: m(i))
            share = taken["triton"] / whole
            print(f"| {batch} | {n} | {taken['torch']:.3f} | {taken['triton']:.3f} | {whole:.3f} | {share:.0%} |")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
