"""README.md of an exported model: what it is, and how it is called."""

from typing import Any

from ..encoder.shortened import ShortenedModel
from .tables import joined

_HOW = {
    "onnx": """import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
session = onnxruntime.InferenceSession("{graph}")
wanted = [one.name for one in session.get_inputs()]
batch = tokenizer(texts, padding=True, truncation=True, max_length={seq_len}, return_tensors="np")
logits = session.run(["logits"], {{name: batch[name].astype("int64") for name in wanted}})[0]""",
    "openvino": """import openvino
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = openvino.compile_model("{graph}", "CPU", {{"INFERENCE_PRECISION_HINT": "{hint}"}})
wanted = [one.any_name for one in model.inputs]
batch = tokenizer(texts, padding=True, truncation=True, max_length={seq_len}, return_tensors="np")
logits = model({{name: batch[name].astype("int64") for name in wanted}})["logits"]""",
}


def card(about: dict[str, Any], graph: str, task: str, model: ShortenedModel, size_mb: float) -> str:
    """
    Args:
        about: content of export.json.
        graph: name of the file that the engine loads.
    """
    elimination, hint = model.elimination, "bf16" if about["precision"] == "bf16" else "f32"
    values = joined(elimination.retention.values)
    differ = "" if about["answers_differ"] is None else f"; {about['answers_differ']:.2%} of the answers are others"
    return f"""# {task}, {about["engine"]}, {about["precision"]}

A text classifier that drops word-vectors from layer to layer (PoWER-BERT), written by powerbert.

| | |
| --- | --- |
| file | `{graph}`, {size_mb:.1f} MB |
| inputs | int64 (batch, sequence), of any batch size, up to {about["seq_len"]} word-pieces |
| output | `logits`, float32 (batch, {model.config.num_labels}): {", ".join(map(str, about["labels"]))} |
| word-vectors kept by layer | {values} |
| {about["metric"]} on dev | {about["value"]:.4f}; in PyTorch, float32: {about["value_fp32"]:.4f}{differ} |
| largest difference of a logit | {about["logits_differ"]:.2g} |

```python
{_HOW[about["engine"]].format(graph=graph, seq_len=about["seq_len"], hint=hint)}
```

Put inputs in order of their length before you batch them: padding costs time.
"""
