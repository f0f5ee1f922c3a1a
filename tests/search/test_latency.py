"""What the latency table times."""

import pytest
from hosts import make_host, ours

from powerbert_cli.encoder.block import PostNormBlock
from powerbert_cli.search import latency


@pytest.mark.parametrize("j", [0, 1, 2])
def test_each_layer_drops_what_its_entry_says(j, monkeypatch):
    """Whatever its place: in a whole model no layer receives more than the one before it lets go on."""
    model, fed = ours(make_host(hidden_dropout_prob=0.0)).eval(), []
    feed_forward = PostNormBlock.feed_forward

    def seen(self, x, training):
        fed.append(len(x))
        return feed_forward(self, x, training)

    def rows_of(work, device, seconds):
        fed.clear()
        work()
        return fed[-1]

    monkeypatch.setattr(PostNormBlock, "feed_forward", seen)
    monkeypatch.setattr(latency, "best_seconds", rows_of)
    grid, batch = [4, 8, 16], 3
    seconds, plain, first = latency._measure(model, j, grid, batch)
    for a in range(3):
        assert seconds[a, : a + 1].tolist() == [batch * kept for kept in grid[: a + 1]]
    assert plain.tolist() == [batch * n for n in grid] and first.tolist() == [batch] * 3
