"""Feed-forward neurons really removed, in every family that has matrices of its own for them."""

import copy

import pytest
import torch
from hosts import FAMILIES, make_host
from transformers import AutoModelForSequenceClassification

from powerbert_cli.compress import neurons
from powerbert_cli.compress.neurons import How, fewer_neurons
from powerbert_cli.encoder import removing
from powerbert_cli.encoder.removing import NotRemovable, host_of_sizes, open_blocks
from powerbert_cli.method import pruning
from powerbert_cli.models.model_dir import save_model_dir
from powerbert_cli.tasks.tokenizing import build_tokenizer

SHARED_OR_GATED = ("albert", "modernbert")
OPEN = [family for family in FAMILIES if family not in SHARED_OR_GATED]


def texts(batches=12):
    """Batches with and without padding."""
    generator = torch.Generator().manual_seed(3)
    found = []
    for _ in range(batches):
        lengths = torch.tensor([12, 12, 7, 4])
        ids = torch.randint(5, 90, (4, 12), generator=generator)
        mask = (torch.arange(12) < lengths[:, None]).long()
        found.append({"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask})
        found.append({"input_ids": torch.randint(5, 90, (4, 9), generator=generator)})
    return found


@torch.no_grad()
def logits_of(host, batches):
    return torch.cat([host.eval()(**batch).logits for batch in batches])


def width(host):
    return open_blocks(host)[0].up.out_features


HOW = [How("r2d2", "refit"), How("variance", "scale"), How("magnitude", "none")]


@pytest.mark.parametrize(
    ("family", "how"), [*((family, HOW[0]) for family in OPEN), *(("bert", how) for how in HOW[1:])]
)
def test_nothing_removed_is_the_plain_model(family, how):
    host, batches = make_host(family), texts()
    before = logits_of(host, batches)
    fewer_neurons(host, batches, 16, width(host), how)
    assert torch.allclose(logits_of(host, batches), before, atol=1e-4)


@pytest.mark.parametrize("family", OPEN)
def test_removed_and_zeroed_neurons_give_the_same_logits(family):
    """Magnitude, untuned: the same as rows and columns of zeros in the whole model (every activation of 0 is 0)."""
    host, batches = make_host(family), texts()
    zeroed, keep = copy.deepcopy(host), width(host) // 2
    for block in open_blocks(zeroed):
        gone = torch.ones(width(zeroed), dtype=torch.bool)
        gone[pruning.kept(pruning.by_magnitude(block.down.weight.T), keep)] = False
        with torch.no_grad():
            block.up.weight[gone], block.up.bias[gone], block.down.weight[:, gone] = 0.0, 0.0, 0.0
    before = host.num_parameters()
    fewer_neurons(host, batches, 16, keep, How("magnitude", "none"))
    assert torch.allclose(logits_of(host, batches), logits_of(zeroed, batches), atol=1e-6)
    layers, hidden = len(open_blocks(host)), host.config.hidden_size
    assert before - host.num_parameters() == layers * (keep * (2 * hidden + 1))  # half of all go
    whole = host_of_sizes(host, layers, 2 * keep)
    assert whole.num_parameters() == before and logits_of(whole, batches).shape == logits_of(host, batches).shape


@pytest.mark.parametrize("family", OPEN)
def test_plain_transformers_loads_what_is_left(family, tmp_path):
    host, batches = make_host(family), texts()
    keep = width(host) // 2
    fewer_neurons(host, batches, 16, keep, How("variance", "refit"))
    save_model_dir(tmp_path, host, build_tokenizer(["a"], 50))
    loaded, found = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not found["missing_keys"] and not found["mismatched_keys"] and width(loaded) == keep
    assert torch.allclose(logits_of(loaded, batches), logits_of(host, batches), atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_a_refit_comes_nearer_on_other_texts(family):
    seen, others, far = texts(40), texts(60)[80:], {}
    for tune in ("none", "refit"):
        host = make_host(family)
        whole = logits_of(host, others)
        fewer_neurons(host, seen, 16, width(host) // 2, How("r2d2", tune))
        far[tune] = float((logits_of(host, others) - whole).square().mean())
    assert far["refit"] < 0.7 * far["none"]


def test_scale_imitates_the_model_pruned_half_as_far(monkeypatch):
    widths = []
    monkeypatch.setattr(neurons, "keep_neurons", lambda block, index: widths.append(len(index)) or real(block, index))
    real, host = removing.keep_neurons, make_host()
    fewer_neurons(host, texts(), 16, 16, How("r2d2", "scale"), between=24)
    assert widths == [24] * 3 + [16] * 3 and width(host) == 16


@pytest.mark.parametrize("family", SHARED_OR_GATED)
def test_shared_and_gated_parts_are_refused(family):
    with pytest.raises(NotRemovable, match=f"of {family} are not removed"):
        fewer_neurons(make_host(family), texts(), 16, 8, How("variance", "refit"))
