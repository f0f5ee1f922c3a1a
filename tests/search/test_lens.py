"""Harm to a head that reads all: what is dropped late harms less than what is dropped early."""

import pytest
import torch
from hosts import described, make_host
from transformers import AutoModelForTokenClassification

from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.search.judges import LogitsJudge
from powerbert_cli.search.lens import Lens


@pytest.fixture
def tagger():
    host = make_host(auto=AutoModelForTokenClassification, problem_type=None, num_labels=5)
    return ShortenedModel(host, described(None, 16, kind="relative", fractions=(1.0,) * 3)).eval()


def batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        sizes = torch.randint(4, 17, (8,), generator=generator).sort(descending=True).values
        mask = (torch.arange(int(sizes[0])) < sizes[:, None]).long()
        found.append({"input_ids": torch.randint(5, 90, mask.shape, generator=generator), "attention_mask": mask})
    return found


def shares(*values):
    return described(None, 16, kind="relative", fractions=values).checked(3)


def test_how_many_layers_each_word_vector_left_is_counted(tagger):
    (batch,) = batches(1, 0)
    with tagger.eliminating(shares(1.0, 0.5, 0.2)):
        states, mask, left = tagger.restored(**batch)
        kept = tagger.kept_positions(**batch)
    expected = torch.zeros_like(left)
    for positions in kept:
        for row, own in enumerate(positions.tolist()):
            expected[row, [place for place in own if place >= 0]] += 1
    real = batch["attention_mask"].bool()
    assert torch.equal(left[real], expected[real]) and set(left[real].tolist()) == {1, 2, 3}
    assert states.shape[:2] == real.shape and torch.equal(mask, real)


def test_where_nothing_is_dropped_it_changes_nothing(tagger):
    (batch,) = batches(1, 0)
    lens, real = Lens(tagger, batches(4, 1)), batch["attention_mask"].bool()
    with torch.no_grad():
        assert torch.allclose(lens.logits(batch)[real], tagger(**batch).logits[real], atol=1e-6)


def test_a_map_that_was_fitted_is_applied_to_the_states_of_its_layer(tagger):
    """All words but [CLS] leave after the first layer: they get its state and what is added to that."""
    (batch,) = batches(1, 0)
    lens = Lens(tagger, batches(4, 1))
    with tagger.eliminating(shares(1.0, 1e-4, 1e-4)), torch.no_grad():
        states, mask, left = tagger.restored(**batch)
        found = lens.logits(batch)
    own, dropped = lens._maps[1], left == 1
    states[dropped] += states[dropped] @ own[:-1] + own[-1]
    real = batch["attention_mask"].bool()
    assert int(dropped.sum()) == int(real.sum()) - len(real)
    assert torch.allclose(found[real], tagger.logits_of(states, mask)[real], atol=1e-5)


def test_late_is_less_harm_than_early(tagger):
    """Both drop as many in all."""
    judge = LogitsJudge(tagger, batches(2, 0), "fp32", batches(16, 1))
    late, early = judge(shares(1.0, 0.8, 0.2)), judge(shares(0.67, 0.67, 0.66))
    plain = LogitsJudge(tagger, batches(2, 0), "fp32")
    assert judge(shares(1.0, 1.0, 1.0)) == pytest.approx(0, abs=1e-6) and 0 < late < early
    assert judge(shares(1.0, 0.2, 0.2)) < plain(shares(1.0, 0.2, 0.2))
