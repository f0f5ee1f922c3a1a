"""README.md of an exported model: what it is, and how it is called."""

import json
from typing import Any

from ..bench.openvino import openvino_precision
from ..encoder.families import purpose_of, takes_of
from ..encoder.family import ANSWERS, CHOOSES, EMBEDS, PICTURES, SOUND, SPELLS, TAGS
from ..encoder.shortened import ShortenedModel
from .tables import joined

_HOW = {
    "onnx": """import onnxruntime
from transformers import {auto}

{made}
session = onnxruntime.InferenceSession("{graph}")
wanted = [one.name for one in session.get_inputs()]
{batch}
logits = session.run(["logits"], {{name: batch[name]{typed} for name in wanted}})[0]""",
    "openvino": """import openvino
from transformers import {auto}

{made}
model = openvino.compile_model("{graph}", "CPU", {settings})
wanted = [one.any_name for one in model.inputs]
{batch}
logits = model({{name: batch[name]{typed} for name in wanted}})["logits"]""",
    "native": """from powerbert_cli import load_shortened
from transformers import {auto}

{made}
model = load_shortened(".", engine="native")
{batch}
logits = model(**batch).logits""",
    "powerbert": """import torch
from powerbert_cli import {kind}
from transformers import {auto}

{made}
model = {kind}.from_pretrained(".")
{batch}
with torch.inference_mode():
    output = model(**batch)
logits = {logits}""",
}
_TENSORS = {"onnx": "np", "openvino": "np", "native": "pt", "powerbert": "pt"}  # that an engine is called with


def card(about: dict[str, Any], task: str, model: ShortenedModel) -> str:
    """
    Args:
        about: content of export.json.
    """
    kind, sees = about.get("precision") or "packed", model.takes == PICTURES
    shape = "(batch, choices, sequence)" if purpose_of(model.config) == CHOOSES else "(batch, sequence)"
    inputs = f"int64 {shape}, of any batch size, up to {about['seq_len']} word-pieces"
    if sees:
        inputs = f"`pixel_values`, float32 (batch, channels, height, width): {about['seq_len']} word-vectors each"
    if model.takes == SOUND:
        inputs = (
            f"`input_values`, float32 (batch, samples), up to {about['seq_len']} frames of the model; "
            "`attention_mask`, int64 (batch, samples)"
        )
    what, output = _does(model.config, about["labels"])
    of = {PICTURES: "pictures", SOUND: "clips of sound"}.get(model.takes, "texts")
    settings = json.dumps(openvino_precision(kind)) if about["engine"] == "openvino" else ""
    keeps = model.elimination.retention.keeps_all
    whole = all(keeps(j, model.seq_len) for j in range(model.layers))
    drops = "It keeps all word-vectors." if whole else "It drops word-vectors from layer to layer (PoWER-BERT)."
    values = joined(model.elimination.retention.values)
    differ = "" if about["answers_differ"] is None else f"; {about['answers_differ']:.2%} of the answers are others"
    how = "```bash\npowerbert predict model_dir=. input=TEXTS output=answers.csv\n```"
    if about["engine"] in _HOW:
        inputs_by = code_of_inputs(model.config, _TENSORS[about["engine"]], about["seq_len"])
        code = _HOW[about["engine"]].format(graph=about["file"], settings=settings, **inputs_by)
        how = f"```python\n{code}\n```"
    return (
        f"""# {task}, {about["engine"]}, {kind}

A model that {what} {of}, written by powerbert. {drops}

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


def _does(config: Any, labels: list[str]) -> tuple[str, str]:
    """What a model does with its inputs, and the shape of its `logits`."""
    classes = f"{config.num_labels}): {', '.join(map(str, labels))}"
    size = getattr(config, "vocab_size", None)  # a classifier of pictures has none
    alone = "scores" if config.num_labels == 1 else "classifies"
    return {
        CHOOSES: ("chooses between", "(batch, choices)"),
        TAGS: ("tags the words of", f"(batch, sequence, {classes}"),
        ANSWERS: ("answers questions about", "(batch, sequence, 2): where an answer starts, where it ends"),
        EMBEDS: ("makes vectors of", "(batch, size)"),
        SPELLS: ("spells", f"(batch, frames, {size}): letters, as vocab.json numbers them"),
    }.get(purpose_of(config), (alone, f"(batch, {classes}"))


def code_of_inputs(config: Any, tensors: str, seq_len: int) -> dict[str, str]:
    """The lines by which texts, pictures (of PIL) or clips (arrays of samples of one channel) become a batch.

    Args:
        tensors: np or pt.

    Returns:
        auto, made, batch, typed, kind, logits: what `_HOW` leaves open.
    """
    takes, to = takes_of(config), f'return_tensors="{tensors}"'
    if takes == PICTURES:
        auto, name, options, typed = "AutoImageProcessor", "processor", ', backend="pil"', ""
        batch = f"batch = processor(images=pictures, {to})"
    elif takes == SOUND:
        auto, name, options = "AutoFeatureExtractor", "extractor", ""
        typed = '.astype("int64" if name == "attention_mask" else "float32")'
        masks = config.feat_extract_norm == "layer"
        rate = f"sampling_rate=extractor.sampling_rate, padding=True, return_attention_mask={masks}"
        batch = f"batch = extractor(clips, {rate}, {to})"
        if not masks:  # such a model was trained without one, and takes padding for silence
            batch += '\nbatch["attention_mask"] = 0 * batch["input_values"] + 1'
    else:
        auto, name, options, typed = "AutoTokenizer", "tokenizer", "", '.astype("int64")'
        batch = f"batch = tokenizer(texts, padding=True, truncation=True, max_length={seq_len}, {to})"
        if purpose_of(config) == CHOOSES:
            one = "batch = {name: rows[None] for name, rows in batch.items()}"
            batch = f"# texts: the choices of one question, with the question\n{batch}\n{one}"
        if purpose_of(config) == ANSWERS:
            batch = f"# texts: pairs of a question and the text that it is about\n{batch}"
    made = f'{name} = {auto}.from_pretrained("."{options})'
    apart = purpose_of(config) == ANSWERS  # as transformers' models for answers give them
    logits = "torch.stack((output.start_logits, output.end_logits), dim=-1)" if apart else "output.logits"
    kind = f"PowerBert{purpose_of(config)}"
    return {"auto": auto, "made": made, "batch": batch, "typed": typed, "kind": kind, "logits": logits}
