import datasets
import numpy as np
import pytest
import torch
from contending import ALL, contenders_of, pad
from hosts import FAMILIES, described, make_host

from powerbert_cli.bench import energy
from powerbert_cli.bench.contenders import models_of
from powerbert_cli.bench.cost import Peaks, encoder_flops, shape_of
from powerbert_cli.bench.profile import profile
from powerbert_cli.bench.ratio import speedup, typical
from powerbert_cli.bench.table import compared, table
from powerbert_cli.bench.timing import MIN_ROUNDS, Contender, measure, warm_up
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.kinds import KINDS
from powerbert_cli.report.profile_table import draw_profile, say_profile
from powerbert_cli.report.tables import say_timing
from powerbert_cli.tasks.batches import answers, bucket, choose_rows, make_batches


def test_batches_by_padding(rows):
    shapes = {p: [tuple(b["input_ids"].shape) for b in make_batches(rows, p, 2, pad, "cpu", 16)] for p in ALL}
    assert shapes == {"max": [(2, 16)] * 2, "longest": [(2, 9), (2, 16)], "sorted": [(2, 16), (2, 4)]}
    assert "attention_mask" not in make_batches(rows[3:], "max", 1, pad, "cpu", 16)[0]
    assert make_batches(rows, "max", 4, pad, "cpu", 5)[0]["input_ids"].shape == (4, 5)
    bucketed = make_batches(rows, "sorted", 2, pad, "cpu", 16, buckets=2)
    assert [batch["input_ids"].shape[1] for batch in bucketed] == [16, 8]


@pytest.mark.parametrize(
    ("octave", "lengths"),
    [(2, [8, 8, 12, 12, 16, 24, 24, 32, 64, 96, 512]), (8, [8, 8, 12, 12, 16, 20, 24, 28, 52, 72, 512])],
)
def test_buckets(octave, lengths):
    assert [bucket(n, octave) for n in (1, 8, 9, 12, 13, 17, 24, 25, 49, 65, 511)] == lengths


