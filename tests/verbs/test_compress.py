"""powerbert compress, and the verbs after it, as whole commands."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from small import SMALL, newest
from transformers import AutoConfig, AutoModelForSequenceClassification

from powerbert_cli import api
from powerbert_cli.cli import dispatch
from powerbert_cli.verbs.sweep import curve_of

TIMED = ["bench.rounds=3", "bench.examples=32", "bench.paddings=[max]", "bench.accuracy=true"]


def test_a_smaller_model_that_every_later_verb_starts_from(here, capfd):
    assert dispatch(["compress", *SMALL, "compress.ffn=0.5"]) == 0
    run = newest("compress")
    assert AutoConfig.from_pretrained(run / "model").intermediate_size == 128
    about = json.loads((run / "model/compression.json").read_text())
    assert about["neurons"] == [256, 128] and about["how"]["score"] == "variance" and 0.5 < about["flops"] < 1
    assert json.loads((run / "metrics.json").read_text())["n"] == 32
    assert "2 of 2 layers, 128 of 256 feed-forward neurons in each" in capfd.readouterr().out
    assert dispatch(["retrain", *SMALL, "compress.ffn=0.5", "retention.lengths=[9,4]"]) == 0
    assert "compress" in capfd.readouterr().out  # finished already, using it
    short = newest("retrain") / "model"
    assert AutoConfig.from_pretrained(short).intermediate_size == 128 and (short / "compression.json").is_file()
    assert api.load_shortened(short).elimination.retention.values == (9, 4)
    for given in ([f"model_dir={short}"], ["compress.ffn=0.5", "retention.lengths=[9,4]"]):
        assert dispatch(["bench", *SMALL, *given, *TIMED]) == 0
        timing = pd.read_csv(newest("bench") / "timing.csv").set_index("model")
        assert timing.loc["full", "flops_ratio"] > 1.3  # plain is the whole model
        # beside a finished model it has random weights, whose answers mean nothing
        assert pd.isna(timing.loc["plain", "value"]) == (given[0] != "compress.ffn=0.5")
        assert timing.loc["shortened", "value"] > 0
    assert len(list(Path("outputs/stages").glob("compress-*"))) == 1


def test_a_finished_model_is_not_compressed_once_more(here, capfd):
    assert dispatch(["retrain", *SMALL, "retention.lengths=[9,4]"]) == 0
    assert dispatch(["bench", *SMALL, f"model_dir={newest('retrain')}/model", "compress.ffn=0.5"]) == 2
    assert "is a finished model, compress.* is for one that this command makes" in capfd.readouterr().err


def test_targets_mean_the_share_of_the_whole_model(here):
    target = ["searcher=calibrate", "research.calibrate.by=significance", "target.flops=0.4"]
    kept = []
    for given in ([], ["compress.ffn=0.5"]):
        stage = api.search(api.settings("search", *SMALL, *target, *given))
        report = json.loads((stage.folder / "target.json").read_text())
        assert 0.3 < report["share"] <= 0.4
        kept.append(stage.retention.kept_share)
    assert kept[1] > kept[0]  # a smaller model may keep more word-vectors


def test_labels_are_not_read(here):
    """A given model, the same texts with other labels: the same stage."""
    rows = pd.DataFrame({"text": [f"a b c {i % 7} d" for i in range(40)], "label": [i % 2 for i in range(40)]})
    for name in ("one", "other"):
        Path(name).mkdir()
        for split in ("train", "dev"):
            rows.assign(label=rows["label"] if name == "one" else 1 - rows["label"]).to_csv(
                f"{name}/{split}.csv", index=False
            )
    own = ["task=custom", "epochs=1", "batch_size=8", "seq_len=16"]
    model = api.finetune(api.settings("finetune", *own, "task.data_dir=one")).model_dir
    made = []
    for name in ("one", "other"):
        given = api.settings("compress", *own, f"task.data_dir={name}", f"model_dir={model}", "target.flops=0.6")
        made.append(api.compress(given))
    assert made[0].made and not made[1].made and made[0].folder == made[1].folder


def test_the_preset_kcm_is_stacked_by_overriding(here):
    alone = api.settings("retrain", *SMALL, "method=kcm")
    assert (alone.compress.flops, alone.compress.score, alone.compress.tune) == (0.6, "r2d2", "scale")
    assert alone.retention.lengths == "full" and alone.retrain.epochs == 0
    both = api.settings("retrain", *SMALL, "method=kcm", "retention=searched", "compress.ffn=0.6", "retrain.epochs=2")
    assert both.retention.lengths is None and both.compress.given and both.retrain.epochs == 2


def test_fewer_layers_and_fewer_neurons(here):
    """The student is trained with soft labels of the whole model; retention configurations are of its layers."""
    own = [*SMALL, "compress.layers=1", "compress.ffn=0.5", "retrain.distill=0.5"]
    stage = api.retrain(api.settings("retrain", *own, "retention.lengths=[9]"))
    model = api.load_shortened(stage.model_dir)
    assert (
        model.layers == 1 and model.config.intermediate_size == 128 and list(Path("outputs/stages").glob("teacher-*"))
    )
    about = json.loads((stage.model_dir / "compression.json").read_text())
    assert (about["layers"], about["kept_layers"], about["neurons"]) == (2, [0], [256, 128])
    patient = api.settings(
        "retrain", *own, "retention.lengths=[9]", "research.retrain.patient=1", "research.retrain.distill_cls=0.1"
    )
    assert api.retrain(patient).folder != stage.folder
    # the fastest of which nothing was removed is transformers' model or the whole one in this encoder, never full
    given = api.settings("bench", *own, "retention.lengths=[9]", "bench.rounds=3", "bench.examples=32")
    timed = api.bench(given).timing
    best = timed[timed["speedup_vs_best"] == 1].iloc[0]
    assert "packed" in set(timed["model"]) and best["model"] in ("plain", "packed")
    assert timed[timed["model"].isin(["plain", "packed"])]["speedup_vs_best"].max() == pytest.approx(1)
    assert (timed.loc[timed["model"] == "packed", "flops_ratio"] >= 1).all()
    assert timed.set_index("model").loc["full", "flops_ratio"].min() > 2
    assert len(api.search(api.settings("search", *own)).retention.configuration) == 1


def test_heads_and_widths_by_layer(here, capfd):
    """The trained and the shortened model have what was left; plain transformers loads them, filled up with zeros."""
    own = ["compress.heads=0.5", "compress.ffn=0.5", "compress.widths=layer", "compress.score=taylor"]
    assert dispatch(["retrain", *SMALL, *own, "retention.lengths=[9,4]"]) == 0
    assert "by the gradient of the loss" in capfd.readouterr().out
    made = newest("retrain") / "model"
    about = json.loads((made / "compression.json").read_text())
    layers = about["per_layer_config"].values()
    assert sum(layer["num_attention_heads"] for layer in layers) == 4
    assert sum(layer["intermediate_size"] for layer in layers) == 256 and about["how"]["widths"] == "layer"
    model = api.load_shortened(made)
    assert model.host.num_parameters() == about["parameters"][1] < about["parameters"][0]
    assert AutoModelForSequenceClassification.from_pretrained(made).num_parameters() > about["parameters"][1]
    assert dispatch(["bench", *SMALL, f"model_dir={made}", *TIMED]) == 0
    timing = pd.read_csv(newest("bench") / "timing.csv").set_index("model")
    assert timing.loc["full", "flops_ratio"] > 1.3 and timing.loc["shortened", "value"] > 0
    (made / "retention.json").unlink()  # the compressed model alone
    assert dispatch(["compress", *SMALL, f"model_dir={made}", "compress.ffn=0.5"]) == 2
    assert "its layers differ in heads or neurons already" in capfd.readouterr().err


def test_neurons_and_word_vectors_under_one_target(here, capfd):
    """The chosen share stands in the config; every candidate costs as much."""
    own = ["searcher=calibrate", "research.calibrate.by=significance", "calibrate.examples=16", "target.flops=0.5"]
    assert dispatch(["retrain", *SMALL, *own, "compress.ffn=auto", "retrain.epochs=0"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    harms = dict(re.findall(r"auto: ([^:,]+?) and [^,]+, [\d.]+ of the FLOPs: harm ([\de.-]+)", said))
    assert len(harms) >= 3 and "all neurons" in harms
    best = min(harms, key=lambda name: float(harms[name]))
    chosen = yaml.safe_load((newest("retrain") / "config.yaml").read_text())["compress"]["ffn"]
    assert best == ("all neurons" if chosen is None else f"{chosen:g} of the neurons")
    for given in (["retention.lengths=[9,4]", *own[:1]], own[:-1], ["retention=full", *own]):
        assert dispatch(["retrain", *SMALL, *given, "compress.ffn=auto"]) == 2
        assert "compress.ffn=auto weighs" in capfd.readouterr().err


def test_labels_are_read_for_heads(here):
    """Other labels, another stage."""
    stages = [
        api.compress(api.settings("compress", *SMALL, f"task.synthetic.seed={seed}", "compress.heads=0.5"))
        for seed in (0, 1)
    ]
    assert stages[0].folder != stages[1].folder


def test_flops_by_heads(here, capfd):
    """The best heads within a share of the FLOPs; of the preset a layer may lose all."""
    preset = api.settings("retrain", *SMALL, "method=head-prune", "target.flops=0.85", "research.compress.rounds=2")
    assert preset.compress.least_heads == 0 and preset.retention.lengths == "full" and preset.retrain.epochs == 0
    about = json.loads((api.compress(preset).model_dir / "compression.json").read_text())
    assert 0.7 < about["flops"] <= 0.85
    assert dispatch(["search", *SMALL, "compress.heads=0.5", "compress.least_heads=0"]) == 2
    assert "compress.least_heads=0 may leave a layer without heads" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "compress removes nothing: give target.flops=0.6"),
        (["target.flops=0.6", "compress.ffn=0.5"], "are given; give one of them"),
        (["compress.layers=3"], "compress.layers=3: the model has 2; set fewer"),
        (["compress.ffn=1"], "must be above 0 and below 1"),
        (["target.flops=0.05"], "it still costs 0."),
        (["target.flops=0.6", "compress.score=taylr"], "compress.score=taylr is none of variance, r2d2, magnitude"),
        (["compress.heads=0.1"], "leaves 1 of 8 heads, fewer than compress.least_heads=1 in each of 2 layers"),
        (["target.flops=0.5", "compress.by=heads"], "so few still cost 0."),
        (["compress.heads=0.5", "target.flops=0.5", "compress.by=heads"], "compress.heads and target.flops are"),
        (["target.flops=0.6", "model=albert-base-random"], "its layers share their weights"),
    ],
)
def test_mistakes_are_refused_before_any_training(here, capfd, given, said):
    small = SMALL[:3] if "model=albert-base-random" in given else SMALL  # that has other keys
    assert dispatch(["compress", *small, *given]) == 2
    assert said in capfd.readouterr().err
    assert len(list(Path("outputs").glob("stages/[a-z]*-*"))) <= 1  # the fine-tune that was there


def test_few_bits_are_trained_with_and_kept(here, capfd):
    assert dispatch(["retrain", *SMALL, "method=deep-compression", "compress.ffn=0.5"]) == 0
    assert "weights of 4 bits, inputs of 4 bits, 2:4 sparse" in capfd.readouterr().out
    run = newest("retrain")
    about = json.loads((run / "model/compression.json").read_text())
    assert about["bits"]["act_bits"] == about["clips"]["bits"] == 4 and about["neurons"] == [256, 128]
    layers = AutoModelForSequenceClassification.from_pretrained(run / "model").bert.encoder.layer
    for layer in layers:
        weight = layer.output.dense.weight.detach()
        assert len(weight.unique()) <= 15 and int((weight.unflatten(1, (-1, 4)) != 0).sum(-1).max()) == 2
    assert dispatch(["bench", *SMALL, f"model_dir={run}/model", *TIMED]) == 0
    timing = pd.read_csv(newest("bench") / "timing.csv").set_index("model")
    assert timing.loc["shortened", "value"] == json.loads((run / "metrics.json").read_text())["value"]
    # the same settings without bits are another stage, and the baseline has none
    assert dispatch(["retrain", *SMALL, "retention=full", "compress.ffn=0.5"]) == 0
    assert "bits" not in json.loads((newest("retrain") / "model/compression.json").read_text())
    assert dispatch(["retrain", *SMALL, f"model_dir={run}/model", "retention=full"]) == 2
    assert "the bits of its linear layers are given already" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("given", "method", "curve"),
    [
        ([], "power", "power"),
        (["retention=full", "compress.ffn=0.5"], "power", "ffn"),
        (["retention=full", "compress.layers=1", "compress.heads=0.5"], "power", "layers and heads"),
        (["compress.heads=0.5"], "power", "power on heads"),
        (["retention=full", "compress.bits=4"], "power", "bits"),
        (["method=first", "compress.layers=1"], "first", "first"),
        (["method=kcm", "retention=searched", "compress.ffn=0.6"], "kcm", "power on kcm"),
        (["retention=full"], "power", "full"),
    ],
)
def test_a_curve_is_named_for_what_is_removed(given, method, curve, here):
    """Whatever sets no other method has method=power, also where no word-vector is dropped."""
    settings = api.settings("retrain", *SMALL, *given)
    assert curve_of(settings, method) == curve
