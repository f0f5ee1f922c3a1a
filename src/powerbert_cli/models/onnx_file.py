"""Classifiers as ONNX files, for batches and inputs of any size."""

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..encoder.answered import logits_of
from ..encoder.driven import EliminationModel
from ..encoder.families import is_choice_model, takes_of
from ..encoder.family import PICTURES, SOUND
from ..encoder.sound_hosts import convolutions_of, samples_for
from ..errors import PowerbertError, brings
from ..store.artifacts import whole_file


class OnnxError(PowerbertError):
    """A model that cannot be written as ONNX, or a package that is not there."""


class _Logits(nn.Module):
    """Tensors in a fixed order in, logits out."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        found: Tensor = logits_of(self.model(**dict(zip(self.names, inputs, strict=True))))
        return found


def input_names(config: Any) -> tuple[str, ...]:
    """What a classifier with this config is called with."""
    takes = takes_of(config)
    if takes == PICTURES:
        return (takes,)
    if takes == SOUND:
        return (takes, "attention_mask")
    types = getattr(config, "type_vocab_size", 0) > 1
    return ("input_ids", "attention_mask", "token_type_ids") if types else ("input_ids", "attention_mask")


def made_inputs(config: Any, batch: int, length: int) -> dict[str, Tensor]:
    """Drawn inputs of a file, the longest of `length` word-vectors and each one word-vector shorter; always the same.

    Pictures are of the one size that there is.
    """
    generator, takes = torch.Generator().manual_seed(0), takes_of(config)
    if takes == PICTURES:
        size = config.image_size
        height, width = (size, size) if isinstance(size, int) else size
        return {takes: torch.randn(batch, config.num_channels, height, width, generator=generator)}
    less = torch.arange(batch).clamp(max=length - 1)
    ends = length - less
    if takes == SOUND:
        ends = torch.tensor([samples_for(convolutions_of(config), int(frames)) for frames in ends])
        values = torch.randn(batch, int(ends.max()), generator=generator)
    else:
        values = torch.randint(config.vocab_size, (batch, length), generator=generator)
    mask = (torch.arange(values.shape[1]) < ends[:, None]).long()
    made = {takes: values, "attention_mask": mask, "token_type_ids": torch.zeros_like(mask)}
    return {name: made[name] for name in input_names(config)}


def export_onnx(model: nn.Module, path: Path) -> None:
    """Writes a plain classifier or a shortened one as one ONNX file.

    TopK and Gather eliminate word-vectors at run time: the file takes inputs (B, N) of any batch size and any
    length up to ℓ, and keeps min(ℓ_j, N) of them in layer j. Linear layers of a shortened model see packed rows:
    NonZero finds the real word-vectors, Gather takes them out of the padding and puts them back for attention.

    Args:
        model: a sequence classifier of transformers, or a `ShortenedModel`, on the CPU.

    Raises:
        OnnxError: for a strategy whose lengths depend on more than shapes, for multiple choice,
            or if a package is missing.
    """
    _check(model)
    names = input_names(model.config)
    # Both are free in the file. Where a layer keeps one word-vector of the example, a graph may believe that it always
    # does: of the longest input that is true.
    batch, length = 2, model.seq_len if isinstance(model, EliminationModel) else 7
    example = list(made_inputs(model.config, batch, length).values())
    dynamic, takes = torch.export.Dim.DYNAMIC, takes_of(model.config)
    free = {0: dynamic} if takes == PICTURES else {0: dynamic, 1: dynamic}
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), _quiet(), _plain_attention(model):
            traced = torch.export.export(
                _Logits(model, names),
                tuple(example),
                dynamic_shapes={"inputs": tuple(dict(free) for _ in names)},
                strict=False,
            )
            program = torch.onnx.export(traced, input_names=list(names), output_names=["logits"], dynamo=True)
    finally:
        model.train(was_training)
    assert program is not None
    with whole_file(path) as temporary:
        _save(program.model_proto, temporary)


def _save(proto: Any, path: Path) -> None:
    """Inputs and outputs with their sizes by name, as servers read them."""
    import onnx

    for value in (*proto.graph.input, *proto.graph.output):
        for dim, name in zip(value.type.tensor_type.shape.dim, ("batch", "sequence", "classes"), strict=False):
            if not dim.HasField("dim_value"):
                dim.dim_param = name
    proto.graph.ClearField("value_info")  # sizes within, by the names that the exporter made up
    onnx.save(proto, path)


def quantize_onnx(path: Path, result: Path) -> Path:
    """Writes a file whose matrix products are in int8, activations quantised as they come (dynamic).

    Convolutions, which make patches and frames, stay as they are: the weights of some are computed.

    Raises:
        OnnxError: if ONNX Runtime is missing.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise OnnxError(f"int8 needs the package onnxruntime: {brings('onnx')}") from error
    model = onnx.load(path)
    model.graph.ClearField("value_info")  # the shapes of weights that change places would contradict it
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises through the root logger
    try:
        with whole_file(result) as temporary:
            how: Any = {"weight_type": QuantType.QInt8, "per_channel": True, "reduce_range": True}
            quantize_dynamic(model, temporary, nodes_to_exclude=convolutions, **how)
    finally:
        root.setLevel(level)
    return result


