"""README.md of a model directory, in the form that the hub reads: what it is, how good, how fast, how it loads."""

from pathlib import Path
from typing import Any

import yaml

from ..kinds import KINDS, Kind
from ..store.artifacts import write_text
from .facts import facts
from .tables import with_interval
from .words import ON_A_GPU

_TAGS = {  # that the hub finds such models by, beside what they are for
    "embedding": ("sentence-transformers", "sentence-similarity"),
    "ranking": ("sentence-transformers", "cross-encoder", "reranker"),
}
_LOADED = {  # by sentence-transformers: its class, who loads a shortened model, and a use
    "embedding": ("SentenceTransformer", "load_embedder", 'vectors = model.encode(["A text.", "Another one."])'),
    "ranking": ("CrossEncoder", "load_reranker", 'ranking = model.rank("a query", ["A document.", "Another one."])'),
}
_USES = {
    "image_classification": """classify = pipeline("image-classification", model=model, image_processor=processor)
classes = classify("PICTURE.png")""",
    "audio_classification": """classify = pipeline("audio-classification", model=model, feature_extractor=extractor)
rate, samples = wavfile.read("CLIP.wav")  # of one channel and 16 bits
classes = classify({"raw": samples / 32768, "sampling_rate": rate})""",
    "speech_recognition": """parts = {"tokenizer": AutoTokenizer.from_pretrained("."), "feature_extractor": extractor}
listen = pipeline("automatic-speech-recognition", model=model, **parts)
rate, samples = wavfile.read("CLIP.wav")  # of one channel and 16 bits
text = listen({"raw": samples / 32768, "sampling_rate": rate})["text"]""",
    "token_classification": """tag = pipeline("token-classification", model=model, tokenizer=tokenizer)
tags = tag("Words with spaces between .")""",
    "question_answering": """inputs = tokenizer("A question?", "A text.", truncation="only_second", return_tensors="pt")
start, end = (int(logits.argmax()) for logits in model(**inputs)[:2])
answer = tokenizer.decode(inputs["input_ids"][0, start : end + 1], skip_special_tokens=True)""",
}


def write_model_card(run_dir: Path) -> None:
    """Writes RUN/model/README.md from what the run directory has."""
    write_text(run_dir / "model" / "README.md", model_card(facts(run_dir, run_dir)))


def model_card(run: dict[str, Any]) -> str:
    """
    Args:
        run: see `facts.facts`.
    """
    settings, metrics = run["settings"], run["metrics"]
    task = settings.get("task.name", "?")
    base = settings.get("model.name_or_path", "null")
    base = "a model with random weights" if base == "null" else base
    shortened = bool(run["retention"]) or run["thresholds"]
    kind = KINDS[settings.get("task.kind", "classification")]
    what = "It drops word-vectors from layer to layer (PoWER-BERT); needs the package powerbert."
    beyond = f"\n{ON_A_GPU}\n" if shortened else ""
    if not shortened:
        what = "A plain transformers model."
    rows = _rows(run, base, task)
    table = "\n".join(f"| {head} | {_cell(value)} |" for head, value in rows.items())
    return f"""---
{yaml.safe_dump(_front_matter(base, task, kind, metrics), sort_keys=False, allow_unicode=True).strip()}
---

# {task}, {"shortened" if shortened else "plain"}

{what}

| | |
| --- | --- |
{table}

```python
{_code(kind, shortened, settings.get("seq_len", "512"))}
```

{_inputs(kind, settings.get("seq_len", "?"))}
{beyond}"""


def _inputs(kind: type[Kind], seq_len: str) -> str:
    """How inputs are made."""
    if kind.MEDIUM == "audio":
        rule = "may have up to" if kind.REFUSES_LONG else "are cut to"
        return f"Clips {rule} {seq_len} frames of the model, as in training. Sort them by length before you batch them."
    if kind.CUTS:
        return f"Cut inputs to {seq_len} word-pieces, as in training. Sort them by length before you batch them."
    return f"Each input is {seq_len} word-vectors; the processor beside the model makes it so."


