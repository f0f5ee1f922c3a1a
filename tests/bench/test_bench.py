import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from hosts import FAMILIES, described, logits_of, make_host, ours, texts

from powerbert_cli.bench import energy, engines
from powerbert_cli.bench.contenders import Field, build_contenders, models_of
from powerbert_cli.bench.cost import Peaks, encoder_flops, shape_of
from powerbert_cli.bench.engines import Place, _core
from powerbert_cli.bench.int8 import dynamic_int8
from powerbert_cli.bench.profile import profile
from powerbert_cli.bench.table import compared, speedup, table
from powerbert_cli.bench.timing import measure, warm_up
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.report.profile_table import draw_profile, say_profile
from powerbert_cli.report.tables import say_timing
from powerbert_cli.settings import BENCH_MODELS
from powerbert_cli.tasks.batches import answers, bucket, choose_rows, make_batches

ALL = ("max", "longest", "sorted")


@pytest.fixture
def rows():
    return [{"input_ids": [2] * n, "attention_mask": [1] * n, "labels": 0, "length": n} for n in (4, 9, 2, 16)]


def pad(part):
    lengths = torch.tensor([len(row["input_ids"]) for row in part])
    return {
        "input_ids": torch.tensor([row["input_ids"] + [0] * (16 - len(row["input_ids"])) for row in part]),
        "attention_mask": (torch.arange(16) < lengths[:, None]).long(),
    }


def test_batches_by_padding(rows):
    shapes = {p: [tuple(b["input_ids"].shape) for b in make_batches(rows, p, 2, pad, "cpu", 16)] for p in ALL}
    assert shapes == {"max": [(2, 16)] * 2, "longest": [(2, 9), (2, 16)], "sorted": [(2, 16), (2, 4)]}
    assert "attention_mask" not in make_batches(rows[3:], "max", 1, pad, "cpu", 16)[0]
    assert make_batches(rows, "max", 4, pad, "cpu", 5)[0]["input_ids"].shape == (4, 5)
    bucketed = make_batches(rows, "sorted", 2, pad, "cpu", 16, buckets=True)
    assert [batch["input_ids"].shape[1] for batch in bucketed] == [16, 8]


def test_buckets():
    assert [bucket(n) for n in (1, 8, 9, 12, 13, 17, 24, 25, 49, 65, 511)] == [
        8,
        8,
        12,
        12,
        16,
        24,
        24,
        32,
        64,
        96,
        512,
    ]


