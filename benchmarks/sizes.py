"""How large a classifier's file is by the bits of its weights: python benchmarks/sizes.py [MODEL].

Of BERT-base size, or of that of a folder MODEL with a config.json. Weights are random: sizes do not depend on them.
"""

import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig

from powerbert_cli.encoder.families import family_of_config
from powerbert_cli.encoder.quantising import bake, linear_layers, quantise_weights
from powerbert_cli.encoder.removing import keep_neurons, open_blocks, set_width
from powerbert_cli.models.packed_file import NAME, write_packed
from powerbert_cli.store.compression_file import Compression

KINDS = (  # name, bits, 2:4, share of the feed-forward neurons, embeddings in 8 bits
    ("8 bits, embeddings too", 8, False, 1.0, True),
    ("4 bits, embeddings in 32", 4, False, 1.0, False),
    ("4 bits, embeddings in 8", 4, False, 1.0, True),
    ("4 bits and 2:4, embeddings in 8", 4, True, 1.0, True),
    ("4 bits and 2:4 of 40% of the neurons, embeddings in 8", 4, True, 0.4, True),
    ("8 bits of 40% of the neurons, embeddings too", 8, False, 0.4, True),
)


def main() -> None:
    config = AutoConfig.from_pretrained(sys.argv[1]) if len(sys.argv) > 1 else BertConfig()
    print("| form | linear layers of the encoder, MB | times smaller | file, MB | times smaller |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        host = AutoModelForSequenceClassification.from_config(config)
        host.save_pretrained(folder)
        whole = (4 * parameters(host), (folder / "model.safetensors").stat().st_size)
        row("32 bits", *whole, whole)
        for kind, bits, sparse, share, embeddings in KINDS:
            host = AutoModelForSequenceClassification.from_config(config)
            neurons = int(getattr(config, family_of_config(config).neurons_key) * share) // 16 * 16
            if share < 1:
                for block in open_blocks(host):
                    keep_neurons(block, torch.arange(neurons))
                set_width(host)
            quantise_weights(host, bits, sparse)
            bake(host)
            host.compression = Compression(1, (0,), (1, 1), 1.0, (1, 1), {}, bits={"bits": bits, "scales": "tensor"})
            write_packed(host, folder / NAME, embeddings)
            each = (bits + 2) / 2 if sparse else bits  # of every second weight a code and its place
            row(kind, each / 8 * parameters(host), (folder / NAME).stat().st_size, whole)


def parameters(host: torch.nn.Module) -> int:
    return sum(layer.weight.numel() for layer in linear_layers(host).values())  # type: ignore[arg-type]


def row(kind: str, linear: float, file: int, whole: tuple[int, int]) -> None:
    print(
        f"| {kind} | {linear / 1e6:.1f} | {whole[0] / linear:.1f} | {file / 1e6:.1f} | {whole[1] / file:.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