def _code(kind: type[Kind], shortened: bool, seq_len: str) -> str:
    """Loads the model, and uses it where that differs from kind to kind."""
    if kind.NAME in _LOADED:
        whole, loads, use = _LOADED[kind.NAME]
        package, name = ("powerbert_cli.sentence", loads) if shortened else ("sentence_transformers", whole)
        return f'from {package} import {name}\n\nmodel = {name}(".")\n{use}'
    package, name = (
        ("powerbert_cli", f"PowerBert{kind.HEAD}") if shortened else ("transformers", f"AutoModel{kind.HEAD}")
    )
    use = _USES.get(kind.NAME, "")
    if kind.MEDIUM == "image":
        return f"""from {package} import {name}
from transformers import AutoImageProcessor, pipeline

model = {name}.from_pretrained(".")
processor = AutoImageProcessor.from_pretrained(".", backend="pil")
{use}"""
    if kind.MEDIUM == "audio":
        tools = "AutoFeatureExtractor, AutoTokenizer, pipeline" if kind.SPELLS else "AutoFeatureExtractor, pipeline"
        return f"""from {package} import {name}
from scipy.io import wavfile
from transformers import {tools}

model = {name}.from_pretrained(".")
extractor = AutoFeatureExtractor.from_pretrained(".")
{use}"""
    tools = "AutoTokenizer, pipeline" if "pipeline(" in use else "AutoTokenizer"
    at_most = f", model_max_length={seq_len}" if use else ""
    return f"""from {package} import {name}
from transformers import {tools}

model = {name}.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained("."{at_most})
{use}""".rstrip()


def _rows(run: dict[str, Any], base: str, task: str) -> dict[str, str]:
    """The card's table: what the model is made of, how good, how much smaller, how fast."""
    metrics = run["metrics"]
    rows = {"base model": base, "task": task, "made by": f"`{run['command']}`"}
    for split in (metrics, run["test"]):
        if split:
            low, high = split["interval"]
            said = f"{split['value']:.4f} (95% interval {low:.4f} to {high:.4f}, n={split['n']}, seed {split['seed']})"
            rows[f"{split['metric']} on {split['split']}"] = said
    if metrics.get("best_of_epochs"):
        rows["chosen"] = (
            f"the best of {metrics['best_of_epochs']} epochs on the dev rows, which flatters the dev metric"
        )
    if run["result"].get("drop") is not None:
        found = run["result"]
        rows["lost"] = (
            f"{found['drop']:+.4f} of the plain model's {found['baseline']:.4f} (95% interval {found['drop_low']:+.4f} "
            f"to {found['drop_high']:+.4f}); that is the better of the fine-tuned model and the one trained as long"
        )
    if run["retention"]:
        kept = ", ".join(bar["value"] for bar in run["retention"])
        rows["word-vectors kept by layer"] = f"{kept} ({100 * run['kept']:.1f}%)"
    if run["compression"]:
        before, after = run["compression"]["parameters"]
        rows["parameters"] = f"{after / 1e6:.2f} of {before / 1e6:.2f} million"
    if run["fastest"]:
        fastest, machine = run["fastest"], run["environment"]
        times = with_interval(fastest["best"], fastest["best_interval"])
        rows["speed"] = (
            f"{fastest['rate']:.0f} inputs a second, {times} times as fast as the fastest plain model timed beside it "
            f"({fastest['where']}, {fastest['padding']}, {fastest['point']})"
        )
        if run["doubt"]:
            rows["times"] = run["doubt"]
        device = machine.get("gpu") or f"{machine.get('processor')} {machine.get('cpu_flags')}"
        rows["machine"] = device
    return rows


def _front_matter(base: str, task: str, kind: type[Kind], metrics: dict[str, Any]) -> dict[str, Any]:
    """What the hub shows and finds a model by; a folder of this machine is no base model there."""
    matter: dict[str, Any] = {
        "library_name": kind.LIBRARY,
        "pipeline_tag": kind.PIPELINE,
        "tags": ["powerbert", *_TAGS.get(kind.NAME, ())],
    }
    if base.count("/") <= 1 and " " not in base and not Path(base).exists():
        matter["base_model"] = base
    if metrics:
        result = {
            "task": {"type": kind.PIPELINE},
            "dataset": {"name": task, "type": task, "split": metrics["split"]},
            "metrics": [{"type": metrics["metric"], "value": metrics["value"]}],
        }
        matter["model-index"] = [{"name": task, "results": [result]}]
    return matter


def _cell(value: Any) -> str:
    """A value that does not break out of its table."""
    return " ".join(str(value).replace("|", "\\|").split())