def test_choose_rows_draws_with_a_seed_and_repeats_where_there_are_too_few():
    drawn = choose_rows(3, examples=5, batch_size=4, seed=0)
    assert sorted(drawn[:3]) == [0, 1, 2] and drawn[3] == drawn[0]
    drawn = [choose_rows(100, examples=9, batch_size=4, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and all(len(set(rows)) == 8 for rows in drawn)
    assert max(drawn[0]) > 8  # not the first ones


def contenders_of(
    model, rows, place, engines=("eager",), precisions=("fp32",), paddings=ALL, peaks=None, models=BENCH_MODELS
):
    field = Field(models, engines, paddings, precisions)
    return build_contenders(models_of(model), rows, pad, field, 2, 16, place, peaks or {})


@pytest.fixture
def place(tmp_path):
    return Place("cpu", 1, tmp_path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Where the engines' files of one model are written once; its weights are those of `make_host`."""
    return tmp_path_factory.mktemp("engines")


def test_table_compares_with_the_plain_contender_of_the_same_padding(host, rows, place):
    model = ShortenedModel(host, described((8, 5, 2), 16))
    contenders, skipped = contenders_of(model, rows, place, peaks={"fp32": Peaks(1e9, 1e30)})
    assert not skipped and warm_up(contenders, "cpu") == (contenders, [])
    assert measure(contenders, rounds=3, max_seconds=60, device="cpu") == 3
    timing = table(contenders, 2, 16)
    say_timing(timing)
    timing = timing.set_index("contender")
    plain, full, short = (timing.loc[f"{name}/longest/eager/fp32"] for name in ("plain", "full", "shortened"))
    assert (plain["speedup"], plain["flops_ratio"]) == (1.0, 1.0)
    assert short["speedup"] == pytest.approx(plain["median_s"] / short["median_s"])
    assert short["elimination"] == pytest.approx(full["median_s"] / short["median_s"])
    assert short["elimination_low"] <= short["elimination"] <= short["elimination_high"]
    assert np.isnan(plain["elimination"]) and np.isnan(full["elimination"])  # nothing is eliminated there
    assert short["speedup_vs_best"] == pytest.approx(
        timing[timing["model"] == "plain"]["median_s"].min() / short["median_s"]
    )
    assert short["flops_ratio"] > full["flops_ratio"] > 1
    assert short["efficiency"] == pytest.approx(short["speedup"] / short["flops_ratio"])
    assert short["roofline_ratio"] == pytest.approx(short["flops_ratio"])  # memory without end: compute alone bounds
    # at 1e9 FLOPs a second the bound is plain's measured time over the time that its own FLOPs take
    flops = {c.name: c.flops / len(c.batches) for c in contenders}
    least = flops["shortened/longest/eager/fp32"] / 1e9
    assert short["roofline_bound"] == pytest.approx(plain["median_s"] / least)
    assert short["roofline_reached"] == pytest.approx(least / short["median_s"])
    padded = timing.loc["plain/max/eager/fp32"]["median_s"]
    assert short["speedup_vs_padded"] == pytest.approx(padded / short["median_s"])
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
    timing = table(contenders, 2, 16).set_index("contender")
    short, full = (timing.loc[f"{name}/packed/eager/fp32"] for name in ("shortened", "full"))
    plain = timing.loc["plain/sorted/eager/fp32"]
    assert short["speedup"] == pytest.approx(plain["median_s"] / short["median_s"])
    assert short["elimination"] == pytest.approx(full["median_s"] / short["median_s"])
    best = min(full["median_s"], *timing[timing["model"] == "plain"]["median_s"])
    assert short["speedup_vs_best"] == pytest.approx(best / short["median_s"])
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
    assert row["p99_s"] == pytest.approx(0.001 + 0.01 * 0.099)
    assert row["median_s"] == pytest.approx((0.001 + (0.049 + 0.1) / 50) / 2)


def test_answers_beside_those_of_float32():
    """Of four rows one class changes; the metric of each by hand."""
    exact = np.array([[1.0, 0.0], [0.0, 1.0], [0.2, 0.1], [0.0, 2.0]], dtype=np.float32)
    logits = exact.copy()
    logits[2] = [0.1, 0.25]
    found = compared(logits, exact, np.array([0, 1, 0, 0]), "accuracy", "classification")
    assert (found["value"], found["value_fp32"], found["answers_differ"]) == (0.5, 0.75, 0.25)
    assert found["logits_differ"] == pytest.approx(0.15)
    assert compared(exact[:, :1], exact[:, :1], exact[:, 0], "pearson", "regression")["answers_differ"] is None


def test_logits_are_in_the_order_of_the_rows(rows, host):
    model = ShortenedModel(host, described((8, 5, 2), 16)).eval()
    batches = [make_batches([row], "longest", 1, pad, "cpu", 16)[0] for row in rows]
    with torch.inference_mode():
        wanted = torch.cat([model(**batch).logits for batch in batches])
    dataset = datasets.Dataset.from_list(rows)
    for buckets in (False, True):
        found = answers(model, dataset, pad, 3, seq_len=16, buckets=buckets).logits
        assert torch.allclose(torch.as_tensor(found), wanted, atol=1e-4)


@pytest.mark.parametrize("engine", ["compile", "onnx", "openvino"])
def test_engines_answer_as_eager_does(engine, host, rows, files):
    """Plain and shortened; rows sorted by length, so that batches differ in it, and one has no padding."""
    if engine != "compile":
        pytest.importorskip({"onnx": "onnxruntime"}.get(engine, engine))
    elif not shutil.which("g++"):
        pytest.skip("torch.compile needs g++")
    torch._dynamo.reset()
    model = ShortenedModel(host, described((8, 5, 2), 16)).eval()
    contenders, skipped = contenders_of(
        model, rows, Place("cpu", 1, files), (engine,), paddings=("sorted",), models=("plain", "shortened")
    )
    assert not skipped and len(contenders) == 2
    models = models_of(model)
    with torch.inference_mode():
        for contender in contenders:
            for batch in contender.batches:
                answer = contender.run(**batch)
                logits = torch.as_tensor(answer.logits if hasattr(answer, "logits") else answer)
                assert torch.allclose(logits, models[contender.model](**batch).logits, atol=1e-3)


def test_signals_reach_the_process_after_openvino(tmp_path):
    """In a process of its own, as a mistake here is a crash."""
    pytest.importorskip("openvino")
    script = """
import signal, sys
from pathlib import Path
from hosts import make_host
from powerbert_cli.bench.engines import Place, runner
runners = [runner("openvino", name, make_host(), "fp32", Place("cpu", 1, Path(sys.argv[1]))) for name in "ab"]
while runners:
    runners.pop(0)
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
signal.raise_signal(signal.SIGTERM)
"""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "heard"), done.stderr


INT8 = ("eager", "onnx", "openvino", "ctranslate2")


def after_softmax(path) -> set[str]:
    """What reads attention weights in an OpenVINO file, beyond changes of shape."""
    operations = _core(pytest.importorskip("openvino")).read_model(path).get_ops()
    found, open_nodes = set(), [node for node in operations if "Softmax" in node.get_type_name()]
    while open_nodes:
        for read in open_nodes.pop().output(0).get_target_inputs():
            node = read.get_node()
            if node.get_type_name() == "Reshape":
                open_nodes.append(node)
            else:
                found.add(node.get_type_name())
    return found


@pytest.mark.parametrize("engine", INT8)
def test_int8_is_near_float32(engine, host, rows, files):
    if engine != "eager":
        pytest.importorskip({"onnx": "onnxruntime", "openvino": "nncf"}.get(engine, engine))
    model = ShortenedModel(host, described((8, 5, 2), 16)).eval()
    place = Place("cpu", 1, files, make_batches(rows, "longest", 1, pad, "cpu", 16))
    contenders, skipped = contenders_of(
        model, rows, place, (engine,), ("int8",), ("sorted",), models=("plain", "shortened")
    )
    if engine == "ctranslate2":
        assert [skip.reason for skip in skipped] == ["ctranslate2 runs transformers' own models, with all word-vectors"]
    assert len(contenders) == 2 - len(skipped)
    for contender in contenders:
        exact = models_of(model)[contender.model](**contender.batches[0]).logits.detach()
        answer = contender.run(**contender.batches[0])
        difference = (torch.as_tensor(getattr(answer, "logits", answer)) - exact).abs().max()
        assert 0 < difference < 0.5 * exact.abs().max()
    if engine == "openvino":
        assert "FakeQuantize" not in after_softmax(place.folder / "shortened.int8.xml")
    assert table_of(contenders)["roofline_ratio"].isna().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_eager_int8_of_every_family(family):
    host = make_host(family)

    def in_int8(model):
        return any("quantized" in type(one).__module__ for one in model.modules())

    for model in (host, ours(host, (12, 8, 4))):
        close = dynamic_int8(model)
        assert in_int8(close) and not in_int8(host)
        exact, found = logits_of(model), logits_of(close)
        assert 0 < (found - exact).abs().max() < exact.abs().max()


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "xlm-roberta"])
def test_ctranslate2_answers_as_transformers_does(family, tmp_path):
    pytest.importorskip("ctranslate2")
    host = make_host(family)
    run = engines.runner("ctranslate2", "plain", host, "fp32", Place("cpu", 1, tmp_path))
    found = torch.cat([run(**batch) for batch in texts(labels=False)])
    assert torch.allclose(found, logits_of(host), atol=1e-4)
    assert not hasattr(host.config, "position_embedding_type")


