"""powerbert study: by hand, and as whole commands."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hosts import described, make_host
from small import SMALL, newest

from powerbert_cli.cli import dispatch
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.encoder.studying import StudiedModel
from powerbert_cli.method.similarity import mean_cosine
from powerbert_cli.tasks import information
from powerbert_cli.tasks.information import mutual_information


def test_mean_cosine_by_hand():
    """Of (1, 0), (0, 2) and (3, 3): 0, 1/√2 and 1/√2; whatever stands at padding."""
    vectors = torch.tensor(
        [[[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [9.0, -9.0]], [[1.0, 0.0], [5.0, 0.0], [0, 0], [0, 0]]]
    )
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]).bool()
    torch.testing.assert_close(mean_cosine(vectors, mask), torch.tensor([2**0.5 / 3, 1.0]).double())
    torch.testing.assert_close(mean_cosine(vectors[:1, :3]), torch.tensor([2**0.5 / 3]).double())


def test_mutual_information_by_hand(monkeypatch):
    """Half and half: ln 2 with itself or its opposite, 0 with what does not depend on it."""
    monkeypatch.setattr(information, "_RESAMPLES", 1000)  # as a command draws them; other tests have fewer
    one = np.array([0, 0, 1, 1] * 25)
    assert mutual_information(one, one)[0] == pytest.approx(math.log(2)) == mutual_information(one, 1 - one)[0]
    value, low, high = mutual_information(one, np.array([0, 1, 0, 1] * 25))
    assert value == pytest.approx(0, abs=1e-9) and 0 <= low <= high < 0.1
    assert mutual_information(one, np.zeros_like(one))[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("family", ["bert", "mpnet", "modernbert"])
def test_without_one_word_vector(family):
    """Keeping all but the last of n is the shortened model of n - 1; a rank that an input does not have is none."""
    host = make_host(family)
    ids = torch.randint(5, 90, (3, 9), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([9, 6, 4])
    mask = (torch.arange(9) < lengths[:, None]).long()
    batch = {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask}
    model = StudiedModel(host, 16).eval()
    with torch.no_grad():
        plain = ShortenedModel(host, described((16, 16, 16), 16)).eval()(**batch).logits
        torch.testing.assert_close(model(**batch).logits, plain)
        model.without = (0, 8)
        last = ShortenedModel(host, described((8, 8, 8), 16)).eval()(**batch).logits
        torch.testing.assert_close(model(**batch).logits, last)
        torch.testing.assert_close(model(**batch).logits[1:], plain[1:])
        model.without = (1, 5)
        _, second, third = model(**batch).logits
        assert not torch.allclose(second, plain[1], atol=1e-6) and torch.allclose(third, plain[2], atol=1e-6)
        # alone or in a batch, the same
        for i, n in enumerate(lengths.tolist()):
            torch.testing.assert_close(model(batch["input_ids"][i : i + 1, :n]).logits[0], model(**batch).logits[i])


def test_ranks_are_those_that_extract_layers_keep():
    """[CLS] and the two of ranks 1 and 2 are what the first layer of a shortened model keeps; batched in any order."""
    host, (mask, ids) = make_host("bert"), (torch.ones(2, 9).long(), torch.randint(5, 90, (2, 9)))
    mask[0, 5:] = 0
    found = StudiedModel(host, 16).eval().ranked(2, ids, mask)
    assert found.shape == (3, 2, 2)
    kept = ShortenedModel(host, described((3, 3, 3), 16)).eval().kept_positions(ids, mask)[0]
    for own, positions in zip(found[0], kept, strict=True):
        assert sorted([0, *own.tolist()]) == positions.tolist()


def test_similarity_is_that_of_the_hosts_hidden_states():
    host = make_host("bert", attention="eager")
    ids = torch.randint(5, 90, (4, 11), generator=torch.Generator().manual_seed(0))
    found = StudiedModel(host, 16).eval().similarity(ids)
    with torch.no_grad():
        states = host(ids, output_hidden_states=True).hidden_states
    for layer, state in zip(found, states, strict=True):
        torch.testing.assert_close(layer, mean_cosine(state), atol=1e-5, rtol=1e-4)


def study(*given: str) -> pd.DataFrame:
    assert dispatch(["study", *SMALL, *given]) == 0
    run = newest("study")
    assert (run / "study.png").stat().st_size > 5_000
    return pd.read_csv(run / "study.csv")


def test_the_studies_as_commands(here, capfd):
    alike = study("name=similarity", "study.examples=20")
    assert alike["layer"].tolist() == [0, 1, 2] and (alike["inputs"] == 20).all()
    assert (alike["low"] < alike["cosine"]).all() and (alike["cosine"] < alike["high"]).all()
    lost = study("name=information", "study.ranks=2")
    assert lost[["layer", "rank"]].values.tolist() == [[1, 1], [1, 2]]  # of layer 2 nothing but [CLS] is read
    assert (lost["information"] <= lost["entropy"] + 1e-9).all() and lost["share"].between(0, 1, "right").all()
    beside = study("name=selection", "retention.lengths=[9,4]", "study.longer_than=12")
    assert beside["strategy"].drop_duplicates().tolist() == ["plain", "attention", "head", "random"]
    assert set(beside["inputs"]) == {"all", "longer than 12"} and (beside["n"] <= 32).all()
    assert beside.loc[beside["strategy"] == "plain", "drop"].eq(0).all()
    assert len(list(Path("outputs/stages").glob("retrain-*"))) == 4  # the plain one trained as long is one of them


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["name=similarty"], "name=similarty is none of similarity, information, selection"),
        (["name=information", "study.ranks=60"], "set study.ranks lower"),
        (["study.ranks=0"], "study.ranks=0 must be at least 1"),
    ],
)
def test_mistakes_are_named(here, capfd, given, said):
    assert dispatch(["study", *SMALL, *given]) == 2
    assert said in capfd.readouterr().err
