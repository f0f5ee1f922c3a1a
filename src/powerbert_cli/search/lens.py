"""What a word-vector that is dropped could still say, after a re-training, to a head that reads all.

Untrained, such a head takes a state of an early layer for one of the last, and a word that is dropped in the last
layer looks as bad as one that is dropped in the first. So states are first turned into those of the last layer by a
linear map for each layer, fitted on unlabelled examples (the tuned lens of Belrose et al., 2023): what is left of the
difference is what the layers in between would have added.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..encoder.inputs import real_mask
from ..encoder.shortened import ShortenedModel

_RIDGE = 0.1  # of the mean square of an entry: the fewer examples, the nearer a map stays to the state as it is


class Lens:
    """
    Args:
        model: whose head reads all.
        batches: inputs on its device, other ones than what is judged on.
    """

    def __init__(self, model: ShortenedModel, batches: Sequence[dict[str, Tensor]]) -> None:
        self.model = model
        self._maps = _fitted(model, batches)

    @torch.no_grad()
    def logits(self, batch: dict[str, Tensor]) -> Tensor:
        """The model's answers with each dropped word-vector's last state turned into one of the last layer."""
        states, mask, left = self.model.restored(**batch)
        for layers, own in enumerate(self._maps):
            which = left == layers
            states[which] = _turned(states[which], own)
        return self.model.logits_of(states, mask).float()


def _turned(states: Tensor, own: Tensor) -> Tensor:
    """States (T, D) by a map (D + 1, D) of what is added to them."""
    return (states.float() + states.float() @ own[:-1] + own[-1]).to(states.dtype)


@torch.no_grad()
def _fitted(model: ShortenedModel, batches: Sequence[dict[str, Tensor]]) -> list[Tensor]:
    """For the states after 0, 1 … L - 1 layers what is to be added to them, by ridge regression, (D + 1, D) each."""
    squares: list[Tensor] = []
    products: list[Tensor] = []
    with model.eliminating(model.elimination.keeping_all()):
        for batch in batches:
            found = model(**batch, output_hidden_states=True).hidden_states
            mask = real_mask(batch.get("attention_mask"))
            *before, wanted = (_real(states, mask) for states in found)
            for layers, own in enumerate(before):
                given = torch.cat([own, own.new_ones(len(own), 1)], dim=1)
                if len(squares) == layers:
                    squares.append(own.new_zeros(given.shape[1], given.shape[1]))
                    products.append(own.new_zeros(given.shape[1], own.shape[1]))
                squares[layers] += given.T @ given
                products[layers] += given.T @ (wanted - own)
    return [_solved(square, product) for square, product in zip(squares, products, strict=True)]


def _real(states: Tensor, mask: Tensor | None) -> Tensor:
    """The word-vectors of (B, N, D) that are no padding, (T, D)."""
    return (states.flatten(0, 1) if mask is None else states[mask[:, : states.shape[1]]]).double()


def _solved(square: Tensor, product: Tensor) -> Tensor:
    ridge = _RIDGE * square.diagonal().mean()
    return torch.linalg.solve(square + ridge * torch.eye(len(square)).to(square), product).float()