def test_ctranslate2_knows_segments_and_compressed_models(tmp_path):
    pytest.importorskip("ctranslate2")
    host, place = make_host("bert"), Place("cpu", 1, tmp_path)
    batch = texts(labels=False)[0]
    batch["token_type_ids"] = (torch.arange(12) > 4).long() * batch["attention_mask"]
    with torch.no_grad():
        expected = host(**batch).logits
    whole = ours(host)
    assert torch.allclose(
        engines.runner("ctranslate2", "shortened", whole, "fp32", place)(**batch), expected, atol=1e-4
    )
    for name, model, why in (
        ("full", whole, "with all word-vectors"),
        ("shortened", ours(host, (12, 8, 4)), "with all word-vectors"),
        ("plain", make_host("mpnet"), "does not convert mpnet models"),
    ):
        with pytest.raises(engines.Unavailable, match=why):
            engines.runner("ctranslate2", name, model, "fp32", Place("cpu", 1, tmp_path))


def test_ctranslate2_packs_by_itself(host, rows, place):
    pytest.importorskip("ctranslate2")
    model = ShortenedModel(host, described((8, 5, 2), 16)).eval()
    contenders, _ = contenders_of(
        model, rows, place, ("eager", "ctranslate2"), ("fp32",), ("sorted", "packed"), models=("plain",)
    )
    found = {(c.engine, c.padding): c.flops for c in contenders}
    assert set(found) == {("eager", "sorted"), ("ctranslate2", "sorted"), ("ctranslate2", "packed")}
    assert found["ctranslate2", "sorted"] == found["ctranslate2", "packed"] < found["eager", "sorted"]


