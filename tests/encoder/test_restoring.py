"""Heads that read all word-vectors: those that were dropped answer with their states when they were."""

import pytest
import torch
from hosts import FAMILIES, described, make_host
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification

from powerbert_cli.captured.model import CapturedModel
from powerbert_cli.encoder.restoring import Restoring
from powerbert_cli.encoder.searching import SoftExtractModel, SoftThresholdModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.retention import RetentionError
from powerbert_cli.native.library import NoLibrary
from powerbert_cli.native.model import NativeModel

KINDS = {"tags": AutoModelForTokenClassification, "answers": AutoModelForQuestionAnswering}
LENGTHS = (12, 9, 7, 4)


def host_of(family="bert", kind="tags", **changes):
    return make_host(family, auto=KINDS[kind], problem_type=None, num_labels=2, **changes)


def batch(order=(0, 1, 2, 3), width=12):
    generator = torch.Generator().manual_seed(3)
    ids, lengths = torch.randint(5, 90, (4, width), generator=generator), torch.tensor(LENGTHS)
    mask = (torch.arange(width) < lengths[:, None]).long()
    ids = torch.where(mask.bool(), ids, 1)
    return {"input_ids": ids[list(order)], "attention_mask": mask[list(order)]}


def of_host(host, given):
    """transformers' own logits (B, N, 2)."""
    output = host(**given)
    return output.logits if "logits" in output else torch.stack((output.start_logits, output.end_logits), dim=-1)


def real(logits, given):
    return logits[given["attention_mask"].bool()]


def test_four_word_vectors_over_three_layers_by_hand():
    """w0 stays, w2 is dropped in layer 1, w3 in layer 2, w1 in layer 3: their states are 0, 10 and 20 and something."""
    state = {layer: torch.tensor([[10.0 * layer + w] for w in range(4)]) for layer in range(4)}
    restoring = Restoring()
    restoring = restoring.dropping(state[0], torch.tensor([0, 1, 3]))  # layer 1 keeps these of four
    restoring = restoring.dropping(state[1][[0, 1, 3]], torch.tensor([0, 1]))  # layer 2 drops w3
    restoring = restoring.dropping(state[2][[0, 1]], torch.tensor([0]))
    assert restoring.restored(state[3][[0]]).flatten().tolist() == [30.0, 21.0, 2.0, 13.0]
    # another order of the rows that go on, as when lengths are sorted anew
    turned = Restoring().dropping(state[0], torch.tensor([3, 0]))
    assert turned.restored(torch.tensor([[7.0], [8.0]])).flatten().tolist() == [8.0, 1.0, 2.0, 7.0]
    assert Restoring().restored(state[3]) is state[3]


