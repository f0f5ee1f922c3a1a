"""The engine for a GPU, computed on a CPU: the same passes over the same buffers, without a recording."""

from itertools import pairwise

import pytest
import torch
from compared import compare_all
from hosts import FAMILIES, described, make_host, texts
from passes import HOW, batch_of, expected, ours

from powerbert_cli.captured import forward, recordings
from powerbert_cli.captured.buckets import bucket_of, stepped
from powerbert_cli.captured.forward import Forward
from powerbert_cli.captured.model import CapturedModel, NotCaptured, tried
from powerbert_cli.encoder.plan import bounds_of_layers
from powerbert_cli.encoder.searching import SoftExtractModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import Elimination
from powerbert_cli.method.retention import Fractions, Lengths


@pytest.fixture(autouse=True)
def _nothing_is_left_to_chance():
    """What is not written is NaN, or the largest integer. On a GPU PyTorch would refuse products then."""
    torch.use_deterministic_algorithms(not torch.cuda.is_available())
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_answers_as_the_encoder_does(family, how):
    model = ours(make_host(family), how)
    captured = CapturedModel(model)
    lengths = ((7,), (16, 3, 1, 9, 16), (2, 2, 2), (1,), (5, 12, 11, 4, 8, 16, 3, 3, 2))
    batches = [*texts(False), *(batch_of(own, i, family in ("bert", "electra")) for i, own in enumerate(lengths))]
    for batch in batches:
        assert torch.allclose(captured(**batch).logits, expected(model, batch), atol=3e-5)


def test_multiple_choices_and_means():
    host = make_host(choice=True)
    model, ids = ours(host), torch.randint(5, 90, (3, 4, 9))
    with torch.no_grad():
        assert torch.allclose(CapturedModel(model)(ids).logits, model(ids).logits, atol=3e-5)
    mean = ours(make_host("modernbert", classifier_pooling="mean"))
    batch = batch_of((9, 2, 16, 5))
    assert torch.allclose(CapturedModel(mean)(**batch).logits, expected(mean, batch), atol=3e-5)


@pytest.mark.parametrize("how", ["absolute", "relative", "threshold", "separators"])
def test_a_small_batch_after_a_large_one_answers_as_alone(how):
    model = ours(how=how)
    used, large, small = CapturedModel(model), batch_of((12,) * 16, 1), batch_of((11, 12, *(1,) * 14), 2)
    few = batch_of((3, 1), 3)
    # all that a pass may have left behind: the buffer is that of the large batch
    alone = CapturedModel(model)(**small).logits
    layouts = []
    for one in (large, small, large, few):
        found = used(**one).logits
        assert torch.equal(found, CapturedModel(model)(**one).logits)
        layouts.append(used._planned(one["attention_mask"].sum(-1), model.elimination)[0])
    assert layouts[0].inputs == layouts[1].inputs
    assert torch.isfinite(alone).all()


def test_batches_of_one_bucket_share_its_buffer():
    captured = CapturedModel(ours())
    first = captured.warm_up([batch_of((12,) * 16), batch_of((12,) * 15 + (11,)), batch_of((3, 1))])
    assert first.passes == 2
    assert captured.warm_up([batch_of((12,) * 16)]).passes == 0


def test_beyond_so_many_buckets_nothing_is_recorded_any_more(monkeypatch):
    """A larger one answers if it has room and is no waste; else the pass is computed."""
    monkeypatch.setattr(recordings, "GRAPHS", 2)
    model, built = ours(), []
    captured = CapturedModel(model)
    ready = captured._passes.ready
    monkeypatch.setattr(captured._passes, "ready", lambda *of: built.append(ready(*of)) or built[-1])
    for batch in (batch_of((12,) * 12), batch_of((12, 9)), batch_of((11,) * 10), batch_of((4,) * 30)):
        assert torch.allclose(captured(**batch).logits, expected(model, batch), atol=3e-5)
    assert len(captured._passes) == 2
    assert built[2] is built[0] and built[3] not in built[:2]