def test_choose_rows_draws_with_a_seed_and_repeats_where_there_are_too_few():
    drawn = choose_rows(3, examples=5, batch_size=4, seed=0)
    assert sorted(drawn[:3]) == [0, 1, 2] and drawn[3] == drawn[0]
    drawn = [choose_rows(100, examples=9, batch_size=4, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and all(len(set(rows)) == 8 for rows in drawn)
    assert max(drawn[0]) > 8  # not the first ones


def test_the_fastest_is_the_fastest_and_what_others_have_stands_beside_it():
    """Also where the native engine's own plain model is the fastest that eliminates nothing."""

    def timed(model, engine, seconds):
        made = Contender(model, engine, "sorted", "fp32", None, [{}], 1.0)
        made.calls = [[seconds]] * 3
        return made

    contenders = [timed("plain", "eager", 8.0), timed("plain", "native", 4.0), timed("shortened", "native", 2.0)]
    timing = table(contenders, 2, 16).set_index("contender")
    short = timing.loc["shortened/sorted/native/fp32"]
    assert (short["speedup_vs_best"], short["speedup_vs_others"]) == pytest.approx((2.0, 4.0))
    alone = table(contenders[1:], 2, 16)
    assert alone["speedup_vs_others"].isna().all() and alone["speedup_vs_best"].tolist() == pytest.approx([1.0, 2.0])


def test_table_compares_with_the_plain_contender_of_the_same_padding(host, rows, place):
    model = ShortenedModel(host, described((8, 5, 2), 16))
    contenders, skipped = contenders_of(model, rows, place, peaks={"fp32": Peaks(1e9, 1e30)})
    assert not skipped and warm_up(contenders, "cpu") == (contenders, [])
    assert measure(contenders, rounds=3, max_seconds=60, device="cpu") == 3
    timing = table(contenders, 2, 16)
    say_timing(timing)
    timing, seconds = timing.set_index("contender"), {c.name: c.seconds for c in contenders}

    def ratio(one, other):
        return speedup(*(seconds[f"{name}/eager/fp32"] for name in (one, other)))[0]

    plain, full, short = (timing.loc[f"{name}/longest/eager/fp32"] for name in ("plain", "full", "shortened"))
    assert (plain["speedup"], plain["flops_ratio"]) == (1.0, 1.0)
    assert short["speedup"] == pytest.approx(ratio("plain/longest", "shortened/longest"))
    assert short["elimination"] == pytest.approx(ratio("full/longest", "shortened/longest"))
    for name in ("speedup", "elimination", "speedup_vs_padded", "speedup_vs_best"):
        assert short[f"{name}_low"] < short[name] < short[f"{name}_high"]
    assert np.isnan(plain["elimination"]) and np.isnan(full["elimination"])  # nothing is eliminated there
    whole = [f"{model}/{padding}" for model in ("plain", "full") for padding in ALL]
    fastest = min(whole, key=lambda name: typical(seconds[f"{name}/eager/fp32"]))
    assert short["speedup_vs_best"] == pytest.approx(ratio(fastest, "shortened/longest"))
    assert timing.loc[f"{fastest}/eager/fp32", "speedup_vs_best"] == 1
    assert short["flops_ratio"] > full["flops_ratio"] > 1
    assert short["efficiency"] == pytest.approx(short["speedup"] / short["flops_ratio"])
    assert short["roofline_ratio"] == pytest.approx(short["flops_ratio"])  # memory without end: compute alone bounds
    # at 1e9 FLOPs a second what the peaks let expect is plain's measured time over the time that its own FLOPs take
    flops = {c.name: c.flops / len(c.batches) for c in contenders}
    least = flops["shortened/longest/eager/fp32"] / 1e9
    assert short["roofline_expected"] == pytest.approx(plain["median_s"] / least)
    assert short["roofline_reached"] == pytest.approx(least / short["median_s"])
    assert short["speedup_vs_padded"] == pytest.approx(ratio("plain/max", "shortened/longest"))
    assert timing["examples_per_s"].tolist() == pytest.approx((2 / timing["median_s"]).tolist())
    ratios = [timing.loc[f"shortened/{padding}/eager/fp32"]["flops_ratio"] for padding in ("max", "sorted")]
    assert ratios[0] > ratios[1] > 1


def test_packed_rows_stand_against_transformers_sorted_batches_and_the_best_that_eliminates_nothing(host, rows, place):
    """Their FLOPs are those of each input at its own length, whatever the batch is padded to."""
    model = ShortenedModel(host, described((8, 5, 2), 16))
    contenders, _ = contenders_of(model, rows, place, paddings=("max", "sorted", "packed"))
    assert "plain/packed/eager/fp32" not in {c.name for c in contenders}
    warm_up(contenders, "cpu")
    measure(contenders, rounds=3, max_seconds=60, device="cpu")
    timing, seconds = table(contenders, 2, 16).set_index("contender"), {c.name: c.seconds for c in contenders}
    short = timing.loc["shortened/packed/eager/fp32"]

    def over_short(name):
        return speedup(seconds[name], seconds["shortened/packed/eager/fp32"])[0]

    assert short["speedup"] == pytest.approx(over_short("plain/sorted/eager/fp32"))
    assert short["elimination"] == pytest.approx(over_short("full/packed/eager/fp32"))
    whole = [name for name in seconds if name.startswith(("plain", "full"))]  # the encoder packs what is sorted too
    assert short["speedup_vs_best"] == pytest.approx(min(map(over_short, whole)))
    flops = {c.name: c.flops for c in contenders}
    shape = shape_of(host)
    each = sum(encoder_flops(shape, n, (8, 5, 2), first_only=True) for n in (4, 9, 2, 16))
    assert flops["shortened/packed/eager/fp32"] == flops["shortened/max/eager/fp32"] == pytest.approx(each)
    assert short["flops_ratio"] == pytest.approx(flops["plain/sorted/eager/fp32"] / each)


def test_elimination_alone_is_against_the_same_encoder_whatever_its_last_layer_answers():
    mean = ShortenedModel(make_host("modernbert", classifier_pooling="mean"), described((8, 5, 2), 16))
    full = models_of(mean)["full"]
    assert isinstance(full, ShortenedModel) and not full.ends_in_first
    assert full.elimination.kept(16) == (16, 16, 16)


def test_percentiles_are_over_calls(rows, place, host):
    """99 calls of 1 ms and one of 100 ms, in two rounds: a round's mean would hide it."""
    contenders, _ = contenders_of(ShortenedModel(host, described((8, 5, 2), 16)), rows, place, paddings=("max",))
    for contender in contenders:
        contender.calls = [[0.001] * 50, [0.001] * 49 + [0.1]]
    row = table(contenders, 1, 16).iloc[0]
    assert row["p50_s"] == row["p95_s"] == pytest.approx(0.001)
    assert row["p99_s"] is None and row["max_s"] == 0.1  # of 100 calls the 99th percentile is the largest, nearly
    assert row["median_s"] == pytest.approx((0.001 + (0.049 + 0.1) / 50) / 2)
    for contender in contenders:
        contender.calls = [[0.001] * 146 + [0.1] * 4] * 2  # 300
    row = table(contenders, 1, 16).iloc[0]
    assert row["p99_s"] == pytest.approx(0.1) and row["p95_s"] == pytest.approx(0.001)


def test_answers_beside_those_of_float32():
    """Of four rows one class changes; the metric of each by hand."""
    exact = np.array([[1.0, 0.0], [0.0, 1.0], [0.2, 0.1], [0.0, 2.0]], dtype=np.float32)
    logits = exact.copy()
    logits[2] = [0.1, 0.25]
    found = compared(
        logits, exact, datasets.Dataset.from_dict({"labels": [0, 1, 0, 0]}), KINDS["classification"](None, "accuracy")
    )
    assert (found["value"], found["value_fp32"], found["answers_differ"]) == (0.5, 0.75, 0.25)
    assert found["logits_differ"] == pytest.approx(0.15)
    assert found["drop"] == 0.25 and found["drop_low"] <= 0.25 <= found["drop_high"]
    assert (
        compared(
            exact[:, :1],
            exact[:, :1],
            datasets.Dataset.from_dict({"labels": exact[:, 0]}),
            KINDS["regression"](None, "pearson"),
        )["answers_differ"]
        is None
    )


def test_logits_are_in_the_order_of_the_rows(rows, host):
    model = ShortenedModel(host, described((8, 5, 2), 16)).eval()
    batches = [make_batches([row], "longest", 1, pad, "cpu", 16)[0] for row in rows]
    with torch.inference_mode():
        wanted = torch.cat([model(**batch).logits for batch in batches])
    dataset = datasets.Dataset.from_list(rows)
    for buckets in (0, 2, 8):
        found = answers(model, dataset, pad, 3, seq_len=16, buckets=buckets).logits
        assert torch.allclose(torch.as_tensor(found), wanted, atol=1e-4)


def test_the_best_plain_contender_keeps_everything_in_any_padding_and_has_good_answers(host, rows, place):
    contenders, _ = contenders_of(
        ShortenedModel(host, described((8, 5, 2), 16)), rows, place, paddings=("max", "sorted")
    )
    for c in contenders:
        c.calls = [[{"max": 2.0, "sorted": 1.0}[c.padding]]] * 3
    best = table(contenders, 2, 16).set_index("contender")["speedup_vs_best"]
    assert best["plain/sorted/eager/fp32"] == 1
    sorted_ones = ["plain/sorted/eager/fp32", "full/sorted/eager/fp32"]
    without = table(contenders, 2, 16, sorted_ones).set_index("contender")["speedup_vs_best"]
    assert without["plain/max/eager/fp32"] == 1 and without["shortened/sorted/eager/fp32"] == 2
    for c in contenders:
        c.calls = [[0.5 if c.name == "full/sorted/eager/fp32" else 1.0]] * 3
    assert table(contenders, 2, 16).set_index("contender")["speedup_vs_best"]["shortened/sorted/eager/fp32"] == 0.5


def test_of_a_compressed_model_the_uncompressed_one_counts_as_plain_in_any_padding(host, rows, place):
    small = ShortenedModel(make_host(num_hidden_layers=2), described((8, 5), 16))
    for models, counts in ((["plain", "full", "shortened"], {"plain", "packed"}), (["full", "shortened"], set())):
        contenders, _ = contenders_of(small, rows, place, paddings=("sorted",), models=models, whole=host)
        for c in contenders:
            c.calls = [[{"plain": 3.0, "packed": 2.0}.get(c.model, 1.0)]] * 3
        timing = table(contenders, 2, 16).set_index("model")
        assert set(timing.index) == {*models, *counts}
        best = timing.loc["shortened", "speedup_vs_best"]
        assert best == 2 if counts else best is None or np.isnan(best)


def test_energy_counter_goes_on_where_the_platforms_starts_again(tmp_path, monkeypatch):
    """1 J, then the counter wraps at its range of 10 J: 9.5 J → 0.5 J is 1 J more."""
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "max_energy_range_uj").write_text("9999999")
    (zone / "energy_uj").write_text("8500000")
    monkeypatch.setattr(energy, "_PACKAGES", tmp_path)
    counter = energy.energy_counter("cpu")
    (zone / "energy_uj").write_text("9500000")
    assert counter() == pytest.approx(1.0)
    (zone / "energy_uj").write_text("500000")
    assert counter() == pytest.approx(2.0)
    monkeypatch.setattr(energy, "_PACKAGES", tmp_path / "none")
    assert energy.energy_counter("cpu") is None


@pytest.mark.parametrize("family", FAMILIES)
def test_profile_gives_all_time_to_parts_of_layers(family, rows, tmp_path):
    """Of both loops: ours by its own parts, transformers' by hooks, whatever the family."""
    model = ShortenedModel(make_host(family), described((8, 5, 2), 16)).eval()
    models = {"plain": model.host, "shortened": model}
    batches = make_batches(rows, "max", 2, pad, "cpu", 16)
    found = profile(models, batches, 3, "cpu", Peaks(1e9, 1e9), 4)
    for name, parts in {
        "plain": {"project", "attention", "output", "feed-forward"},
        "shortened": {"project", "attention", "output", "feed-forward"},
    }.items():
        own = found[found["model"] == name]
        for layer in (1, 2, 3):
            assert parts <= set(own[own["layer"] == layer]["part"])
        assert (own["seconds"] > 0).all()
    assert {"significance", "select", "embed", "head"} <= set(found[found["model"] == "shortened"]["part"])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.host.modules())
    say_profile(found, len(batches))
    draw_profile(found, len(batches), tmp_path / "profile.png")
    assert (tmp_path / "profile.png").stat().st_size > 1000


