import numpy as np
import pytest
import torch

from powerbert_cli.bench.batches import choose_rows, make_batches
from powerbert_cli.bench.flops import EncoderShape, encoder_flops, layer_flops
from powerbert_cli.bench.run import build_contenders
from powerbert_cli.bench.timing import measure, speedup, table
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import Elimination

BASE = EncoderShape(12, 768, 3072)


def test_layer_flops_by_hand():
    """D=2, F=8, n=3, kept 1: qkv 6·3·4, scores 2·9·2, A·V 2·1·3·2, output 2·1·4, feed-forward 4·1·2·8."""
    assert layer_flops(EncoderShape(1, 2, 8), 3, 1) == 72 + 36 + 12 + 8 + 64


def test_flops_ratios_of_the_published_configurations():
    """As the formula gives them: CoLA 5.6 at ℓ=64, RTE 3.4 at ℓ=256."""
    cola = (17, 15, 14, 13, 12, 11, 11, 9, 6, 5, 5, 5)
    rte = (153, 125, 111, 105, 85, 80, 72, 48, 35, 27, 22, 5)
    assert encoder_flops(BASE, 64) / encoder_flops(BASE, 64, cola) == pytest.approx(5.62, abs=0.01)
    assert encoder_flops(BASE, 256) / encoder_flops(BASE, 256, rte) == pytest.approx(3.38, abs=0.01)
    assert encoder_flops(BASE, 3, cola) < encoder_flops(BASE, 3) * 1.0001


@pytest.fixture
def rows():
    return [{"input_ids": [2] * n, "attention_mask": [1] * n, "labels": 0, "length": n} for n in (4, 9, 2, 16)]


def pad_to(size):
    def collate(part):
        n = size or max(len(row["input_ids"]) for row in part)
        return {
            "input_ids": torch.tensor([row["input_ids"] + [0] * (n - len(row["input_ids"])) for row in part]),
            "attention_mask": torch.tensor(
                [[1] * len(row["input_ids"]) + [0] * (n - len(row["input_ids"])) for row in part]
            ),
        }

    return collate


COLLATE = {"max": pad_to(16), "longest": pad_to(None)}


def test_batches_by_padding(rows):
    shapes = {
        p: [tuple(b["input_ids"].shape) for b in make_batches(rows, p, 2, COLLATE, "cpu")]
        for p in ("max", "longest", "sorted")
    }
    assert shapes == {"max": [(2, 16)] * 2, "longest": [(2, 9), (2, 16)], "sorted": [(2, 16), (2, 4)]}
    assert "attention_mask" not in make_batches(rows[3:], "max", 1, COLLATE, "cpu")[0]


def test_choose_rows_repeats_where_there_are_too_few():
    assert choose_rows(3, examples=5, batch_size=4) == [0, 1, 2, 0]
    assert choose_rows(100, examples=9, batch_size=4) == list(range(8))


def test_table_compares_with_the_plain_contender_of_the_same_padding(host, rows):
    model = ShortenedModel(host, Elimination((8, 5, 2), 16))
    contenders = build_contenders(model, rows, COLLATE, ["eager"], ["max", "longest", "sorted"], 2, "fp32", "cpu")
    assert measure(contenders, rounds=3, max_seconds=60, device="cpu") == 3
    timing = table(contenders, 2, "fp32").set_index("contender")
    plain, short = timing.loc["plain/longest/eager"], timing.loc["shortened/longest/eager"]
    assert (plain["speedup"], plain["flops_ratio"]) == (1.0, 1.0)
    assert short["speedup"] == pytest.approx(plain["median_s"] / short["median_s"])
    assert short["efficiency"] == pytest.approx(short["speedup"] / short["flops_ratio"])
    assert short["speedup_vs_padded"] == pytest.approx(timing.loc["plain/max/eager"]["median_s"] / short["median_s"])
    assert timing["examples_per_s"].tolist() == pytest.approx((2 / timing["median_s"]).tolist())
    assert timing.loc["shortened/max/eager"]["flops_ratio"] > timing.loc["shortened/sorted/eager"]["flops_ratio"] > 1


def test_speedup_interval():
    rng = np.random.default_rng(0)
    base = 2 + 0.1 * rng.standard_normal(50)
    ratio, low, high = speedup(base.tolist(), (base / 2 + 0.02 * rng.standard_normal(50)).tolist())
    assert low < ratio < high and low > 1.9 and high < 2.1


def test_measure_stops_after_three_rounds_when_time_is_up(host, rows):
    contenders = build_contenders(
        ShortenedModel(host, Elimination((8, 5, 2), 16)), rows, COLLATE, ["eager"], ["max"], 2, "fp32", "cpu"
    )
    assert measure(contenders, rounds=50, max_seconds=0, device="cpu") == 3
