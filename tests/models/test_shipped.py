"""A shortened model in the hands of a transformers user."""

import copy
import json
import os
from types import SimpleNamespace

import pytest
import torch
from hosts import described, make_host
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments, pipeline

from powerbert_cli import PowerBertForMultipleChoice, PowerBertForSequenceClassification, load_shortened
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.models.model_dir import save_model_dir
from powerbert_cli.models.weights import ModelError
from powerbert_cli.native import library
from powerbert_cli.native.model import NativeModel
from powerbert_cli.store.retention_file import RetentionFile
from powerbert_cli.tasks.tokenizing import build_tokenizer

SHORT = described((8, 5, 2), 16)
TEXTS = ["a b", "a", "b a b a b a b a b a", "b b"]


@pytest.fixture
def tokenizer():
    return build_tokenizer(["a b"], 50)


@pytest.fixture
def folder(tmp_path, host, tokenizer):
    save_model_dir(tmp_path / "model", host, tokenizer, RetentionFile(SHORT, task="rte"))
    return tmp_path / "model"


def test_the_pipeline_classifies_texts_in_batches(folder, host, tokenizer, caplog):
    model = PowerBertForSequenceClassification.from_pretrained(folder)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    found = classify(TEXTS, batch_size=3, top_k=None)
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        wanted = ShortenedModel(host, SHORT).eval()(**inputs).logits.softmax(-1)
    names = model.config.id2label
    for scores, row in zip(found, wanted.tolist(), strict=True):
        assert {one["label"]: one["score"] for one in scores} == pytest.approx(
            {names[c]: value for c, value in enumerate(row)}, abs=1e-5
        )
    assert "not supported" not in caplog.text


def test_what_transformers_models_have(folder, batch):
    model = PowerBertForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
    assert model.device == torch.device("cpu") and model.dtype == torch.bfloat16
    assert model.num_parameters() == sum(p.numel() for p in model.host.parameters())
    with torch.no_grad():
        output = model.float()(**batch, output_hidden_states=True)
        assert [state.shape[1] for state in output.hidden_states] == [16, 8, 5, 1]
        logits, *_ = model(**batch, return_dict=False)
        assert torch.allclose(logits, output.logits, atol=1e-6)
    with pytest.raises(ValueError, match="inputs_embeds is not available in a shortened model"):
        model(**batch, inputs_embeds=torch.zeros(1))


def test_saved_it_is_the_same_and_plain_transformers_loads_the_unshortened_one(folder, tmp_path, host, batch):
    model = PowerBertForSequenceClassification.from_pretrained(folder)
    model.save_pretrained(tmp_path / "again")
    again = PowerBertForSequenceClassification.from_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again/retention.json").read_text())["task"] == "rte"
    assert json.loads((tmp_path / "again/config.json").read_text())["architectures"] == [
        "BertForSequenceClassification"
    ]
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, model(**batch).logits)
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "again")
        assert torch.equal(plain(**batch).logits, host(**batch).logits)


def test_the_hub_gets_all_files(folder, monkeypatch):
    """Without a hub: what would be uploaded."""
    uploaded = []
    model = PowerBertForSequenceClassification.from_pretrained(folder)
    monkeypatch.setattr(model, "_upload_modified_files", lambda given, *_, **__: uploaded.extend(os.listdir(given)))
    made = lambda self, repo_id, **_: SimpleNamespace(repo_id=repo_id)  # noqa: E731
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", made)
    model.push_to_hub("somebody/rte")
    assert {"config.json", "model.safetensors", "retention.json"} <= set(uploaded)


def test_multiple_choice(tmp_path, tokenizer, batch):
    host = make_host(choice=True)
    save_model_dir(tmp_path, host, tokenizer, RetentionFile(SHORT))
    model = PowerBertForMultipleChoice.from_pretrained(tmp_path)
    choices = {name: part.view(2, 2, 16) for name, part in batch.items()}
    assert model(**choices).logits.shape == (2, 2)
    assert isinstance(load_shortened(tmp_path), PowerBertForMultipleChoice)
    with pytest.raises(ModelError, match="BertForMultipleChoice; load it with PowerBertForMultipleChoice"):
        PowerBertForSequenceClassification.from_pretrained(tmp_path)


def test_a_trainer_of_transformers_saves_and_goes_on(folder, tmp_path, batch):
    """The state dict is the plain model's, so a checkpoint is a directory like any other."""
    rows = [{name: part[b] for name, part in batch.items()} | {"labels": b % 2} for b in range(4)]
    options = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "save_strategy": "epoch"}

    def trained(epochs, resume):
        model = PowerBertForSequenceClassification.from_pretrained(folder)
        args = TrainingArguments(output_dir=str(tmp_path / "run"), num_train_epochs=epochs, **options)
        Trainer(model=model, args=args, train_dataset=rows).train(resume_from_checkpoint=resume)
        return model

    first = trained(1, resume=False)
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    for name, value in load_shortened(checkpoint).state_dict().items():
        assert torch.equal(value, first.state_dict()[name])
    assert not torch.equal(trained(2, resume=True)(**batch).logits, first(**batch).logits)


def test_devices(folder, batch, monkeypatch):
    from accelerate import Accelerator

    expected = load_shortened(folder)(**batch).logits
    placed = PowerBertForSequenceClassification.from_pretrained(folder, device_map="cpu")
    assert torch.equal(Accelerator(cpu=True).prepare(placed)(**batch).logits, expected)
    spread = make_host()
    spread.hf_device_map = {"bert": 0, "classifier": "cpu"}
    monkeypatch.setattr("powerbert_cli.models.shipped.load_host", lambda *_, **__: spread)
    with pytest.raises(ModelError, match="spreads it over 0, cpu; this encoder runs on one device"):
        PowerBertForSequenceClassification.from_pretrained(folder, device_map="auto")


