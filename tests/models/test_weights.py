"""Files whose weights do not fill the encoder, by every way in."""

import json

import pytest
import torch
from hosts import FAMILIES, described, make_host
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForMaskedLM

from powerbert_cli import load_shortened
from powerbert_cli.kinds.classification import Classification
from powerbert_cli.models.loading import build_host
from powerbert_cli.models.model_dir import load_plain, save_model_dir
from powerbert_cli.models.weights import ModelError
from powerbert_cli.settings import ModelSettings
from powerbert_cli.store.retention_file import RetentionFile
from powerbert_cli.tasks.tokenizing import build_tokenizer

TOKENIZER = build_tokenizer(["a b"], 100)


@pytest.fixture
def folder(tmp_path):
    save_model_dir(tmp_path / "m", make_host(), TOKENIZER, RetentionFile(described((8, 5, 2), 16)))
    return tmp_path / "m"


def started(folder):
    """As model.name_or_path."""
    settings = ModelSettings(
        name="", name_or_path=str(folder), config=None, tokenizer=None, vocab_size=None, trust_remote_code=False
    )
    return build_host(settings, TOKENIZER, Classification(["a", "b"], "accuracy"), 0)


WAYS = [started, load_plain, load_shortened]


def change(folder, rename=lambda key: key, drop=(), add=None, **config):
    path = folder / "model.safetensors"
    weights = {rename(key): tensor for key, tensor in load_file(path).items() if not any(one in key for one in drop)}
    save_file({**weights, **(add or {})}, path, metadata={"format": "pt"})
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**about, **config}))


def host_of(model):
    return getattr(model, "host", model)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "net.", "module._orig_mod.model.", "base_model.model."])
def test_a_prefix_of_all_names_is_taken_off(folder, way, prefix, caplog):
    before = load_file(folder / "model.safetensors")
    change(folder, lambda key: prefix + key)
    state = host_of(way(folder)).state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in before.items())
    assert f"the names of all weights begin with {prefix}," in caplog.text


def test_a_prefix_before_a_bare_encoder_is_taken_off_too(folder):
    """With the head of the seed, as without a prefix."""
    change(folder, drop=["classifier"])
    before = started(folder).state_dict()
    change(folder, lambda key: "net." + key.removeprefix("bert."))
    state = started(folder).state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in before.items())


WRONG = {
    "two prefixes": (
        {"rename": lambda key: ("a." if "layer.0" in key else "b.") + key},
        r"weights are missing; .*; the file has others, as a\.bert",
    ),
    "a part under a prefix": (
        {"rename": lambda key: key.replace("bert.encoder.layer.1", "x.bert.encoder.layer.1")},
        r"weights are missing; .*as x\.bert.*: bert\.encoder\.layer\.1",
    ),
    "more layers": ({"num_hidden_layers": 5}, r"weights are missing.*bert\.encoder\.layer\.3.* and \d+ more"),
    "fewer layers": ({"num_hidden_layers": 2}, "are of layers that its config.json does not have: bert.*layer.2"),
    "a wider vocabulary": (
        {"drop": ["word_emb"], "add": {"bert.embeddings.word_embeddings.weight": torch.zeros(101, 32)}},
        "are of other sizes.*word_embeddings",
    ),
    "relative positions": (
        {"add": {"bert.encoder.layer.0.attention.self.distance_embedding.weight": torch.zeros(63, 8)}},
        "are of parts that this encoder does not have: .*distance_embedding",
    ),
    "adapters": (
        {"add": {"bert.encoder.layer.0.attention.self.query.lora_A.default.weight": torch.zeros(4, 32)}},
        "merge_and_unload",
    ),
    "position type": ({"position_embedding_type": "relative_key_query"}, "position_embedding_type=relative_key_query"),
    "a decoder": ({"is_decoder": True}, "config.json has is_decoder=True"),
    "cross-attention": ({"add_cross_attention": True, "is_decoder": False}, "has add_cross_attention=True"),
    "an activation": ({"hidden_act": "snake"}, "has hidden_act=snake; must be one of .*gelu"),
    "quantised": ({"quantization_config": {"quant_method": "bitsandbytes"}}, "has quantization_config"),
    "not a number": (
        {"drop": ["layer.1.output.LayerNorm.bias"],
         "add": {"bert.encoder.layer.1.output.LayerNorm.bias": torch.full((32,), float("nan"))}},
        r"are not finite .*: bert\.encoder\.layer\.1\.output\.LayerNorm\.bias",
    ),
    "infinite": (
        {"drop": ["classifier.bias"], "add": {"classifier.bias": torch.tensor([0.0, float("inf")])}},
        "are not finite .*: classifier.bias",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fill_the_encoder_is_refused(folder, way, name):
    changes, message = WRONG[name]
    change(folder, **changes)
    with pytest.raises(ModelError, match=message):
        way(folder)


@pytest.mark.parametrize("drop", [["classifier"], ["pooler"], ["classifier", "pooler"]])
def test_a_head_may_be_missing_where_one_is_trained(folder, drop, caplog):
    change(folder, drop=drop)
    started(folder)
    assert ("has no weights of the pooler (bert.pooler.dense.bias)" in caplog.text) == ("pooler" in drop)
    for way in (load_plain, load_shortened):
        with pytest.raises(ModelError, match="are missing; it must be a whole, fine-tuned model"):
            way(folder)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("auto", [AutoModel, AutoModelForMaskedLM])
def test_pretrained_models_of_each_family_fill_it(tmp_path, family, auto):
    """As the hub has them: encoders alone, and with the head of masked words."""
    model = auto.from_config(make_host(family).config)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    found = started(tmp_path).base_model.state_dict()
    known = model.base_model.state_dict()
    assert all(torch.equal(found[key], known[key]) for key in found if key in known and "pooler" not in key)


def test_names_of_older_files_are_read(folder):
    """LayerNorm's gamma and beta, and the buffer of positions."""
    before = load_file(folder / "model.safetensors")
    change(
        folder,
        lambda key: key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
        add={"bert.embeddings.position_ids": torch.arange(32)[None]},
    )
    state = load_plain(folder).state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in before.items())


def test_half_precision_files_are_read(folder):
    path = folder / "model.safetensors"
    save_file({key: tensor.half() for key, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    assert all(parameter.dtype == torch.float32 for parameter in started(folder).parameters())
