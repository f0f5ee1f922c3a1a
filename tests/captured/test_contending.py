"""The engine among the others: in bench, check, predict, and behind a loaded model."""

import pytest
import torch
from hosts import described, make_host, texts
from small import SMALL

from powerbert_cli.bench import contenders, engines
from powerbert_cli.bench.contenders import Field, build_contenders, models_of
from powerbert_cli.bench.engines import runner
from powerbert_cli.bench.place import Place, Unavailable
from powerbert_cli.bench.table import table
from powerbert_cli.bench.timing import measure, warm_up
from powerbert_cli.captured.model import CapturedModel, NotCaptured
from powerbert_cli.cli import dispatch
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.models.kinds import PowerBertForSequenceClassification, load_shortened
from powerbert_cli.settings.bench import ENGINES, runs_on


def test_it_runs_on_a_gpu_alone_and_in_half_precision(tmp_path):
    for place, precision, why in (
        (Place("cpu", 1, tmp_path), "fp32", "engine captured runs on a GPU only"),
        (Place("cuda", 1, tmp_path), "fp32", "engine captured has bf16 and fp16, not fp32"),
    ):
        with pytest.raises(Unavailable, match=why):
            runner("captured", "plain", make_host(), precision, place)
    assert [name for name in ENGINES if runs_on(name, "cuda")] == ["eager", "compile", "captured"]
    assert [name for name in ENGINES if not runs_on(name, "cpu")] == ["captured"]


def test_it_contends_as_one_of_powerberts_own_engines(monkeypatch, tmp_path):
    """On a CPU by its plain operators: plain models as this encoder, packed rows, and the cost of what came first."""
    made = []
    monkeypatch.setattr(
        engines, "_captured", lambda name, model, *_: made.append(CapturedModel(engines.as_packed(model))) or made[-1]
    )
    monkeypatch.setattr(contenders, "inputs_on", lambda *_: "cpu")
    model = ShortenedModel(make_host(), described(None, 16, "threshold", (0.6, 0.8, 0.9))).eval()
    rows = [{"input_ids": list(range(5, 5 + n)), "attention_mask": [1] * n, "length": n} for n in (9, 4, 12, 7)]

    names_in = ("input_ids", "attention_mask")

    def pad(batch):
        filled = {name: [row[name] + [0] * (16 - len(row[name])) for row in batch] for name in names_in}
        return {name: torch.tensor(own) for name, own in filled.items()}

    field = Field(["plain", "full", "shortened"], ["eager", "captured"], ["sorted", "packed"], ["fp32"])
    place = Place("cpu", 1, tmp_path)
    ready, skipped = build_contenders(models_of(model), rows, pad, field, 2, 16, place, {})
    assert not skipped
    names = {c.name for c in ready if c.engine == "captured"}
    assert {f"{m}/{p}/captured/fp32" for m in field.models for p in field.paddings} == names
    assert all(c.run.model.seq_len >= 16 for c in ready if c.engine == "captured")
    warm_up(ready, "cpu")
    assert all(one._shares is not None for one in made if one.model is model)  # thresholds learnt from the batches
    measure(ready, 3, 60, "cpu")
    timing = table(ready, 2, 16).set_index("contender")
    assert timing["prepared_s"].ge(0).all() and timing["device_busy_s"].isna().all()
    own = timing["engine"] == "captured"
    others = timing.loc[~own & ~timing["shortened"].astype(bool), "speedup_vs_others"]
    assert others.max() == 1  # the base is none of powerbert's own engines
    with torch.no_grad():
        for batch in texts(False):
            assert torch.allclose(made[-1](**batch).logits, made[-1].model(**batch).logits, atol=3e-5)


def test_where_there_is_no_gpu_the_commands_say_so(here, capfd):
    assert dispatch(["retrain", *SMALL, "retention.lengths=[12,5]", "hydra.run.dir=run"]) == 0
    (here / "texts.txt").write_text("a b c\n")
    capfd.readouterr()
    given = ["model_dir=run/model", "input=texts.txt", "output=answers.csv", "engine=captured"]
    assert dispatch(["predict", *given]) != 0
    assert "engine=captured precision=fp32: engine captured runs on a GPU only" in capfd.readouterr().err
    with pytest.raises(NotCaptured, match="runs on a GPU only, and PyTorch finds none"):
        load_shortened("run/model", engine="captured")
    card = (here / "run/model/README.md").read_text()
    assert "dropping word-vectors should pay from about 1,500 word-pieces a batch on" in card


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_loaded_model_answers_with_it_on_a_gpu():
    host = make_host(num_attention_heads=2)
    model = PowerBertForSequenceClassification(host, described((9, 5, 2), 16)).eval().to("cuda", torch.bfloat16)
    model.engine = "auto"
    for batch in texts(False):
        given = {name: one.to("cuda") for name, one in batch.items()}
        with torch.inference_mode():
            found = model(**given).logits
            assert isinstance(model._faster[-1], CapturedModel)
            assert torch.allclose(found.float(), ShortenedModel.forward(model, **given).logits.float(), atol=0.1)
