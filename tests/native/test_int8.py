"""The native engine's int8 and the kernels of its rows: scales, columns that are smoothed, layers that stay exact."""

import pytest
import torch
from hosts import answers, make_host, ours, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from powerbert_cli.native import library
from powerbert_cli.native.calibration import Watched, calibrated
from powerbert_cli.native.kernels import Scale, activate, add_norm
from powerbert_cli.native.model import NativeModel
from powerbert_cli.native.products import FEW_ROWS, ByteProduct, FloatProduct, RowProduct

try:
    library.library()
except library.NoLibrary as error:
    pytest.skip(str(error), allow_module_level=True)


INT8 = 0.3  # of logits that are spread by about 3


def test_int8_is_near():
    for family in ("bert", "modernbert", "albert"):
        model = ours(make_host(family))
        native = calibrated(model, texts(labels=False))
        exact, found = answers(model, texts(False)), answers(native, texts(False))
        assert 0 < (found - exact).abs().max() < INT8


@settings(deadline=None, max_examples=30, derandomize=True)
@given(rows=st.integers(1, 40), width=st.integers(1, 70), seed=st.integers(0, 9))
def test_the_kernels_of_rows_by_pytorch(rows, width, seed):
    torch.manual_seed(seed)
    x, other, gain, shift = torch.randn(rows, width), torch.randn(50, width), torch.randn(width), torch.randn(width)
    at = torch.randint(0, 50, (rows,), dtype=torch.int32)
    total, normed = torch.empty_like(x), torch.empty_like(x)
    add_norm(x, other, at, (gain, shift, 1e-5), (total, normed, None))
    expected = x + other[at.long()]
    assert torch.equal(total, expected)
    assert torch.allclose(normed, torch.nn.functional.layer_norm(expected, (width,), gain, shift, 1e-5), atol=1e-5)
    gated, to = torch.randn(rows, 2 * width), torch.empty_like(x)
    activate(gated, "gelu", to)
    first, second = gated.chunk(2, dim=1)
    assert torch.allclose(to, torch.nn.functional.gelu(first) * second, atol=2e-6)
    scale = Scale.of_range(-3.0, 4.0, torch.rand(width) + 0.5)
    octets = torch.empty(rows, width, dtype=torch.uint8)
    add_norm(x, other, at, (gain, shift, 1e-5), (None, None, octets), scale)
    near(octets, scale.quantised(normed))
    ends = torch.empty(rows, 2)
    activate(gated, "gelu", octets, ends)
    step, least = ends.split(1, dim=1)
    low, high = to.aminmax(dim=1, keepdim=True)
    assert torch.allclose(least, low, atol=2e-6) and torch.allclose(step * 255, high - low, atol=1e-5)
    assert ((octets * step + least - to).abs() <= 0.51 * step + 4e-6).all()
    product, sums, bias = torch.randn(rows, width) * 100, torch.randn(width), torch.randn(width)
    add_norm(product, other, at, None, (total, None, None), None, (ends, sums, bias))
    assert torch.allclose(total, product * step + least * sums + bias + other[at.long()], atol=1e-4)


def near(found, wanted):
    """Bytes that differ by rounding alone."""
    assert (found.int() - wanted.int()).abs().max() <= 1 and (found != wanted).float().mean() < 0.1


def test_a_scale_by_hand():
    scale = Scale.of_range(-1.0, 4.1, torch.tensor([1.0, 2.0, 4.0]))
    assert scale.step == pytest.approx(0.02) and scale.zero == 50
    assert scale.quantised(torch.tensor([[-1.0, -1.0, 8.0], [9.0, 8.2, -9.0]])).tolist() == [
        [0, 25, 150],
        [255, 255, 0],
    ]


@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1])
@pytest.mark.parametrize("bias", [True, False])
def test_products_of_few_and_many_rows(rows, bias):
    layer = torch.nn.Linear(24, 40, bias=bias)
    with torch.inference_mode():
        x = torch.randn(rows, 24)
        assert torch.allclose(FloatProduct(layer.weight, layer.bias)(x), layer(x), atol=1e-5)


