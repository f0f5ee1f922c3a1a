import pytest
import torch
from hosts import FAMILIES, described, make_host

from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import Elimination, draw_random_order
from powerbert_cli.models.onnx_file import OnnxError, compare_onnx, export_onnx

pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def elimination(strategy: str, layers: int) -> Elimination:
    order = draw_random_order(16, 0) if strategy == "random" else None
    return described((8, 5, 2)[:layers], 16, strategy, layers=layers, random_order=order, protected_tokens=(7,))


def operators_of(path) -> list[str]:
    return [node.op_type for node in __import__("onnx").load(path).graph.node]


def ranks_of_norms(path) -> set[int]:
    onnx = __import__("onnx")
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.value_info}
    return {ranks[node.input[0]] for node in graph.node if node.op_type == "LayerNormalization"}


RELATIVE = {
    "relative": described(None, 16, kind="relative", fractions=(0.6, 0.35, 0.1)),
    "level": described(None, 16, kind="relative", fractions=(0.6, 0.6, 0.1)),
}
DROPPING = {"none": 0, "level": 1}  # layers, where not all before the last


@pytest.mark.parametrize(
    ("family", "strategy", "layers"),
    [
        ("bert", "attention", 2),  # to write a layer takes seconds
        *(pytest.param(family, "attention", 3, marks=pytest.mark.slow) for family in FAMILIES),
        *(pytest.param("bert", how, 3, marks=pytest.mark.slow) for how in ("head", "random", "none", *RELATIVE)),
    ],
)
def test_file_answers_as_the_model_for_any_batch_and_length(family, strategy, layers, tmp_path):
    """Lengths shorter than what a layer would keep, and longer; padded and not."""
    how = RELATIVE.get(strategy) or elimination(strategy, layers)
    own = {"num_hidden_layers": layers} if family == "bert" else {}
    model = ShortenedModel(make_host(family, **own), how).eval()
    export_onnx(model, tmp_path / "model.onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    operators = operators_of(tmp_path / "model.onnx")
    assert operators.count("Softmax") == model.layers  # significance and output read the same weights
    assert operators.count("TopK") == 2 * DROPPING.get(strategy, layers - 1)  # which, and in what order
    of_rows = {2} if family == "modernbert" else set()  # the norm after the last layer
    assert ranks_of_norms(tmp_path / "model.onnx") == {3} | of_rows  # where engines quantise within them
    assert "NonZero" in operators  # rows are packed
    assert "IsNaN" not in operators  # which keeps engines from fusing attention
    for batch, length in ((4, 16), (1, 1), (3, 9), (2, 6)):
        ids = torch.randint(5, 100, (batch, length), generator=torch.Generator().manual_seed(length))
        mask = (torch.arange(length) < length - 2 * torch.arange(batch)[:, None]).long()
        mask[:, 0] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        inputs = {part.name: inputs[part.name] for part in session.get_inputs()}
        with torch.no_grad():
            expected = model(**inputs).logits
        found = session.run(None, {name: part.numpy() for name, part in inputs.items()})[0]
        assert torch.allclose(torch.from_numpy(found), expected, atol=1e-4)
    assert compare_onnx(tmp_path / "model.onnx", model) < 1e-4


@pytest.mark.slow
def test_file_of_a_model_whose_head_reads_all_word_vectors(tmp_path):
    """And whose second layer drops none: which are kept, and in what order, is found out in the first alone."""
    few = described(None, 16, kind="relative", fractions=(0.6, 0.6), layers=2)
    model = ShortenedModel(make_host("modernbert", classifier_pooling="mean", num_hidden_layers=2), few).eval()
    export_onnx(model, tmp_path / "model.onnx")
    operators = operators_of(tmp_path / "model.onnx")
    assert (operators.count("Softmax"), operators.count("TopK")) == (2, 2) and "NonZero" in operators
    assert compare_onnx(tmp_path / "model.onnx", model) < 1e-4


def test_plain_file_is_one_that_engines_fuse(tmp_path):
    host = make_host(num_hidden_layers=1).eval()
    before = host.config._attn_implementation
    export_onnx(host, tmp_path / "model.onnx")
    assert host.config._attn_implementation == before == "sdpa"
    assert not {"IsNaN", "NonZero", "TopK"} & set(operators_of(tmp_path / "model.onnx"))
    ids = torch.randint(5, 100, (3, 9))
    inputs = {"input_ids": ids, "attention_mask": (torch.arange(9) < torch.tensor([[9], [4], [1]])).long()}
    with torch.no_grad():
        expected = host(**inputs).logits
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    given = {**inputs, "token_type_ids": torch.zeros_like(ids)}
    found = session.run(None, {name: tensor.numpy() for name, tensor in given.items()})[0]
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-4)


def test_file_of_another_model_is_told_apart(tmp_path):
    one = ShortenedModel(make_host(num_hidden_layers=2), elimination("attention", 2))
    other = ShortenedModel(make_host(num_hidden_layers=2), described((5, 5), 16))
    export_onnx(one, tmp_path / "model.onnx")
    with pytest.raises(OnnxError, match="answers otherwise"):
        compare_onnx(tmp_path / "model.onnx", other)


@pytest.mark.parametrize("strategy", ["threshold", "merge"])
def test_strategies_that_have_no_file(strategy, tmp_path):
    model = ShortenedModel(make_host(), described((8, 5, 2), 16, strategy, (0.5, 0.5, 0.5)))
    with pytest.raises(OnnxError, match=f"strategy={strategy} cannot"):
        export_onnx(model, tmp_path / "model.onnx")


def test_multiple_choice_has_no_file(tmp_path):
    with pytest.raises(OnnxError, match="multiple-choice"):
        export_onnx(make_host(choice=True), tmp_path / "model.onnx")
