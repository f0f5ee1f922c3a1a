"""The one small configuration of whole commands, whose fine-tune every test folder has from the beginning."""

from pathlib import Path
from typing import Any

TASK = ["experiment=smoke", "task.synthetic.train=64", "task.synthetic.dev=32"]  # what verbs have that train nothing
SMALL = [*TASK, "model.config.num_hidden_layers=2"]
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
