"""Draws docs/explanation/architecture.png: the stages with what they leave, and the packages in layers.

python docs/draw_architecture.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

STAGES = [
    ("finetune", "plain model\nmetrics, predictions"),
    ("compress", "smaller model\n(where it is\nasked for)"),
    ("search", "retention.json\nmass over steps, or\nconfigurations tried"),
    ("retrain", "model directory:\nsafetensors +\nretention.json"),
    ("bench", "timing.csv\nFLOPs and roofline\nbeside it"),
]
LAYERS = [  # an import goes from a row to a lower one only; tests/test_docs.py holds it to that
    [("api", "the verbs as functions")],
    [("cli", "verb → Hydra"), ("sentence", "what SentenceTransformer loads")],
    [
        ("usage", "help from typed settings"),
        ("overrides", "names as written, a model's task"),
    ],
    [
        ("verbs", "one file each: its settings, its texts, what it does"),
        ("foreign", "configs from elsewhere set, they do not run"),
    ],
    [("jobs", "of a multirun: gathered, failed, gone on with")],
    [("recipes", "what verbs do beside the stages")],
    [
        ("stages", "frozen inputs, their graph, who runs them"),
        ("answering", "rows and streams"),
        ("report", "tables, pictures; hears of stages"),
    ],
    [
        ("search", "calibrate, evolve, budgets"),
        ("compress", "model in, smaller model out"),
    ],
    [("bench", "contenders, clocks, the timing table"), ("training", "Trainer + regulariser, distillation")],
    [("models", "folders and hub names to models, and back")],
    [("native", "the engine of our own for a CPU"), ("captured", "that for a GPU: a pass as one graph")],
    [("store", "stages and artifacts on disk"), ("tasks", "data, batches, metrics")],
    [("encoder", "the shortened encoder; families"), ("settings", "typed keys and their rules")],
    [("kinds", "a file for each kind of task")],
    [("method", "significance, selection, soft-extract")],
    [("processes", "torchrun's, working together"), ("shell", "variables that decide nothing")],
    [("errors", "what a user can mend")],
]
INK, PAPER, ACCENT = "#1f2933", "#f5f7fa", "#2f6f9f"


def _box(ax, x, y, width, height, title, text, colour=PAPER):
    ax.add_patch(plt.Rectangle((x, y), width, height, facecolor=colour, edgecolor=INK, linewidth=1))
    ax.text(
        x + width / 2, y + height * (0.68 if text else 0.5), title, ha="center", va="center", weight="bold", size=10
    )
    ax.text(x + width / 2, y + height * 0.3, text, ha="center", va="center", size=8.5)


def main() -> None:
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(9, 11), height_ratios=[1, 3.2])
    for ax in (top, bottom):
        ax.set(xlim=(-1, 101), ylim=(0, 100))
        ax.axis("off")
    top.set_title("Stages: each made once for its settings, resumed when stopped, shared by parallel jobs", size=10)
    width, gap = 16.4, 4.4
    for i, (verb, leaves) in enumerate(STAGES):
        x = i * (width + gap)
        _box(top, x, 55, width, 30, verb, "", "#dbe9f4")
        top.text(x + width / 2, 48, leaves, ha="center", va="top", size=8.5, color=INK)
        if i < len(STAGES) - 1:
            arrow = dict(arrowstyle="-|>", color=ACCENT, linewidth=1.6)
            top.annotate("", (x + width + gap, 70), (x + width, 70), arrowprops=arrow)
    top.annotate("", (4 * (width + gap) + 4, 88), (width / 2, 88), arrowprops=dict(arrowstyle="-|>", color=INK))
    top.text(50, 92, "the plain model, trained on as long: the baseline", ha="center", size=8.5)
    bottom.set_title("Packages: imports go downwards only", size=10)
    height = 100 / len(LAYERS)
    for row, boxes in enumerate(LAYERS):
        y = 100 - (row + 1) * height
        for i, (name, what) in enumerate(boxes):
            wide = 100 / len(boxes)
            _box(bottom, i * wide + 1, y + 0.8, wide - 2, height - 1.6, name, what)
    figure.tight_layout()
    figure.savefig(Path(__file__).parent / "explanation" / "architecture.png", dpi=110)


if __name__ == "__main__":
    main()