def test_the_best_plain_contender_has_good_answers(host, rows, place):
    contenders, _ = contenders_of(
        ShortenedModel(host, described((8, 5, 2), 16)), rows, place, paddings=("max", "sorted")
    )
    for c in contenders:
        c.calls = [[{"max": 2.0, "sorted": 1.0}[c.padding]]] * 3
    best = table(contenders, 2, 16).set_index("contender")["speedup_vs_best"]
    assert best["plain/sorted/eager/fp32"] == 1
    without = table(contenders, 2, 16, ["plain/sorted/eager/fp32"]).set_index("contender")["speedup_vs_best"]
    assert without["plain/max/eager/fp32"] == 1 and without["shortened/sorted/eager/fp32"] == 2


def table_of(contenders):
    warm_up(contenders, "cpu")
    measure(contenders, rounds=3, max_seconds=0, device="cpu")
    return table(contenders, 2, 16)


def test_what_cannot_run_is_skipped_with_the_reason(host, rows, place, monkeypatch):
    pytest.importorskip("onnxruntime")
    model = ShortenedModel(host, described(None, 16, "threshold", (0.5, 0.5, 0.5)))
    monkeypatch.setattr(engines.shutil, "which", lambda name: name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    contenders, skipped = contenders_of(model, rows, place, ("compile", "onnx", "openvino"), ("fp32", "bf16"), ("max",))
    reasons = {(skip.model, skip.engine, skip.precision): skip.reason for skip in skipped}
    assert "openvino is not installed" in reasons["plain", "openvino", "fp32"]
    assert "powerbert[openvino]" in reasons["plain", "openvino", "fp32"]
    assert "engine onnx has fp32 and int8, not bf16" in reasons["plain", "onnx", "bf16"]
    assert "not one graph" in reasons["shortened", "compile", "fp32"]
    assert "cannot be written as ONNX" in reasons["shortened", "onnx", "fp32"]
    assert {(c.model, c.engine) for c in contenders} == {
        ("plain", "compile"), ("full", "compile"), ("plain", "onnx"), ("full", "onnx")
    }  # fmt: skip


def test_gpu_only_and_cpu_only_engines(host, tmp_path):
    on_gpu, on_cpu = Place("cuda", 1, tmp_path), Place("cpu", 1, tmp_path)
    for engine in ("onnx", "openvino"):
        with pytest.raises(engines.Unavailable, match="on the CPU only"):
            engines.runner(engine, "plain", host, "fp32", on_gpu)
    with pytest.raises(engines.Unavailable, match="fp16 needs a GPU"):
        engines.runner("eager", "plain", host, "fp16", on_cpu)


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


def test_speedup_interval():
    rng = np.random.default_rng(0)
    base = 2 + 0.1 * rng.standard_normal(50)
    ratio, low, high = speedup(base.tolist(), (base / 2 + 0.02 * rng.standard_normal(50)).tolist())
    assert low < ratio < high and low > 1.9 and high < 2.1


def test_measure_stops_after_three_rounds_when_time_is_up(host, rows, place):
    contenders, _ = contenders_of(ShortenedModel(host, described((8, 5, 2), 16)), rows, place, paddings=("max",))
    assert measure(contenders, rounds=50, max_seconds=0, device="cpu") == 3


def test_a_contender_that_does_not_fit_is_left_out(host, rows, place):
    contenders, _ = contenders_of(ShortenedModel(host, described((8, 5, 2), 16)), rows, place, paddings=("max",))

    def too_large(**batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    contenders[0].run = too_large
    ready, left_out = warm_up(contenders, "cpu")
    assert left_out == contenders[:1] and ready == contenders[1:]
