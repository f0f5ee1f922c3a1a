from dataclasses import replace

import pytest
import torch
from hosts import FAMILIES, described, make_host
from transformers import BertConfig, GPT2Config, GPT2ForSequenceClassification, RobertaConfig

from powerbert_cli.encoder.families import UnsupportedModelError, layers_of, usable_positions
from powerbert_cli.encoder.searching import SoftExtractModel, SoftThresholdModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import draw_random_order
from powerbert_cli.method.retention import RetentionError, Thresholds

LENGTHS = (8, 5, 2)
FULL = described((16, 16, 16), 16)


@pytest.mark.parametrize("choice", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_full_retention_equals_plain_transformers(family, attention, dtype, choice, batch):
    """Sequence classification and multiple choice, hard and soft, of each family."""
    host = make_host(family, attention, choice).to(dtype)
    if choice:
        batch = {name: part.view(2, 2, 16) for name, part in batch.items()}
    with torch.no_grad():
        plain = host(**batch).logits
        ours = [
            ShortenedModel(host, FULL).eval()(**batch).logits,
            SoftExtractModel(host, described(None, 16)).eval()(**batch).logits,
            SoftThresholdModel(host, described(None, 16, "threshold")).eval()(**batch).logits,
        ]
    scale = float(plain.abs().max())
    for logits in ours:
        assert torch.allclose(logits, plain, atol=2e-5 * scale if dtype == torch.float32 else 0.1 * scale)
    assert len(set(plain.flatten().tolist())) > 2  # or else equality would say little


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_shortens_and_never_depends_on_padding(family, batch):
    """An input alone gives the logits and the selection that it has padded in a batch."""
    model = ShortenedModel(make_host(family), described(LENGTHS, 16)).eval()
    with torch.no_grad():
        together, kept = model(**batch).logits, model.kept_positions(**batch)
        assert [k.shape[1] for k in kept] == list(LENGTHS)
        for b, n in enumerate(batch["attention_mask"].sum(1).tolist()):
            alone = batch["input_ids"][b : b + 1, :n]
            assert torch.allclose(model(alone).logits[0], together[b], atol=1e-4)
            for one, many in zip(model.kept_positions(alone), kept, strict=True):
                assert one[0].tolist() == [p for p in many[b].tolist() if p >= 0]


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_every_weight_of_each_family(family, batch):
    """What plain transformers trains, the shortened model trains as well."""
    host = make_host(family)
    labels = torch.tensor([0, 1, 0, 1])
    host(**batch, labels=labels).loss.backward()
    plain = {name for name, p in host.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    host.zero_grad()
    ShortenedModel(host, described(LENGTHS, 16))(**batch, labels=labels).loss.backward()
    ours = {name for name, p in host.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert plain == ours


@pytest.mark.parametrize(("groups", "inner"), [(1, 1), (3, 1), (2, 2)])
def test_albert_with_any_number_of_groups(groups, inner, batch):
    host = make_host("albert", num_hidden_groups=groups, inner_group_num=inner)
    layers = 3 * inner
    assert layers_of(host.config) == layers
    model = ShortenedModel(host, described((16,) * layers, 16)).eval()
    assert torch.allclose(model(**batch).logits, host(**batch).logits, atol=1e-4)


@pytest.mark.parametrize("changes", [{"classifier_pooling": "mean"}, {"global_attn_every_n_layers": 1}])
def test_modernbert_pooling_and_windows(changes, batch):
    host = make_host("modernbert", **changes)
    model = ShortenedModel(host, FULL).eval()
    assert torch.allclose(model(**batch).logits, host(**batch).logits, atol=1e-4)


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_losses_equal_plain_transformers(problem, batch):
    host = make_host(problem_type=problem, num_labels=1 if problem == "regression" else 3)
    batch["labels"] = torch.rand(4) if problem == "regression" else torch.randint(0, 2, (4, 3)).float()
    ours = ShortenedModel(host, FULL).eval()(**batch)
    assert torch.allclose(ours.loss, host(**batch).loss, atol=1e-5)


def test_token_types_and_loss_equal_plain_transformers(host, batch):
    batch |= {"token_type_ids": (torch.arange(16) > 7).long().expand(4, -1), "labels": torch.tensor([0, 1, 1, 0])}
    plain, ours = host(**batch), ShortenedModel(host, FULL).eval()(**batch)
    assert torch.allclose(plain.logits, ours.logits, atol=1e-5)
    assert torch.allclose(plain.loss, ours.loss, atol=1e-5)


def masked_reference(host, ids, mask):
    """Logits of the shortened model without shortening anything.

    Eliminated word-vectors stay in the tensors and are masked as keys and as queries whose
    attention counts. Written against the paper's definitions with plain tensor operations.
    """
    alive = mask.bool().clone()
    x = host.bert.embeddings(input_ids=ids)
    for layer, keep in zip(host.bert.encoder.layer, LENGTHS, strict=True):
        att = layer.attention

        def heads(t):
            return t.view(*t.shape[:2], 4, 8).transpose(1, 2)

        q, k, v = heads(att.self.query(x)), heads(att.self.key(x)), heads(att.self.value(x))
        weights = (q @ k.transpose(-1, -2) / 8**0.5).masked_fill(~alive[:, None, None], -1e30).softmax(-1)
        context = (weights @ v).transpose(1, 2).reshape(x.shape)
        score = (weights * alive[:, None, :, None]).sum(dim=(1, 2))
        for b in range(len(x)):
            rest = [w for w in torch.argsort(score[b], descending=True).tolist() if alive[b, w] and w != 0]
            alive[b] = False
            alive[b, [0, *rest[: keep - 1]]] = True
        x = att.output.LayerNorm(x + att.output.dense(context))
        x = layer.output.LayerNorm(x + layer.output.dense(layer.intermediate(x)))
    return host.classifier(host.bert.pooler(x)), alive


def test_shortened_equals_masked_reference(host, batch):
    expected, alive = masked_reference(host, batch["input_ids"], batch["attention_mask"])
    model = ShortenedModel(host, described(LENGTHS, 16)).eval()
    assert torch.allclose(model(**batch).logits, expected, atol=1e-5)
    kept = model.kept_positions(**batch)
    assert [tuple(k.shape) for k in kept] == [(4, 8), (4, 5), (4, 2)]
    for b in range(4):
        assert sorted(p for p in kept[-1][b].tolist() if p >= 0) == alive[b].nonzero().flatten().tolist()


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


def test_soft_extract_shields_cls_unless_told(host):
    with_shield, without = (SoftExtractModel(host, described(None, 16), shield=s) for s in (True, False))
    for model in (with_shield, without):
        model.shrink_(torch.full((3,), 2.0))
        model.clip_()
    assert with_shield.retention_parameters[:, 0].tolist() == [1.0] * 3
    assert without.retention_parameters[:, 0].tolist() == [0.0] * 3


def test_soft_extract_with_zeros_differs_and_r_gets_a_gradient(host, batch):
    model = SoftExtractModel(host, described(None, 16)).eval()
    with torch.no_grad():
        model.retention_parameters[:, 3:] = 0
    out = model(**batch, labels=torch.tensor([0, 1, 0, 1]))
    assert not torch.allclose(out.logits, host(**batch).logits, atol=1e-3)
    out.loss.backward()
    assert model.retention_parameters.grad.abs().sum() > 0


def test_state_dict_keys_stay_those_of_the_host(host):
    ours = ShortenedModel(host, described(LENGTHS, 16)).state_dict()
    assert {key.removeprefix("host.") for key in ours} == set(host.state_dict())


def test_configuration_that_does_not_fit(host):
    with pytest.raises(RetentionError, match="2 lengths, the model has 3 layers"):
        ShortenedModel(host, described((8, 5), 16))


def test_unsupported_family_lists_the_supported_ones():
    with pytest.raises(UnsupportedModelError, match="'gpt2' is not supported; supported families: albert, bert,"):
        foreign = GPT2ForSequenceClassification(GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=9))
        ShortenedModel(foreign, described((1,), 8))


def test_usable_positions():
    assert usable_positions(BertConfig()) == 512
    assert usable_positions(RobertaConfig(max_position_embeddings=514)) == 512


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_equals_cpu(host, batch):
    model = ShortenedModel(host, described(LENGTHS, 16)).eval()
    expected = model(**batch).logits
    moved = model.cuda()(**{name: tensor.cuda() for name, tensor in batch.items()}).logits
    assert torch.allclose(moved.cpu(), expected, atol=1e-3)


def test_answers_follow_weights_that_change_after_the_first(host, batch):
    """Query, key and value are joined for inference; what is joined is never out of date."""
    model = ShortenedModel(host, described(LENGTHS, 16)).eval()

    def both():
        with torch.no_grad():
            fast = model(**batch).logits
        return fast, model(**batch).logits.detach()  # with gradient nothing is joined

    first = both()
    assert torch.allclose(*first, atol=1e-5)
    with torch.no_grad():
        host.bert.encoder.layer[1].attention.self.key.weight.mul_(-1)
    changed = both()
    assert torch.allclose(*changed, atol=1e-5) and not torch.allclose(changed[0], first[0], atol=1e-3)
    other = make_host(initializer_range=0.2)
    host.load_state_dict(other.state_dict())
    assert torch.allclose(*both(), atol=1e-5)
    assert model.double()(**batch).logits.dtype == torch.float64
    assert torch.allclose(*both(), atol=1e-9)


@pytest.mark.parametrize("protected", [(), (7, 11)])
@pytest.mark.parametrize("family", FAMILIES)
def test_steep_soft_thresholds_are_the_hard_ones(family, protected, batch):
    """Survivors compete with survivors only: the counts of each layer, and the logits."""
    thresholds = (0.7, 0.9, 1.0)
    elimination = described(None, 16, "threshold", protected_tokens=protected)
    soft = SoftThresholdModel(make_host(family), elimination, temperature=1e-6).eval()
    hard = ShortenedModel(make_host(family), replace(elimination, retention=Thresholds(thresholds))).eval()
    with torch.no_grad():
        soft.retention_parameters.copy_(-torch.tensor(thresholds)[:, None])
        logits = soft(**batch).logits
        kept = [(positions >= 0).sum(-1).float().mean().item() for positions in hard.kept_positions(**batch)]
        assert torch.stack(soft.counts).tolist() == pytest.approx(kept, abs=1e-4)
        assert torch.allclose(logits, hard(**batch).logits, atol=1e-4)
    assert 10 > kept[0] > kept[1] > kept[2] > 1  # each layer drops some, of what is left


def test_masses_of_thresholds_are_a_running_mean_over_training_inputs(batch):
    """Two batches of one input and of three weigh 1 to 3; what is evaluated between them does not count.

    All word-vectors survive, so the mean is that of the lengths.
    """
    model = SoftThresholdModel(make_host(), described(None, 16, "threshold")).train()
    model({name: part[:1] for name, part in batch.items()}["input_ids"])  # 16 word-pieces
    assert model.masses().tolist() == [16.0] * 3
    model.eval()(**batch)
    model.train()(**{name: part[1:] for name, part in batch.items()})  # 9, 3 and 12
    assert model.masses().tolist() == pytest.approx([(16 + 9 + 3 + 12) / 4] * 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_input_without_word_pieces_has_a_finite_answer_and_changes_no_other(family, batch):
    model = ShortenedModel(make_host(family), described(LENGTHS, 16)).eval()
    filled = {"input_ids": batch["input_ids"].clone(), "attention_mask": batch["attention_mask"].clone()}
    filled["input_ids"][2], filled["attention_mask"][2] = 1, 0
    others = [0, 1, 3]
    with torch.no_grad():
        logits = model(**filled).logits
        assert logits.isfinite().all()
        assert torch.allclose(logits[others], model(**batch).logits[others], atol=1e-4)


@pytest.mark.parametrize("elimination", [described(None, 16, "none"), FULL, described(LENGTHS, 16)])
def test_inputs_that_cannot_be_answered_are_refused(elimination, batch):
    host = make_host()
    models = [ShortenedModel(host, elimination), SoftExtractModel(host, described(None, 16))]
    for model in models:
        with pytest.raises(ValueError, match="17 word-pieces exceed ℓ=16 of this model; cut inputs with truncation"):
            model.eval()(torch.ones(1, 17, dtype=torch.long))
        with pytest.raises(ValueError, match="an input begins with padding; pad on the right"):
            model.eval()(batch["input_ids"], batch["attention_mask"].flip(1))