def compare_onnx(path: Path, model: EliminationModel, exact: bool = True) -> float:
    """The largest difference between the logits of a file and those of its model.

    On generated inputs of several batch sizes and lengths, with and without padding.

    Args:
        exact: the file is in float32: a difference beyond rounding is an error.

    Raises:
        OnnxError: if ONNX Runtime is missing, or the file answers otherwise than the model.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise OnnxError(f"comparing needs the package onnxruntime: {brings('onnx')}") from error
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = scale = 0.0
    for batch, length in ((1, 2), (1, model.seq_len), (3, model.seq_len // 2), (2, model.seq_len)):
        inputs = made_inputs(model.config, batch, length)
        with torch.no_grad():
            expected = logits_of(model.eval()(**inputs))
        found = torch.from_numpy(session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})[0])
        largest = max(largest, float((found - expected).abs().max()))
        scale = max(scale, float(expected.abs().max()))
    if exact and largest > 1e-3 * max(scale, 1.0):
        raise OnnxError(f"{path} answers otherwise than the model: a logit differs by {largest:.3g}")
    return largest


def check_exportable(strategy: str | None, choice: bool, also: Sequence[str] = ()) -> None:
    """Whether such a model can be written as ONNX here.

    Args:
        strategy: of its elimination; None for a plain classifier.
        choice: it is for multiple choice.
        also: packages that are needed beside those of the exporter.

    Raises:
        OnnxError: if not; says why.
    """
    if choice:
        raise OnnxError("ONNX files are for sequence classification; this is a multiple-choice model")
    if strategy in ("threshold", "merge"):
        raise OnnxError(f"strategy={strategy} cannot be written as ONNX")
    wanted = ("onnx", "onnxscript", *also)
    missing = [package for package in wanted if find_spec(package) is None]
    if missing:
        extra = "openvino" if {"openvino", "nncf"} & set(wanted) else "onnx"
        raise OnnxError(f"this needs {', '.join(missing)}, not installed here: {brings(extra)}")


def _check(model: nn.Module) -> None:
    host = model.host if isinstance(model, EliminationModel) else model
    strategy = model.elimination.strategy if isinstance(model, EliminationModel) else None
    check_exportable(strategy, is_choice_model(host))


@contextlib.contextmanager
def _plain_attention(model: Any) -> Any:
    """Within it a plain classifier weighs by softmax and products, which engines put into one operator.

    PyTorch's attention brings a guard against rows without any key into the file, which they do not know.
    """
    before = model.config._attn_implementation
    model.config._attn_implementation = "eager"
    try:
        yield
    finally:
        model.config._attn_implementation = before


@contextlib.contextmanager
def _quiet() -> Any:
    """Without the exporter's progress lines and warnings of its own deprecated parts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
