"""README.md of an exported model: what it is, and how it is called."""

import json
from typing import Any

from ..bench.openvino import openvino_precision
from ..encoder.families import purpose_of
from ..encoder.family import HEARS, PICTURES, SOUND, SPELLS
from ..encoder.shortened import ShortenedModel
from .tables import joined

_PROCESSOR = 'processor = AutoImageProcessor.from_pretrained(".", backend="pil")'
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
model = openvino.compile_model("{graph}", "CPU", {settings})
wanted = [one.any_name for one in model.inputs]
batch = tokenizer(texts, padding=True, truncation=True, max_length={seq_len}, return_tensors="np")
logits = model({{name: batch[name].astype("int64") for name in wanted}})["logits"]""",
    "native": """from powerbert_cli import load_shortened
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = load_shortened(".", engine="native")
batch = tokenizer(texts, padding=True, truncation=True, max_length={seq_len}, return_tensors="pt")
logits = model(**batch).logits""",
    "powerbert": """import torch
from powerbert_cli import PowerBertForSequenceClassification
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = PowerBertForSequenceClassification.from_pretrained(".")
batch = tokenizer(texts, padding=True, truncation=True, max_length={seq_len}, return_tensors="pt")
with torch.inference_mode():
    logits = model(**batch).logits""",
}


def card(about: dict[str, Any], task: str, model: ShortenedModel) -> str:
    """
    Args:
        about: content of export.json.
    """
    kind, sees = about.get("precision") or "packed", model.takes == PICTURES
    inputs = f"int64 (batch, sequence), of any batch size, up to {about['seq_len']} word-pieces"
    if sees:
        inputs = f"`pixel_values`, float32 (batch, channels, height, width): {about['seq_len']} word-vectors each"
    if model.takes == SOUND:
        inputs = (
            f"`input_values`, float32 (batch, samples), up to {about['seq_len']} frames of the model; "
            "`attention_mask`, int64 (batch, samples)"
        )
    spells = purpose_of(model.config) == SPELLS
    output = f"(batch, {model.config.num_labels}): {', '.join(map(str, about['labels']))}"
    output = f"(batch, frames, {model.config.vocab_size}): letters, as vocab.json numbers them" if spells else output
    of = {PICTURES: "pictures", SOUND: "clips of sound"}.get(model.takes, "texts")
    settings = json.dumps(openvino_precision(kind)) if about["engine"] == "openvino" else ""
    keeps = model.elimination.retention.keeps_all
    whole = all(keeps(j, model.seq_len) for j in range(model.layers))
    what = "It keeps all word-vectors." if whole else "It drops word-vectors from layer to layer (PoWER-BERT)."
    values = joined(model.elimination.retention.values)
    differ = "" if about["answers_differ"] is None else f"; {about['answers_differ']:.2%} of the answers are others"
    how = "```bash\npowerbert predict model_dir=. input=TEXTS output=answers.csv\n```"
    if about["engine"] in _HOW:
        code = _HOW[about["engine"]].format(graph=about["file"], seq_len=about["seq_len"], settings=settings)
        code = _of_pictures(code) if sees else _of_sound(code, model.config) if model.takes == SOUND else code
        how = f"```python\n{code}\n```"
    return (
        f"""# {task}, {about["engine"]}, {kind}

{"What spells" if spells else "A classifier of"} {of}, written by powerbert. {what}

| | |
| --- | --- |
| file | `{about["file"]}`, {about["size_mb"]:.1f} MB |
| inputs | {inputs} |
| output | `logits`, float32 {output} |
| word-vectors kept by layer | {values} |
| {about["metric"]} on dev | {about["value"]:.4f}; in PyTorch, float32: {about["value_fp32"]:.4f}{differ} |
| largest difference of a logit | {about["logits_differ"]:.2g} |

{how}

{"" if sees else "Put inputs in order of their length before you batch them: padding costs time."}
""".rstrip()
        + "\n"
    )


def _of_pictures(code: str) -> str:
    """The same code for pictures of PIL in place of texts."""
    lines = []
    for line in code.splitlines():
        if line.startswith("batch = tokenizer("):
            tensors = "np" if 'return_tensors="np"' in line else "pt"
            line = f'batch = processor(images=pictures, return_tensors="{tensors}")'
        lines.append(line)
    code = "\n".join(lines).replace('tokenizer = AutoTokenizer.from_pretrained(".")', _PROCESSOR)
    code = code.replace("AutoTokenizer", "AutoImageProcessor").replace('.astype("int64")', "")
    return code.replace("PowerBertForSequenceClassification", "PowerBertForImageClassification")


def _of_sound(code: str, config: Any) -> str:
    """The same code for clips, arrays of samples of one channel, in place of texts."""
    lines, masks = [], config.feat_extract_norm == "layer"
    for line in code.splitlines():
        if line.startswith("batch = tokenizer("):
            tensors = "np" if 'return_tensors="np"' in line else "pt"
            how = f'padding=True, return_attention_mask={masks}, return_tensors="{tensors}"'
            line = f"batch = extractor(clips, sampling_rate=extractor.sampling_rate, {how})"
            if not masks:  # such a model was trained without one, and takes padding for silence
                line += '\nbatch["attention_mask"] = 0 * batch["input_values"] + 1'
        lines.append(line)
    code = "\n".join(lines).replace("tokenizer = AutoTokenizer", "extractor = AutoFeatureExtractor")
    code = code.replace("AutoTokenizer", "AutoFeatureExtractor")
    code = code.replace('.astype("int64")', '.astype("int64" if name == "attention_mask" else "float32")')
    name = HEARS if purpose_of(config) == HEARS else SPELLS
    return code.replace("PowerBertForSequenceClassification", f"PowerBert{name}")
