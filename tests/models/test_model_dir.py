import subprocess
import sys

import pytest
import torch
from hosts import FAMILIES, described, make_host
from transformers import AutoModelForMultipleChoice, AutoModelForSequenceClassification

from powerbert_cli import load_shortened
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import draw_random_order
from powerbert_cli.models.model_dir import fingerprint, save_model_dir
from powerbert_cli.models.weights import ModelError
from powerbert_cli.store.retention_file import RetentionFile, RetentionFileError
from powerbert_cli.tasks.tokenizing import build_tokenizer

SHORT = described((8, 5, 2), 16)
OTHER_PROCESS = """
import sys, torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification
from powerbert_cli import load_shortened
batch = load_file(sys.argv[2])
with torch.no_grad():
    plain = AutoModelForSequenceClassification.from_pretrained(sys.argv[1])(**batch).logits
    short = load_shortened(sys.argv[1])(**batch).logits
save_file({"plain": plain, "short": short}, sys.argv[3])
"""


@pytest.fixture
def saved(tmp_path, host):
    save_model_dir(tmp_path / "model", host, build_tokenizer(["a b"], 50), RetentionFile(SHORT))
    return tmp_path / "model"


@pytest.mark.extras
def test_loads_elsewhere_with_the_same_logits(saved, tmp_path, host, batch):
    """Plain transformers gives the unshortened model, load_shortened the shortened one."""
    from safetensors.torch import load_file, save_file

    save_file(batch, tmp_path / "batch.safetensors")
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, "-c", OTHER_PROCESS, saved, tmp_path / "batch.safetensors", tmp_path / "out.safetensors"]
    subprocess.run(command, check=True, cwd=tmp_path / "elsewhere")
    out = load_file(tmp_path / "out.safetensors")
    with torch.no_grad():
        assert torch.equal(out["plain"], host(**batch).logits)
        assert torch.equal(out["short"], ShortenedModel(host, SHORT).eval()(**batch).logits)
    assert not torch.equal(out["plain"], out["short"])


def test_what_the_tokenizer_did_last_is_not_in_a_model_directory(tmp_path, host):
    """A run whose rows are tokenised already, from the cache, leaves the same directory as the first one."""
    tokenizer, found = build_tokenizer(["a b"], 50), []
    for call in ({}, {"truncation": True, "max_length": 3}, {"padding": "max_length", "max_length": 9}):
        tokenizer("a b a b", **call)
        save_model_dir(tmp_path / str(len(found)), host, tokenizer)
        found.append(fingerprint(tmp_path / str(len(found))))
    assert len(set(found)) == 1


def test_only_safetensors(saved):
    assert {p.suffix for p in saved.iterdir()} <= {".json", ".safetensors", ".txt"}


def test_errors_name_what_is_wrong(saved):
    (saved / "retention.json").unlink()
    AutoModelForSequenceClassification.from_pretrained(saved)
    with pytest.raises(RetentionFileError, match="retention.json: cannot be read"):
        load_shortened(saved)
    RetentionFile(described((8, 5), 16)).write(saved / "retention.json")
    with pytest.raises(ModelError, match="2 lengths, the model has 3 layers"):
        load_shortened(saved)
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match="the model cannot be loaded"):
        load_shortened(saved)


@pytest.mark.parametrize("choice", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_saved_and_loaded(family, choice, tmp_path, batch):
    """Shortened through our function, unshortened through plain transformers, with the same logits."""
    host = make_host(family, choice=choice)
    elimination = described((8, 5, 2), 16, "random", random_order=draw_random_order(16, 0))
    save_model_dir(tmp_path, host, build_tokenizer(["a b"], 50), RetentionFile(elimination))
    auto = AutoModelForMultipleChoice if choice else AutoModelForSequenceClassification
    if choice:
        batch = {name: part.view(2, 2, 16) for name, part in batch.items()}
    with torch.no_grad():
        assert torch.allclose(auto.from_pretrained(tmp_path)(**batch).logits, host(**batch).logits, atol=1e-5)
        short = load_shortened(tmp_path)
        assert torch.equal(short(**batch).logits, ShortenedModel(host, elimination).eval()(**batch).logits)
    assert short.elimination == elimination