def outlying(rows=300, inputs=32, outputs=24, by=60.0):
    """Inputs with one large column, and a product of them."""
    torch.manual_seed(0)
    x = torch.randn(rows, inputs)
    x[:, 3] *= by
    return x, FloatProduct(torch.randn(outputs, inputs), torch.randn(outputs))


def test_large_columns_are_smoothed():
    x, exact = outlying()
    seen = Watched(1)
    seen.see(torch.cat((x, torch.zeros(20, 32))))

    def lost(smooths):
        scale, lost = seen.scale(exact, smooths)
        found = ByteProduct(exact, scale)(scale.quantised(x)) - exact.bias
        wanted = exact(x) - exact.bias
        measured = ((found - wanted).square().sum() / wanted.square().sum()).sqrt()
        assert measured == pytest.approx(lost, rel=0.1)
        return lost

    assert lost(True) < 0.5 * lost(False)
    assert seen.scale(outlying()[1], False)[0].smooth is None


def test_a_row_with_large_numbers_costs_the_others_nothing():
    """A product of bytes by row, put together by `add_norm`, beside one scale for all rows."""
    torch.manual_seed(0)
    raised, exact = torch.randn(40, 32), FloatProduct(torch.randn(24, 32), torch.randn(24))
    raised[7] *= 100
    x = torch.nn.functional.gelu(raised)
    octets, ends, total = torch.empty(40, 32, dtype=torch.uint8), torch.empty(40, 2), torch.empty(40, 24)
    activate(raised, "gelu", octets, ends)
    by_row, residual = RowProduct(exact), torch.zeros(40, 24)
    add_norm(by_row(octets), residual, None, None, (total, None, None), None, (ends, by_row.sums, by_row.bias))
    seen = Watched(1)
    seen.see(x)
    scale, _ = seen.scale(exact, False)
    of_all = ByteProduct(exact, scale)(scale.quantised(x))
    others, wanted = torch.arange(40) != 7, exact(x)

    def error(found):
        return float(((found - wanted)[others].square().sum() / wanted[others].square().sum()).sqrt())

    assert error(total) < 0.02 < 0.2 < error(of_all)
    measured = ((total - wanted).square().sum() / (wanted - exact.bias).square().sum()).sqrt()
    assert measured == pytest.approx(seen.lost_by_row(exact), rel=0.1)


def test_a_number_that_is_not_finite_is_not_lost_in_bytes():
    for wrong in (float("nan"), float("inf")):
        x = torch.randn(3, 20)
        x[1, 7] = wrong
        octets, ends = torch.empty(3, 20, dtype=torch.uint8), torch.empty(3, 2)
        activate(x, "gelu", octets, ends)
        assert ends[1, 0].isnan() and ends[[0, 2]].isfinite().all()


def test_calibration_hears_word_vectors_alone():
    """Not the rows that fill a product up."""
    native, heard = NativeModel(ours(make_host(), (9, 5, 2))), []
    native.watch = lambda j, name, x: heard.append((j, name, len(x)))
    native(input_ids=torch.randint(5, 90, (1, 12)))
    wanted = [("qkv", 12), ("output", 9), ("up", 9), ("down", 9), ("qkv", 9), ("output", 5), ("up", 5), ("down", 5)]
    assert [(name, rows) for j, name, rows in heard if j < 2] == wanted
    assert [(name, rows) for j, name, rows in heard if j == 2] == [("output", 1), ("up", 1), ("down", 1)]  # for [CLS]


def test_what_would_lose_too_much_stays_exact_and_is_said(caplog):
    model = ours(make_host())
    with torch.no_grad():
        model.host.bert.encoder.layer[1].attention.self.value.weight[0] *= 3000  # what `output` is given
        model.host.bert.encoder.layer[1].attention.output.dense.weight[:, 0] = 0
    model.refresh()
    with caplog.at_level("INFO", "powerbert_cli"):
        native = calibrated(model, texts(labels=False))
    assert (1, "output") not in native.scales and (0, "output") in native.scales
    assert "in float32 for their outliers stay output of layer 2" in caplog.text
    exact, found = answers(model, texts(False)), answers(native, texts(False))
    assert 0 < (found - exact).abs().max() < INT8