def test_a_search_mixes_what_keeping_and_dropping_would_write():
    before, after = torch.zeros(4, 2), torch.ones(4, 2)
    mixed = Restoring(table=before).mixed(after, torch.tensor([1.0, 0.0, 0.25, 1.0]))
    assert mixed.restored(after)[:, 0].tolist() == [1.0, 0.0, 0.25, 1.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_with_nothing_dropped_it_is_transformers_own(family, kind):
    host = host_of(family, kind)
    model = ShortenedModel(host, described(None, 16)).eval()
    for given in (batch(), batch((2, 0, 3, 1), 14), {"input_ids": batch()["input_ids"][:2]}):
        found, expected = model(**given).logits, of_host(host, given)
        assert found.shape == expected.shape
        mask = given.get("attention_mask", torch.ones_like(given["input_ids"])).bool()
        assert torch.allclose(found[mask], expected[mask], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_each_dropped_one_answers_with_its_state_at_its_layer(family):
    """Against the hidden states of each layer, by what `kept_positions` says."""
    host = host_of(family)
    model = ShortenedModel(host, described((8, 5, 2), 16)).eval()
    for given in (batch(), batch((3, 1, 0, 2))):
        output = model(**given, output_hidden_states=True)
        kept = [torch.arange(12).expand(4, -1), *model.kept_positions(**given)]
        wanted = torch.zeros(4, 12, output.hidden_states[0].shape[-1])
        for states, places in zip(output.hidden_states, kept, strict=True):
            for b in range(4):
                own = places[b][: states.shape[1]]
                own = own[own >= 0]
                wanted[b, own] = states[b, : len(own)]
        expected = model.logits_of(wanted, given["attention_mask"].bool())
        assert torch.allclose(real(output.logits, given), real(expected, given), atol=1e-5)


@pytest.mark.parametrize("how", ["absolute", "relative", "threshold", "head", "separators"])
@torch.no_grad()
def test_an_input_alone_answers_as_in_a_batch(how):
    given = {
        "absolute": described((8, 5, 2), 16),
        "relative": described(None, 16, kind="relative", fractions=(0.7, 0.5, 0.2)),
        "threshold": described(None, 16, "threshold", (0.6, 0.8, 0.9)),
        "head": described((8, 5, 2), 16, "head"),
        "separators": described((8, 5, 2), 16, protected_tokens=(7, 8, 20)),
    }
    model = ShortenedModel(host_of(), given[how]).eval()
    together = model(**batch((1, 3, 0, 2))).logits
    for row, i in enumerate((1, 3, 0, 2)):
        alone = model(input_ids=batch()["input_ids"][i : i + 1, : LENGTHS[i]]).logits
        assert torch.allclose(together[row, : LENGTHS[i]], alone[0], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_native_engine_restores_alike(family):
    for how in (described((8, 5, 2), 16), described(None, 16), described((8, 5, 2), 16, protected_tokens=(7, 8))):
        model = ShortenedModel(host_of(family), how).eval()
        try:
            native = NativeModel(model)
        except NoLibrary as error:
            pytest.skip(str(error))
        for given in (batch((2, 0, 3, 1), 14), batch()):
            assert torch.allclose(real(native(**given).logits, given), real(model(**given).logits, given), atol=2e-5)


@pytest.mark.parametrize("how", ["absolute", "threshold", "all", "head", "separators"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_captured_pass_restores_alike(family, how):
    values = {"absolute": described((8, 5, 2), 16), "all": described(None, 16)}
    values["threshold"] = described(None, 16, "threshold", (0.6, 0.8, 0.9))
    values["head"] = described((8, 5, 2), 16, "head")
    values["separators"] = described((8, 5, 2), 16, protected_tokens=(7, 8, 20))
    model = ShortenedModel(host_of(family), values[how]).eval()
    captured = CapturedModel(model)
    torch.use_deterministic_algorithms(True)  # what is not written is NaN
    try:
        for given in (batch((2, 0, 3, 1), 14), batch(), batch((3,)), batch((2, 0, 3, 1), 14)):
            found = captured(**given).logits
            assert found.shape == (*given["input_ids"].shape, 2)
            assert torch.allclose(real(found, given), real(model(**given).logits, given), atol=2e-5)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("soft", [SoftExtractModel, SoftThresholdModel])
def test_a_search_that_keeps_all_is_the_model_and_learns_of_every_layer(soft):
    host = host_of()
    how = described(None, 16, "threshold" if soft is SoftThresholdModel else "attention")
    model, given = soft(host, how).eval(), batch()
    found = model(**given).logits
    assert torch.allclose(real(found, given), real(of_host(host, given), given), atol=1e-4)
    labels = torch.where(given["attention_mask"].bool(), given["input_ids"] % 2, -100)
    model.train()
    model(**given, labels=labels).loss.backward()
    assert (model.retention_parameters.grad.abs().sum(dim=1) > 0).all()


def test_tags_have_the_loss_of_transformers_and_its_gradient():
    host, given = host_of(), batch()
    labels = torch.where(given["attention_mask"].bool(), given["input_ids"] % 2, -100)
    model = ShortenedModel(host, described(None, 16)).eval()
    loss = model(**given, labels=labels).loss
    assert loss.item() == pytest.approx(host(**given, labels=labels).loss.item(), abs=1e-6)
    short = ShortenedModel(host, described((8, 5, 2), 16)).train()
    short(**given, labels=labels).loss.backward()
    assert host.bert.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_what_has_no_meaning_is_said():
    with pytest.raises(RetentionError, match="strategy=merge puts dropped word-vectors into others"):
        ShortenedModel(host_of(), described((8, 5, 2), 16, "merge"))
