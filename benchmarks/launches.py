"""Kernels that a pass launches on a GPU, counted without one: python benchmarks/launches.py

Of models of BERT's architecture that drop in every layer; a layer's share is what further layers add. Passes run on
tensors without values, where looking at one fails: none that is listed waits for a result. Operators of PyTorch count
as one kernel each, of which some launch more. The encoder without graphs takes here the ways that it takes on a GPU in
half precision.
"""

from unittest.mock import patch

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification

from powerbert_cli.bench.launches import LaunchCounter
from powerbert_cli.captured.model import CapturedModel
from powerbert_cli.encoder import attention
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import Elimination, plain
from powerbert_cli.method.kernels import use_kernel
from powerbert_cli.method.retention import Lengths, Retention, Thresholds

LAYERS = (2, 6)
SIZES = {"up to 128": torch.tensor([120, 90, 60, 30]), "beyond": torch.tensor([400, 300, 200, 180])}
LONGEST = 512


def host_of(layers: int) -> torch.nn.Module:
    config = AutoConfig.for_model("bert", num_hidden_layers=layers)
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config).eval()


def retention_of(kind: str, layers: int, longest: int) -> Retention:
    if kind == "nothing":
        return plain(LONGEST, layers).retention
    if kind == "thresholds":
        return Thresholds(tuple(0.3 + 0.1 * j for j in range(layers)))
    return Lengths(tuple(longest - 8 * (j + 1) for j in range(layers)))


def counted(how: str, layers: int, kind: str, sizes: Tensor) -> int:
    model = host_of(layers)
    if how != "transformers":
        model = ShortenedModel(model, Elimination(retention_of(kind, layers, int(sizes.max())), LONGEST)).eval()
    mask = (torch.arange(int(sizes.max())) < sizes.unsqueeze(1)).long()
    given = {"input_ids": torch.zeros_like(mask, device="meta"), "attention_mask": mask}
    if how == "transformers":  # asks whether anything is padded, so that there is nothing to ask
        del given["attention_mask"]
    run = CapturedModel(model).rehearsal(sizes) if how == "captured" else lambda: model(**given)
    with torch.inference_mode():
        run()  # weights are arranged in the first
        with LaunchCounter() as counter:
            run()
    return counter.total


def main() -> None:
    use_kernel("triton")
    print("| word-pieces | drops by | how | launches a layer | of 12 layers |\n| --- | --- | --- | --- | --- |")
    few, more = LAYERS
    with (
        patch.object(attention, "_varlen_serves", lambda *given: True),
        patch("torch.nn.attention.varlen.varlen_attn", lambda q, *given: torch.neg(q)),  # one kernel
    ):
        for name, sizes in SIZES.items():
            for kind in ("nothing", "lengths", "thresholds"):
                for how in ("transformers", "without graphs", "captured"):
                    if how == "transformers" and kind != "nothing":
                        continue
                    if how == "without graphs" and kind == "thresholds":
                        continue  # asks in each layer how many are left
                    one, other = (counted(how, layers, kind, sizes) for layers in LAYERS)
                    each = (other - one) / (more - few)
                    print(f"| {name} | {kind} | {how} | {each:g} | {one + (12 - few) * each:g} |")


if __name__ == "__main__":
    main()