@pytest.mark.parametrize(
    "retention",
    [Lengths((40, 17, 17, 5)), Lengths((64,) * 4), Fractions((0.9, 0.51, 0.5, 0.01)), Fractions((1.0, 1.0, 0.33, 0.3))],
)
@pytest.mark.parametrize("ends_in_first", [True, False])
def test_every_batch_fits_into_its_bucket(retention, ends_in_first):
    elimination, generator = Elimination(retention, 64), torch.Generator().manual_seed(0)
    for _ in range(300):
        count = int(torch.randint(1, 40, (1,), generator=generator))
        sizes = torch.randint(1, int(torch.randint(2, 66, (1,), generator=generator)), (count,), generator=generator)
        bucket = bucket_of(elimination, sizes, 4, ends_in_first)
        bounds = bounds_of_layers(elimination, sizes, 4, ends_in_first)
        assert bucket.inputs >= count
        for own, room, longest in zip(bounds, bucket.capacities, bucket.longest, strict=True):
            assert own[-1] <= room
            assert own.diff().max() <= longest
        assert all(room % 64 == 0 for room in bucket.capacities[:4])
        assert all(b <= a for a, b in pairwise(bucket.capacities))


def test_buffers_are_by_an_eighth_larger_at_most():
    for n in range(1, 5000):
        assert n <= stepped(n, 8) <= max(n * 1.125, n + 0.5)
    assert len({stepped(n, 8) for n in range(1024, 2048)}) == 8 + 1
    assert [stepped(n, 1) for n in (1, 2, 3, 17, 128, 129)] == [1, 2, 4, 32, 128, 256]


def test_thresholds_that_keep_more_than_there_is_room_for_are_answered_without_a_graph(monkeypatch):
    model = ours(how="threshold")
    captured, batch = CapturedModel(model), batch_of((16,) * 30)
    assert captured._planned(torch.tensor([16] * 30), model.elimination)[0].capacities == (512, 512, 512, 32)
    captured.warm_up([batch])
    shares = captured._shares
    kept = model.kept_positions(**batch)
    assert shares[1] == pytest.approx(min(1, 1.1 * int((kept[0] >= 0).sum()) / 480), abs=1e-4)
    answers = []
    exact = captured.exact
    monkeypatch.setattr(captured, "exact", lambda *given: answers.append(1) or exact(*given))
    assert torch.allclose(captured(**batch).logits, expected(model, batch), atol=3e-5)
    assert not answers
    captured._shares = (1.0, 0.1, 0.1, 0.1)
    assert torch.allclose(captured(**batch).logits, expected(model, batch), atol=1e-6)
    assert answers


