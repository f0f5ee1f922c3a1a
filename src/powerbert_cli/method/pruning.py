"""Which heads and neurons matter, and what is left when some go: gradients, R2, D2, variance, least squares.

Head-Prune is Michel, Levy and Neubig, "Are Sixteen Heads Really Better than One?" (2019); KCM is Nova, Dai and
Schuurmans, "Gradient-Free Structured Pruning with Unlabeled Data" (2023); the scaling Kwon et al., "A Fast
Post-Training Pruning Framework for Transformers" (2022).

Legend: T word-pieces, N neurons, K kept ones, D hidden. W2 is (N, D): row i is what neuron i adds to the output.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SIGMA = 1.0  # width of the kernel, as published
ALPHA = 0.01  # R2 stops where C changes by no more
_MOST_STEPS = 200
_RIDGE = 0.01  # of the mean of the diagonal: how far refitted weights are held to what they were
_WILDEST = 10.0  # of Kwon's scales


@dataclass
class Moments:
    """Of the neurons' activations over word-pieces.

    Attributes:
        count: word-pieces. total, squares: sums (N,), float64.
    """

    count: int
    total: Tensor
    squares: Tensor

    @classmethod
    def none(cls, neurons: int) -> "Moments":
        return cls(0, torch.zeros(neurons, dtype=torch.float64), torch.zeros(neurons, dtype=torch.float64))

    def add(self, activations: Tensor) -> None:
        """Activations (T, N) of real word-pieces."""
        given = activations.double().cpu()
        self.count += len(given)
        self.total += given.sum(dim=0)
        self.squares += given.square().sum(dim=0)

    @property
    def mean(self) -> Tensor:
        return self.total / self.count

    @property
    def rms(self) -> Tensor:
        return (self.squares / self.count).sqrt()

    @property
    def variance(self) -> Tensor:
        return (self.squares / self.count - self.mean.square()).clamp(min=0)


def r2(w2: Tensor, steps: int = 1, stop: str = "steps") -> Tensor:
    """How far each neuron's row of W2 is an extreme point of them all: diag(C) of KCM's Algorithm 2, (N, D) → (N,).

    One step has a closed form, 1 / sqrt(N Σ_j K_ij). In it the order is that of the rows' norms, nearly.

    Args:
        steps: of the multiplicative rule C ← C ∘ sqrt(K / KC), with stop=steps.
        stop: steps; signed, the printed rule ΔC / ΣC ≤ α, which holds after one step always; magnitude, the same of
            |ΔC|, the one reading in which layers take several steps.
    """
    kernel = torch.exp(-(torch.cdist(w2.double(), w2.double()) ** 2) / SIGMA**2)
    if stop == "signed" or (stop == "steps" and steps == 1):
        return 1 / (len(w2) * kernel.sum(dim=1)).sqrt()
    c = torch.full_like(kernel, 1 / len(w2))
    for _ in range(steps if stop == "steps" else _MOST_STEPS):
        product = kernel @ c
        after = c * torch.where(product > 0, kernel / product, 0.0).sqrt()  # 0 / 0 of an isolated neuron is 0
        change, c = float((after - c).sum().abs() / c.sum()), after
        if stop == "magnitude" and change <= ALPHA:
            break
    return c.diagonal()


def by_r2d2(w2: Tensor, moments: Moments, steps: int = 1, stop: str = "steps") -> Tensor:
    """KCM's score, R2 · D2: D2 is the root mean square of the activation over the layer's l2 norm, (N,).

    The published D2 is the signed mean, by which R2 turns round where it is negative, as GELU's is for most neurons.
    """
    d2 = moments.rms
    return r2(w2, steps, stop).cpu() * d2 / d2.norm().clamp(min=1e-30)


def by_variance(w2: Tensor, moments: Moments) -> Tensor:
    """What is lost with a neuron whose mean is added to the bias: Var[h] · ‖W2_i‖², (N,)."""
    return moments.variance * w2.double().cpu().square().sum(dim=1)


def by_magnitude(w2: Tensor) -> Tensor:
    """‖W2_i‖, (N,)."""
    return w2.double().cpu().norm(dim=1)


def sensitivity(values: Tensor, gradients: Tensor, parts: int, owner: Tensor | None = None) -> Tensor:
    """How much a loss would change if a head, or a neuron, gave nothing: |x · ∂L/∂x|, summed (Head-Prune, equation 2).

    Args:
        values, gradients: (T, P·S), of each word-piece P parts of size S: heads of what attention gives, or neurons.
        owner: (T,) int64, the input of each word-piece: then as printed, the absolute value of each input's sum; None
            for what the authors' code does, that of each word-piece.

    Returns:
        (P,) float64.
    """
    dots = (values.double() * gradients.double()).unflatten(-1, (parts, -1)).sum(dim=-1)
    if owner is not None:
        dots = dots.new_zeros(int(owner.max()) + 1, parts).index_add(0, owner, dots)
    return dots.abs().sum(dim=0).cpu()


def of_all_layers(scores: Sequence[Tensor], keep: int, least: int, multiple: int = 1) -> list[Tensor]:
    """The best `keep` of all layers together, by layer, ascending; of equal ones the earlier.

    Args:
        scores: of each layer (P,). They are compared as they are.
        least: that each layer keeps in any case.
        multiple: in blocks of so many, the best ones of a layer in its first block.
    """
    order = [torch.sort(own, descending=True, stable=True).indices for own in scores]
    rank, layer, block = [], [], []
    for j, (own, by_rank) in enumerate(zip(scores, order, strict=True)):
        for b, part in enumerate(own[by_rank].split(multiple)):
            rank.append(math.inf if b * multiple < least else float(part.mean()))
            layer.append(j)
            block.append(b)
    best = sorted(range(len(rank)), key=lambda i: -rank[i])
    counts, left = [0] * len(scores), keep
    for i in best:
        size = min(multiple, len(scores[layer[i]]) - block[i] * multiple)
        if size <= left:
            counts[layer[i]] += size
            left -= size
    return [by_rank[:count].sort().values for by_rank, count in zip(order, counts, strict=True)]


def kept(scores: Tensor, keep: int) -> Tensor:
    """The neurons of the highest scores, ascending, of equal ones the earlier: (N,) → (K,)."""
    return torch.sort(scores, descending=True, stable=True).indices[:keep].sort().values


def scales(gram: Tensor, cross: Tensor, w2: Tensor, damp: float = 1.0) -> Tensor | None:
    """Kwon's scales of the kept neurons: min_s ‖Σ_i s_i h_i W2_i - B‖², with s = 1 + x and x damped.

    Args:
        gram: HᵀH (K, K). cross: HᵀB (K, D). w2: (K, D).
        damp: as published.

    Returns:
        (K,); None where one of them leaves [-10, 10], at which the published procedure stops.
    """
    a = (w2.double() @ w2.double().T) * gram.double()
    b = (cross.double() * w2.double()).sum(dim=1)
    rest = b - a.sum(dim=1)
    found = 1 + torch.linalg.solve(a.T @ a + damp**2 * torch.eye(len(a), dtype=a.dtype, device=a.device), a.T @ rest)
    return None if bool((found.abs() > _WILDEST).any()) else found.to(w2)


def refitted(gram: Tensor, cross: Tensor, w2: Tensor) -> Tensor:
    """W2 of the kept neurons anew, by least squares: min ‖H W - B‖² + λ‖W - W2‖², (K, D).

    Args: as of `scales`.
    """
    ridge = _RIDGE * gram.double().diagonal().mean()
    left = gram.double() + ridge * torch.eye(len(gram), dtype=torch.float64, device=gram.device)
    right = cross.double() + ridge * w2.double()
    return torch.linalg.solve(left, right).to(w2)


def width_for(share: float, cost: Callable[[int], float], neurons: int, multiple: int) -> int:
    """The most neurons whose cost is within a share of that of all; a multiple, if that leaves any.

    Args:
        cost: neurons of a layer → cost of the model.

    Raises:
        ValueError: without any neuron it costs more; names the lowest share.
    """
    low = cost(0) / cost(neurons)
    if share < low:
        raise ValueError(f"without any feed-forward neuron it still costs {math.ceil(1000 * low) / 1000:g}")
    width = math.floor((share * cost(neurons) - cost(0)) / (cost(neurons) - cost(0)) * neurons + 1e-9)
    return max(1, width // multiple * multiple if width >= multiple else width)
