import pytest
import torch
from hosts import FAMILIES, described, make_host
from transformers import BertConfig, GPT2Config, GPT2ForSequenceClassification, RobertaConfig

from powerbert_cli.encoder.families import UnsupportedModelError, layers_of, usable_positions
from powerbert_cli.encoder.searching import SoftExtractModel, SoftThresholdModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.retention import RetentionError

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