def test_batches_of_few_rows_are_answered_whole_if_one_asks_for_it():
    model = ours()
    captured, small, large = CapturedModel(model, whole_below=40), batch_of((12, 9)), batch_of((12, 9, 16, 5))
    whole = ShortenedModel(model.host, HOW["all"]).eval()
    assert torch.allclose(captured(**small).logits, expected(whole, small), atol=3e-5)
    assert not torch.allclose(expected(model, small), expected(whole, small), atol=1e-3)
    assert torch.allclose(captured(**large).logits, expected(model, large), atol=3e-5)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_an_engine_that_answers_otherwise_here_is_not_taken(family, monkeypatch):
    """Tried on made-up inputs: also where only long inputs are wrong, or what is kept."""
    long = described((90, 40, 9), 200)
    model = ShortenedModel(make_host(family, max_position_embeddings=256), long).eval()
    assert isinstance(tried(model), CapturedModel)
    read, attended, choose = Forward._read, Forward._attended, forward.choose

    def noise(self, layer, h, starts, longest, *others):
        context, sums = attended(self, layer, h, starts, longest, *others)
        for begin, end in pairwise(starts.tolist()):
            if end - begin > 100:
                context[begin:end] = torch.randn(end - begin, context.shape[1])
        return context, sums

    for where, name, wrong, said in (
        (Forward, "_read", lambda *given: read(*given) + 1, "answers otherwise"),
        (Forward, "_read", lambda *given: read(*given) * float("nan"), "answers otherwise"),
        (Forward, "_read", lambda *given: 1 // 0, "fails on this device: integer division"),
        (Forward, "_attended", noise, "answers otherwise"),
        (forward, "choose", lambda scores, *given: choose(torch.rand_like(scores), *given), "answers otherwise"),
    ):
        with monkeypatch.context() as patch, pytest.raises(NotCaptured, match=said):
            patch.setattr(where, name, wrong)
            tried(model)


def test_types_that_are_alike_for_all_inputs_may_be_given_once():
    model, batch = ours(), batch_of((9, 4, 12))
    types = (torch.arange(12) > 5).long().unsqueeze(0)
    found = CapturedModel(model)(**batch, token_type_ids=types).logits
    assert torch.allclose(found, expected(model, {**batch, "token_type_ids": types.expand(3, 12)}), atol=3e-5)


def test_inputs_are_refused_as_the_encoder_refuses_them():
    captured = CapturedModel(ours())
    with pytest.raises(ValueError, match="17 word-pieces exceed ℓ=16"):
        captured(torch.ones(1, 17, dtype=torch.long))
    with pytest.raises(ValueError, match="begins with padding"):
        captured(torch.ones(1, 3, dtype=torch.long), torch.tensor([[0, 1, 1]]))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: ShortenedModel(make_host(), described((9, 5, 2), 16, "merge")), "strategy=merge"),
        (lambda: ShortenedModel(make_host(), described((9, 5, 2), 16, pad_queries=True)), "padding counts"),
        (lambda: ours(make_host(hidden_act="tanh")), "its activation Tanh is none of"),
        (lambda: SoftExtractModel(make_host(), described(None, 16)), "it runs shortened models"),
        (
            lambda: ShortenedModel(make_host(max_position_embeddings=4096), described((9, 5, 2), 4096)).eval(),
            "up to 4096 word-vectors, more than 2048",
        ),
        (lambda: ours().train(), "in training mode"),
        (lambda: ours(make_host("modernbert", local_attention=1)), "attend to themselves alone"),
        (lambda: ours(make_host("electra", choice=True, summary_type="mean")), "averages over all places"),
    ],
)
def test_what_it_does_not_run_is_said(make, why):
    with pytest.raises(NotCaptured, match=why):
        CapturedModel(make())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_kernels_on_a_gpu():
    compare_all("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("how", ["all", "absolute", "relative", "threshold"])
def test_replayed_graphs_answer_as_the_encoder_does(how, flash):
    values = {
        "all": described(None, 300),
        "absolute": described((190, 40, 9), 300),
        "relative": described(None, 300, kind="relative", fractions=(0.7, 0.5, 0.2)),
        "threshold": described(None, 300, "threshold", (0.6, 0.8, 0.9)),
    }
    hosts = [make_host(num_attention_heads=2, max_position_embeddings=512, hidden_act="gelu_new") for _ in range(2)]
    exact = ShortenedModel(hosts[0].to("cuda"), values[how]).eval()
    model = ShortenedModel(hosts[1].to("cuda", torch.float16), values[how]).eval()
    captured = CapturedModel(model, flash)
    batches = [batch_of(own, i) for i, own in enumerate(((300, 200, 9), (5, 2, 60), (130,) * 12, (300, 140, 20)))]
    assert captured.warm_up(batches).passes >= 3
    for batch in [*batches, *reversed(batches)]:
        found = captured(**batch).logits
        on_gpu = {name: one.to("cuda") for name, one in batch.items()}
        assert torch.allclose(found.float(), expected(exact, on_gpu).float(), atol=0.05)