def test_measure_stops_after_the_least_rounds_when_time_is_up(host, rows, place):
    contenders, _ = contenders_of(ShortenedModel(host, described((8, 5, 2), 16)), rows, place, paddings=("max",))
    assert measure(contenders, rounds=50, max_seconds=0, device="cpu") == MIN_ROUNDS == 5
    assert measure(contenders, rounds=3, max_seconds=0, device="cpu") == 3


def test_rounds_that_are_whole_stay_when_it_is_interrupted(host, rows, place):
    contenders, _ = contenders_of(ShortenedModel(host, described((8, 5, 2), 16)), rows, place, paddings=("max",))

    def stop(what, done, of):
        if done > 2.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(contenders, rounds=9, max_seconds=60, device="cpu", told=stop)
    assert [len(c.calls) for c in contenders] == [2] * 3
    assert table(contenders, 2, 16)["rounds"].tolist() == [2] * 3


def test_a_contender_that_does_not_fit_is_left_out(host, rows, place):
    contenders, _ = contenders_of(ShortenedModel(host, described((8, 5, 2), 16)), rows, place, paddings=("max",))

    def too_large(**batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    contenders[0].run = too_large
    ready, left_out = warm_up(contenders, "cpu")
    assert left_out == contenders[:1] and ready == contenders[1:]
