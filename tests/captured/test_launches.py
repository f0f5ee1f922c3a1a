"""How many kernels a pass launches, and that it waits for none, without a GPU."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

from powerbert_cli.bench.launches import LaunchCounter
from powerbert_cli.captured.model import CapturedModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import Elimination
from powerbert_cli.method.retention import Fractions, Lengths, Thresholds

# The device `meta` has no values: a pass that asked for one would fail.


def launched(family, layers, retention, sizes, auto=AutoModelForSequenceClassification):
    size = "n_layers" if family == "distilbert" else "num_hidden_layers"
    more = {"global_attn_every_n_layers": 2} if family == "modernbert" else {}
    with torch.device("meta"):
        config = AutoConfig.for_model(family, **{size: layers}, max_position_embeddings=600, **more)
        host = auto.from_config(config).eval()
    run = CapturedModel(ShortenedModel(host, Elimination(retention, 512)).eval()).rehearsal(sizes)
    with torch.inference_mode(), LaunchCounter() as counter:
        run()
    return counter.total


@pytest.mark.parametrize("longest", [120, 400])
@pytest.mark.parametrize("kind", ["lengths", "fractions", "thresholds"])
@pytest.mark.parametrize("family", ["bert", "modernbert", "mpnet"])
def test_a_layer_is_at_most_twelve_launches_and_no_wait(family, kind, longest):
    def of(layers):
        values = {
            "lengths": Lengths(tuple(longest - 8 * (j + 1) for j in range(layers))),
            "fractions": Fractions(tuple(0.95 - 0.05 * j for j in range(layers))),
            "thresholds": Thresholds(tuple(0.3 + 0.1 * j for j in range(layers))),
        }
        return launched(family, layers, values[kind], torch.tensor([longest, longest // 2, 30]))

    assert (of(8) - of(4)) / 4 <= 12


def test_a_tagger_launches_one_more_a_layer():
    retention, sizes = (
        {n: Lengths(tuple(120 - 8 * j for j in range(1, n + 1))) for n in (4, 8)},
        torch.tensor([120, 60]),
    )
    few, more = (launched("bert", n, retention[n], sizes, AutoModelForTokenClassification) for n in (4, 8))
    assert (more - few) / 4 == 11


def test_asking_for_a_value_would_be_found():
    x = torch.ones(3, device="meta")
    with LaunchCounter() as counter:
        (x + 1).view(3, 1)
        assert dict(counter.launched) == {"add": 1}
        with pytest.raises(Exception, match="meta|Meta"):
            bool((x > 0).any())
        with pytest.raises(Exception, match="meta|Meta"):
            x.nonzero()
