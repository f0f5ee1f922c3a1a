"""The one small configuration of whole commands, whose fine-tune every test folder has from the beginning."""

from pathlib import Path
from typing import Any

TASK = ["experiment=smoke", "task.synthetic.train=64", "task.synthetic.dev=32"]  # what verbs have that train nothing
SMALL = [*TASK, "model.config.num_hidden_layers=2"]

# the smallest models of pictures and of sound, and the tasks that they are trained on in a second
VIT = [
    "model=vit-tiny",
    "model.config.num_hidden_layers=2",
    "model.config.image_size=16",
    "model.config.hidden_size=16",
]
VIT += ["model.config.intermediate_size=32", "model.config.num_attention_heads=2"]
SEEN = ["task=synthetic_pictures", "task.synthetic.train=48", "task.synthetic.dev=24", "task.synthetic.size=16"]
_SIZES = {
    **{"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32},
    **{"conv_dim": [8, 8], "conv_stride": [20, 16], "conv_kernel": [40, 32], "num_feat_extract_layers": 2},
    **{"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 8},
}
WAV2VEC2 = ["model=wav2vec2-tiny", *(f"model.config.{name}={size}".replace(" ", "") for name, size in _SIZES.items())]
_FEW = ["task.synthetic.train=32", "task.synthetic.dev=16"]
HEARD = {
    "audio": ["task=synthetic_audio", "task.synthetic.milliseconds=300", *_FEW, "seq_len=20"],
    "speech": ["task=synthetic_speech", "task.synthetic.letters=3", *_FEW, "seq_len=60"],
}
QUICK = ["bench.rounds=3", "bench.examples=32", "bench.paddings=[sorted]", "bench.max_seconds=5"]


def newest(verb: str, folder: Path = Path()) -> Path:
    """The latest run directory of a verb."""
    return max((folder / "outputs" / verb).glob("*/*"))


def run_card(model: Path, monkeypatch: Any, **found: Any) -> dict[str, Any]:
    """The names that the code of a model directory's README.md leaves, once it has run there with those given."""
    with monkeypatch.context() as patched:
        patched.chdir(model)
        exec(Path("README.md").read_text().split("```python\n")[1].split("```")[0], found)
    return found
