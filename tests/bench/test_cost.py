import pytest
import torch

from powerbert_cli.bench.cost import (
    Cost,
    LayerShape,
    Peaks,
    encoder_cost,
    encoder_flops,
    layer_cost,
    roofline_seconds,
    scoring_pays,
    total,
)
from powerbert_cli.bench.peaks import measure_peaks

BASE = (LayerShape(768, 768, 3072),) * 12
TINY = LayerShape(2, 2, 8)


def test_layer_cost_by_hand():
    """D=2, F=8, n=3, kept 1: qkv 6·3·4, scores 2·9·2 and A·V 2·1·3·2, output 2·1·4, feed-forward 4·1·2·8."""
    parts = layer_cost(TINY, 1, 3, 1)
    assert {name: cost.flops for name, cost in parts.items()} == {
        "project": 72,
        "attention": 36 + 12,
        "output": 8,
        "feed-forward": 64,
    }
    # weights 3·2·2, 0, 2·2, 2·2·8; numbers in and out: 3 rows in, 9 out; 3 + 6 read, 1 written; …
    assert [cost.weights for cost in parts.values()] == [12, 0, 4, 32]
    assert [cost.activations for cost in parts.values()] == [24, 20, 6, 20]


def test_head_and_random_have_queries_of_the_kept_ones_only():
    """As above with one query in place of three: project (2 + 4·3)·4, scores 2·3·2 and A·V 2·3·2."""
    parts = layer_cost(TINY, 1, 3, 1, chosen_beforehand=True)
    assert [cost.flops for cost in parts.values()] == [56, 12 + 12, 8, 64]
    whole = layer_cost(TINY, 1, 3, 3, chosen_beforehand=True)
    assert whole == layer_cost(TINY, 1, 3, 3)


def test_fewer_heads_cost_less_by_hand():
    """As above with one of two heads of size 1: query, key, value 6·3·2·1, scores 2·9 and A·V 2·3, output 2·1·2."""
    parts = layer_cost(LayerShape(2, 1, 8), 1, 3, 1)
    assert [cost.flops for cost in parts.values()] == [36, 18 + 6, 4, 64]
    assert [cost.weights for cost in parts.values()] == [6, 0, 2, 32]
    none = layer_cost(LayerShape(2, 0, 8), 1, 3, 1)
    assert [cost.flops for cost in none.values()] == [0, 0, 0, 64]


def test_cost_of_a_batch_reads_the_weights_once():
    one, many = (total(layer_cost(BASE[0], batch, 64, 17)) for batch in (1, 32))
    assert (many.flops, many.activations) == (32 * one.flops, 32 * one.activations)
    assert many.weights == one.weights == 12 * 768 * 768


def test_last_layer_for_cls_only_costs_one_query_and_one_row():
    plain, first = encoder_cost(BASE, 1, 64), encoder_cost(BASE, 1, 64, first_only=True)
    assert plain[:-1] == first[:-1]
    d, f = 768, 3072
    assert total(first[-1]).flops == (2 + 4 * 64) * d * d + 2 * 64 * d + 2 * 64 * d + 2 * d * d + 4 * d * f


def test_last_layer_for_cls_only_without_keys_and_values_by_hand():
    """D=2, F=8, H=1, n=3: W_q 2·4; W_k and W_v 4·4, scores and means 4·3·1·2; output 2·4; feed-forward 4·2·8."""
    parts = layer_cost(LayerShape(2, 2, 8, heads_for_first=1), 1, 3, 3, first_only=True)
    assert [cost.flops for cost in parts.values()] == [8, 16 + 24, 8, 64]
    assert sum(cost.weights for cost in parts.values()) == 4 * 4 + 2 * 2 * 8  # each matrix is read once


def test_roofline_is_the_larger_of_compute_and_traffic_in_each_layer():
    """1 FLOP a second and 1 byte a second: a layer of 8 FLOPs and 3 numbers of 4 bytes takes 12, one of 20 takes 20."""
    layers = [{"a": Cost(5, 1, 1), "b": Cost(3, 1, 0)}, {"a": Cost(20, 1, 1)}]
    assert roofline_seconds(layers, Peaks(1, 1), 4) == 12 + 20
    # at batch 1 the weights bound: the roofline ratio is below the FLOPs ratio, at batch 128 it is the same
    cola = (17, 15, 14, 13, 12, 11, 11, 9, 6, 5, 5, 5)
    peaks = Peaks(200e9, 20e9)

    def ratio(batch: int) -> float:
        times = [roofline_seconds(encoder_cost(BASE, batch, 64, lengths), peaks, 4) for lengths in (None, cola)]
        return times[0] / times[1]

    assert ratio(1) < 4.5 < ratio(128) == pytest.approx(5.62, abs=0.05)


def test_peaks_are_measured():
    peaks = measure_peaks("cpu", torch.float32)
    assert peaks.flops_per_s > 1e9 and peaks.bytes_per_s > 1e8


def test_flops_ratios_of_the_published_configurations():
    """As the formula gives them: CoLA 5.6 at ℓ=64, RTE 3.4 at ℓ=256."""
    cola = (17, 15, 14, 13, 12, 11, 11, 9, 6, 5, 5, 5)
    rte = (153, 125, 111, 105, 85, 80, 72, 48, 35, 27, 22, 5)
    assert encoder_flops(BASE, 64) / encoder_flops(BASE, 64, cola) == pytest.approx(5.62, abs=0.01)
    assert encoder_flops(BASE, 256) / encoder_flops(BASE, 256, rte) == pytest.approx(3.38, abs=0.01)
    assert encoder_flops(BASE, 3, cola) < encoder_flops(BASE, 3) * 1.0001


def test_scoring_pays_by_hand():
    """D=2, F=8: a dropped word-vector saves 8·4 + 4·16 = 96, scores of n cost 4·n²."""
    shape = (TINY,)
    assert scoring_pays(shape, 0, 4, 3) and not scoring_pays(shape, 0, 5, 4) and scoring_pays(shape, 0, 5, 3)
    assert not scoring_pays(shape, 0, 4, 4)
    # one of two heads in the next layer: its query, key and value cost half, which leaves 84; 7 neurons here: 80
    assert scoring_pays((TINY, LayerShape(2, 1, 8)), 0, 4, 3)
    assert not scoring_pays((LayerShape(2, 2, 4), LayerShape(2, 1, 8)), 0, 4, 3)
