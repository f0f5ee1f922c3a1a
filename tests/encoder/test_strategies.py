"""What each strategy keeps, and how merged word-vectors count."""

import pytest
import torch
from hosts import described, make_host

from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import draw_random_order

LENGTHS = (8, 5, 2)


STRATEGIES = {
    "attention": described(LENGTHS, 16),
    "head": described(LENGTHS, 16, "head"),
    "random": described(LENGTHS, 16, "random", random_order=draw_random_order(16, 3)),
    "threshold": described(None, 16, "threshold", thresholds=(0.7, 0.8, 1.1)),
    "merge": described(LENGTHS, 16, "merge"),
    "none": described(None, 16, "none"),
    "attention-separators": described(LENGTHS, 16, protected_tokens=(5, 6, 7, 8, 9, 10)),
    "attention-diagonal": described(LENGTHS, 16, diagonal=False),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_strategy_depends_on_padding(name, host, batch):
    model = ShortenedModel(host, STRATEGIES[name]).eval()
    with torch.no_grad():
        together, kept = model(**batch).logits, model.kept_positions(**batch)
        for b, n in enumerate(batch["attention_mask"].sum(1).tolist()):
            alone = batch["input_ids"][b : b + 1, :n]
            assert torch.allclose(model(alone).logits[0], together[b], atol=1e-5)
            for one, many in zip(model.kept_positions(alone), kept, strict=True):
                assert one[0].tolist() == [p for p in many[b].tolist() if p >= 0]


def test_counting_padding_does_depend_on_it(host, batch):
    """The authors' switch, so that the test above is known to see a difference."""
    model = ShortenedModel(host, described(LENGTHS, 16, pad_queries=True)).eval()
    alone = batch["input_ids"][2:3, :3]
    longer = {"input_ids": batch["input_ids"][1:2], "attention_mask": batch["attention_mask"][1:2]}
    assert model(alone).logits.shape == (1, 2)
    short = {name: part[:, :9] for name, part in longer.items()}
    assert not torch.allclose(model(**short).logits, model(**longer).logits, atol=1e-5)


def test_each_strategy_keeps_what_it_says(host, batch):
    def kept(name):
        return ShortenedModel(host, STRATEGIES[name]).eval().kept_positions(**batch)

    assert kept("head")[0][0].tolist() == list(range(8))
    order = STRATEGIES["random"].ranking.order
    first_eight = sorted([0, *[p for p in order if p != 0][:7]])
    assert kept("random")[0][0].tolist() == first_eight
    assert (
        kept("merge")[0].tolist() == kept("attention")[0].tolist()
    )  # what is kept is the same, not what becomes of it
    sizes = {tuple((k >= 0).sum(1).tolist()) for k in kept("threshold")}
    assert len(sizes) > 1  # as many as each input calls for
    separators = (batch["input_ids"] >= 5) & (batch["input_ids"] <= 10) & batch["attention_mask"].bool()
    for b in range(4):
        wanted = separators[b].nonzero().flatten().tolist()
        assert set(wanted[: 8 - 1]) <= set(kept("attention-separators")[0][b].tolist())


def test_random_positions_are_the_same_in_every_precision():
    """Beyond 256 bfloat16 does not tell neighbouring integers apart; the stored order must not pass through it."""
    host, ids = make_host(max_position_embeddings=512), torch.randint(5, 100, (1, 512))
    elimination = described((300, 200, 100), 512, "random", random_order=draw_random_order(512, 0))
    model = ShortenedModel(host, elimination).eval()
    kept = [k.tolist() for k in model.kept_positions(ids)]
    assert [k.tolist() for k in model.to(torch.bfloat16).kept_positions(ids)] == kept
    assert sorted(kept[0][0]) == sorted([0, *[p for p in elimination.ranking.order if p != 0][:299]])


def test_strategy_none_is_the_plain_model(host, batch):
    assert torch.allclose(
        ShortenedModel(host, STRATEGIES["none"]).eval()(**batch).logits, host(**batch).logits, atol=1e-5
    )


def test_merging_carries_weights_through_the_layers(host, batch):
    """Merged and lost word-vectors give different answers, and gradients reach the host through the average."""
    lost, merged = (ShortenedModel(host, STRATEGIES[name]).eval() for name in ("attention", "merge"))
    assert not torch.allclose(lost(**batch).logits, merged(**batch).logits, atol=1e-3)
    merged(**batch, labels=torch.tensor([0, 1, 0, 1])).loss.backward()
    assert host.bert.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_merged_keys_count_by_what_they_stand_for(host):
    """A text of one word repeated, without positions, merged to two word-vectors, answers as the whole text does.

    The copies are alike in each layer, so one that counts n times is all of them; alone it would count once beside
    [CLS]. And [CLS] takes in none.
    """
    with torch.no_grad():
        host.bert.embeddings.position_embeddings.weight.zero_()
    batch = {"input_ids": torch.tensor([[2, *[7] * 9], [2, *[9] * 9]])}
    merged = ShortenedModel(host, described((2, 2, 2), 16, "merge")).eval()
    with torch.no_grad():
        assert torch.allclose(merged(**batch).logits, host(**batch).logits, atol=1e-5)
        lost = ShortenedModel(host, described((2, 2, 2), 16)).eval()
        assert not torch.allclose(lost(**batch).logits, host(**batch).logits, atol=1e-3)
    assert torch.allclose(merged(**batch).logits, host(**batch).logits, atol=1e-5)  # with a gradient: fused attention


@pytest.mark.parametrize("family", ["bert", "mpnet", "modernbert"])
def test_the_last_layer_answers_for_cls_alone_in_merging_too(family, batch):
    """Exact, as nothing is merged into [CLS]."""
    model = ShortenedModel(make_host(family), STRATEGIES["merge"]).eval()
    assert model.ends_in_first
    with torch.no_grad():
        before = model(**batch).logits
        model.ends_in_first = False
        assert torch.allclose(model(**batch).logits, before, atol=1e-5)
