"""Taggers and models that find answers, shortened: saved, loaded, in transformers' pipeline and in ONNX."""

import numpy as np
import pytest
import torch
from hosts import described, make_host
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    BertTokenizerFast,
    Trainer,
    TrainingArguments,
    pipeline,
)

from powerbert_cli import PowerBertForQuestionAnswering, PowerBertForTokenClassification, load_shortened
from powerbert_cli.bench.engines import run_onnx
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.models.model_dir import save_model_dir
from powerbert_cli.models.onnx_file import export_onnx
from powerbert_cli.models.weights import ModelError
from powerbert_cli.store.retention_file import RetentionFile

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *["anna", "lives", "in", "new", "york", "and", "bob", "works", "there"],
]
SHORT = described((8, 5, 2), 16)


def tokenizer():
    return BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)})


def saved(folder, auto, **changes):
    host = make_host(auto=auto, problem_type=None, vocab_size=len(WORDS), **changes)
    save_model_dir(folder, host, tokenizer(), RetentionFile(SHORT))
    return host


@pytest.fixture
def tagger(tmp_path):
    names = {"id2label": {0: "O", 1: "B-PER", 2: "B-LOC"}, "label2id": {"O": 0, "B-PER": 1, "B-LOC": 2}}
    saved(tmp_path, AutoModelForTokenClassification, num_labels=3, **names)
    return tmp_path


def test_a_pipeline_of_transformers_tags_words(tagger):
    model = PowerBertForTokenClassification.from_pretrained(tagger)
    tag = pipeline("token-classification", model=model, tokenizer=tokenizer(), ignore_labels=[])
    text = "anna lives in new york"
    given = tokenizer()(text, return_tensors="pt")
    with torch.no_grad():
        logits = ShortenedModel.forward(model, given["input_ids"], given["attention_mask"]).logits[0, 1:-1]
    assert [one["word"] for one in tag(text)] == text.split()
    assert [one["entity"] for one in tag(text)] == [model.config.id2label[int(i)] for i in logits.argmax(-1)]


def test_it_is_saved_and_loaded_with_what_it_keeps(tagger, tmp_path):
    model = PowerBertForTokenClassification.from_pretrained(tagger)
    model.save_pretrained(tmp_path / "again")
    given = tokenizer()(["anna lives in new york", "bob works there"], padding=True, return_tensors="pt")
    real = given["attention_mask"].bool()
    with torch.no_grad():
        for other in (load_shortened(tmp_path / "again"), load_shortened(tagger)):
            assert torch.allclose(other(**given).logits[real], model(**given).logits[real], atol=1e-5)
        plain = AutoModelForTokenClassification.from_pretrained(tmp_path / "again").eval()
        assert not torch.allclose(plain(**given).logits[real], model(**given).logits[real], atol=1e-3)
    with pytest.raises(ModelError, match="load it with PowerBertForTokenClassification"):
        PowerBertForQuestionAnswering.from_pretrained(tagger)


def test_what_is_none_of_these_is_refused(tmp_path):
    saved(tmp_path, AutoModelForMaskedLM)
    with pytest.raises(ModelError, match="BertForMaskedLM; it must be a classifier of texts, pictures or"):
        PowerBertForTokenClassification.from_pretrained(tmp_path)


def test_a_subclass_of_a_users_loads_too(tagger):
    class Mine(PowerBertForTokenClassification):
        pass

    assert type(Mine.from_pretrained(tagger)) is Mine
    assert type(load_shortened(tagger)) is PowerBertForTokenClassification


def test_an_engine_that_it_has_not_is_refused(tagger):
    model = PowerBertForTokenClassification.from_pretrained(tagger)
    assert model.engine == "auto"
    with pytest.raises(ValueError, match="engine='captured' is none of auto, eager"):
        model.engine = "captured"


def test_more_positions_than_the_model_has_are_refused(tagger):
    RetentionFile(described((8, 5, 2), 10**6)).write(tagger / "retention.json")
    with pytest.raises(ModelError, match="seq_len=1000000, the model has 32 positions; take both from one run"):
        load_shortened(tagger)


def test_a_trainer_of_transformers_trains_it(tagger, tmp_path):
    model = PowerBertForTokenClassification.from_pretrained(tagger)
    ids = tokenizer()(["anna lives in new york"] * 4)["input_ids"]
    rows = [{"input_ids": one, "labels": [-100, 1, 0, 0, 2, 0, -100]} for one in ids]
    args = TrainingArguments(str(tmp_path / "out"), max_steps=40, learning_rate=3e-3, report_to="none", use_cpu=True)
    Trainer(model=model, args=args, train_dataset=rows).train()
    with torch.no_grad():
        found = model.eval()(torch.tensor([ids[0]])).logits[0].argmax(-1)
    assert found[1:-1].tolist() == [1, 0, 0, 2, 0]


def test_an_answers_start_and_end_and_their_loss_are_transformers(tmp_path):
    host = saved(tmp_path, AutoModelForQuestionAnswering).eval()
    model = load_shortened(tmp_path)
    whole = PowerBertForQuestionAnswering(host, described(None, 16)).eval()
    given = tokenizer()(["anna lives in new york", "bob works there"], padding=True, return_tensors="pt")
    at = {"start_positions": torch.tensor([4, 90]), "end_positions": torch.tensor([5, 90])}  # the second has none
    with torch.no_grad():
        expected, found, short = host(**given, **at), whole(**given, **at), model(**given)
    mask = given["attention_mask"].bool()
    for name in ("start_logits", "end_logits"):
        assert torch.allclose(found[name][mask], expected[name][mask], atol=1e-5)
        assert short[name].shape == expected[name].shape
    assert found.loss.item() == pytest.approx(expected.loss.item(), abs=1e-6)
    assert len(model(**given, return_dict=False)) == 2
    for wrong in ({"labels": at["start_positions"]}, {"start_positions": at["start_positions"]}):
        with pytest.raises(ValueError, match="an answer's labels are start_positions and end_positions; give both"):
            model(**given, **wrong)


@pytest.mark.extras
def test_an_onnx_file_restores_alike(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    host = make_host(auto=AutoModelForTokenClassification, problem_type=None, num_labels=3, num_hidden_layers=2)
    model = ShortenedModel(host, described((8, 3), 16, layers=2)).eval()
    export_onnx(model, tmp_path / "model.onnx")
    run = run_onnx(tmp_path / "model.onnx", host.config, 1)
    generator = torch.Generator().manual_seed(0)
    for sizes, width in (((12, 9, 4), 12), ((3,), 3), ((5, 16), 16)):
        mask = (torch.arange(width) < torch.tensor(sizes)[:, None]).long()
        ids = torch.randint(5, 90, mask.shape, generator=generator)
        with torch.no_grad():
            expected = model(ids, mask).logits.numpy()
        real = mask.bool().numpy()
        assert np.allclose(run(input_ids=ids, attention_mask=mask)[real], expected[real], atol=1e-4)
