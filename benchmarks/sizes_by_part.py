"""Where the megabytes of Deep Compression's three models are: python benchmarks/sizes_by_part.py.

BERT-base that finds answers, ViT-base and Wav2Vec2-base, with random weights, as sizes do not depend on them. Linear
layers of the encoder's blocks have 4 bits, and are 2:4 sparse; all else keeps 32 bits, as in the authors' program.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoModelForCTC,
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    BertConfig,
    ViTConfig,
    Wav2Vec2Config,
)

from powerbert_cli.encoder.quantising import bake, linear_layers, quantise_weights
from powerbert_cli.models.packed_file import NAME, write_packed
from powerbert_cli.store.compression_file import Compression

MODELS = {
    "BERT-base, answers": (AutoModelForQuestionAnswering, BertConfig()),
    "ViT-base, 1,000 classes": (AutoModelForImageClassification, ViTConfig(num_labels=1000)),
    "Wav2Vec2-base, letters": (AutoModelForCTC, Wav2Vec2Config()),
}
FORMS = {"32 bits": None, "4 bits": False, "4 bits and 2:4": True}
PARTS = {  # by words in a weight's name, the first that fits
    "convolutions": ("conv", "patch_embeddings"),
    "embeddings": ("embeddings", "cls_token"),
    "first and last linear layer": ("feature_projection", "qa_outputs", "classifier", "lm_head"),
}


def part_of(name: str, linear: set[str]) -> str:
    if any(name == own or name.startswith(f"{own}.") for own in linear):
        return "linear layers of blocks"
    return next((part for part, words in PARTS.items() if any(word in name for word in words)), "norms and biases")


def sizes(tensors: Iterable[tuple[str, Tensor]], linear: set[str]) -> Counter[str]:
    """Bytes by part."""
    found: Counter[str] = Counter()
    for name, tensor in tensors:
        found[part_of(name, linear)] += tensor.numel() * tensor.element_size()
    return found


def main() -> None:
    parts = ["linear layers of blocks", *PARTS, "norms and biases"]
    print(f"| model | weights | {', MB | '.join(parts)}, MB | file, MB | times smaller |")
    print("|" + " --- |" * (len(parts) + 4))
    for name, (auto, config) in MODELS.items():
        whole = None
        for form, sparse in FORMS.items():
            host = auto.from_config(config).eval()
            linear = {f"{layer}.weight" for layer in linear_layers(host)}
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / NAME
                if sparse is None:
                    host.save_pretrained(folder)
                    path = Path(folder) / "model.safetensors"
                    found = sizes(host.state_dict().items(), linear)
                else:
                    quantise_weights(host, 4, sparse)
                    bake(host)
                    bits = {"bits": 4, "scales": "tensor"}
                    host.compression = Compression(1, (0,), (1, 1), 1.0, (1, 1), {}, bits=bits)
                    write_packed(host, path, embeddings=False)
                    found = sizes(load_file(path).items(), linear)
                size = path.stat().st_size
            whole = whole or size
            each = " | ".join(f"{found[part] / 1e6:.1f}" for part in parts)
            print(f"| {name} | {form} | {each} | {size / 1e6:.1f} | {whole / size:.1f} |", flush=True)


if __name__ == "__main__":
    main()