def test_compiled_it_answers_alike(folder, batch):
    torch._dynamo.reset()
    model = load_shortened(folder)
    with torch.no_grad():
        expected = model(**batch).logits
        assert torch.allclose(torch.compile(model, backend="eager")(**batch).logits, expected, atol=1e-5)


def test_adapters_are_refused_until_they_are_merged(folder, tmp_path, batch):
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="has PEFT adapters .* merge_and_unload"):
        PowerBertForSequenceClassification.from_pretrained(folder)
    (folder / "adapter_config.json").unlink()
    model = load_shortened(folder)
    adapted = type("Adapted", (torch.nn.Linear,), {"__module__": "peft.tuners.lora.layer"})
    query = model.host.bert.encoder.layer[0].attention.self.query
    with torch.no_grad():
        before = model(**batch).logits
        replacement = adapted(32, 32)
        replacement.load_state_dict(query.state_dict())
        replacement.bias += 1.0
        model.host.bert.encoder.layer[0].attention.self.query = replacement
        assert not torch.allclose(model(**batch).logits, before, atol=1e-3)  # it takes part at once
    with pytest.raises(ModelError, match="adapters that are not merged"):
        model.save_pretrained(tmp_path / "adapted")


@pytest.fixture
def natively(monkeypatch):
    """What the native engine was asked: a batch each."""
    try:
        library.library()
    except library.NoLibrary as error:
        pytest.skip(str(error))
    asked, answer = [], NativeModel.__call__
    monkeypatch.setattr(NativeModel, "__call__", lambda self, *given: asked.append(given) or answer(self, *given))
    return asked


def test_inference_on_a_cpu_is_the_native_engines(folder, batch, natively):
    model = PowerBertForSequenceClassification.from_pretrained(folder)
    plain = load_shortened(folder)

    def alike():
        with torch.no_grad():
            return torch.allclose(model(**batch).logits, plain(**batch).logits, atol=1e-5)

    assert alike() and alike() and len(natively) == 2
    with torch.no_grad():  # it sees what has changed
        for one in (model, plain):
            one.host.bert.encoder.layer[1].output.dense.weight.mul_(1.5)
    assert alike() and len(natively) == 3
    for one in (model, plain):
        one.host.bert.encoder.layer[0].output.dense.weight.data.mul_(1.5)
        one.refresh()
    assert alike() and len(natively) == 4
    hook = model.host.bert.encoder.layer[0].output.dense.register_forward_hook(lambda module, given, made: made * 0)
    assert not alike() and len(natively) == 4
    hook.remove()
    assert alike() and len(natively) == 5
    again = copy.deepcopy(model)
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, model(**batch).logits) and len(natively) == 7
    shorter = described((4, 3, 2), 16)
    with model.eliminating(shorter), plain.eliminating(shorter):
        assert alike() and len(natively) == 8


@pytest.mark.parametrize("family", ["modernbert", "mpnet"])
def test_it_sees_changed_weights_of_every_family(family, natively):
    """Also those that are in no linear layer of a block, and that a table was made of."""
    model = PowerBertForSequenceClassification(make_host(family), described((9, 5, 2), 16)).eval()
    model.engine = "auto"
    ids = torch.randint(5, 90, (3, 12), generator=torch.Generator().manual_seed(0))

    def alike():
        with torch.no_grad():
            return torch.allclose(model(ids).logits, ShortenedModel.forward(model, ids).logits, atol=1e-5)

    assert alike()
    with torch.no_grad():
        for name, parameter in model.host.named_parameters():
            if any(part in name for part in ("relative_attention_bias", "Wqkv", "norm", "embeddings", "classifier")):
                parameter.mul_(1.3)
                assert alike(), name
    model.load_state_dict({name: 0.8 * one for name, one in model.state_dict().items()})
    assert alike() and natively


def test_whatever_else_is_asked_pytorch_answers(folder, batch, natively, caplog):
    model = PowerBertForSequenceClassification.from_pretrained(folder)
    assert model(**batch).logits.requires_grad
    labels = torch.zeros(4, dtype=torch.long)
    with torch.no_grad():
        assert model(**batch, labels=labels).loss is not None
        assert len(model(**batch, output_hidden_states=True).hidden_states) == 4
        with torch.autocast("cpu", torch.bfloat16):
            model(**batch)
        model.train()(**batch)
        model.eval().engine = "eager"
        model(**batch)
        model.engine = "auto"
        model.to(torch.bfloat16)(**batch)
    assert not natively
    with torch.no_grad():
        logits = model.float()(**batch).logits
    assert len(natively) == 1
    (torch.nn.Linear(2, 1)(logits).sum()).backward()  # answers can be trained on


def test_without_a_compiler_pytorch_answers(folder, batch, monkeypatch, caplog):
    def missing(*args):
        raise library.NoLibrary("engine=native needs a C++ compiler once")

    monkeypatch.setattr("powerbert_cli.models.shipped.NativeModel", missing)
    model = PowerBertForSequenceClassification.from_pretrained(folder)
    with torch.no_grad(), caplog.at_level("INFO", "powerbert_cli"):
        expected = load_shortened(folder)(**batch).logits
        assert torch.equal(model(**batch).logits, expected) and torch.equal(model(**batch).logits, expected)
    assert caplog.text.count("PyTorch answers, not the native engine: engine=native needs a C++ compiler") == 1
