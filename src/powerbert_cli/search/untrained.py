"""Searches that train nothing: greedy calibration and evolution, under a target."""

import logging
from dataclasses import dataclass

import torch

from .judges import Judge
from .space import Shares, Space, unreachable

log = logging.getLogger(__name__)

LEVELS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.42, 0.35, 0.29, 0.24, 0.2, 0.16, 0.13, 0.1, 0.08, 0.06, 0.04, 0.02, 1e-4)


@dataclass(frozen=True)
class Tried:
    """A configuration that a search looked at: its shares, its cost and how much it harms."""

    shares: Shares
    cost: float
    harm: float


def calibrate(space: Space, judge: Judge, target: float) -> tuple[Shares, list[Tried]]:
    """Greedy: from keeping everything, lowers the layer that harms least for what it saves, until the target is met.

    A layer's last known ratio stands for it until it comes up first and is judged anew (lazy
    greedy), which spares most judgements.

    Args:
        target: share of the plain model's cost.

    Returns:
        The shares, fitted to the target, and the way there.

    Raises:
        ValueError: if the target cannot be reached.
    """
    layers = space.budget.layers
    levels = [0] * layers
    if space.budget.ends_in_first:  # the last layer keeps [CLS] alone in any case
        levels[-1] = len(LEVELS) - 1
    start = tuple(LEVELS[level] for level in levels)
    here = Tried(start, space.cost(start), 0.0)
    way = [here]
    known: dict[int, float] = {}
    while here.cost > target:
        fresh: dict[int, tuple[list[int], Tried]] = {}
        while True:
            for j in range(layers):
                if j not in known and levels[j] + 1 < len(LEVELS):
                    fresh[j] = _lowered(space, judge, levels, j)
                    known[j] = _ratio(here, fresh[j][1])
            if not known:
                raise ValueError(unreachable(target, here.cost))
            best = min(known, key=lambda j: known[j])
            if best in fresh:
                break
            del known[best]  # of an earlier configuration: judge it anew
        levels, here = fresh[best]
        way.append(here)
        log.info("calibrate: cost %.3f, harm %.4g, %d configurations judged", here.cost, here.harm, judge.calls)
        del known[best]
        known = {j: ratio for j, ratio in known.items() if levels[j] + 1 < len(LEVELS)}
    return _last_step(space, way, target), way


def _lowered(space: Space, judge: Judge, levels: list[int], j: int) -> tuple[list[int], Tried]:
    """Layer j one level down, and later layers that would keep more."""
    lower = [max(level, levels[j] + 1) if k >= j else level for k, level in enumerate(levels)]
    shares = tuple(LEVELS[level] for level in lower)
    return lower, Tried(shares, space.cost(shares), judge(space.elimination(shares)))


def _ratio(here: Tried, there: Tried) -> float:
    """Harm for what is saved."""
    return (there.harm - here.harm) / max(here.cost - there.cost, 1e-9)


def _last_step(space: Space, way: list[Tried], target: float) -> Shares:
    """Between the last two configurations of the way, where the target is just met."""
    if len(way) == 1:
        return way[0].shares
    before, after = way[-2].shares, way[-1].shares
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if space.cost(_mix(before, after, middle)) <= target else (middle, high)
    return _mix(before, after, high)


def _mix(one: Shares, other: Shares, how_far: float) -> Shares:
    return tuple(a + how_far * (b - a) for a, b in zip(one, other, strict=True))


def evolve(
    space: Space, judge: Judge, target: float, population: int, generations: int, seed: int
) -> tuple[Shares, list[Tried]]:
    """Evolution: configurations that just meet the target, varied and crossed, the least harmful kept.

    As the search over drop ratios of Kim and Cho, "Length-Adaptive Transformer" (2021), with the
    divergence from the model's own full-length answers in place of dev accuracy.

    Args:
        target: share of the plain model's cost.
        population: configurations in a generation; a quarter of them are parents.

    Returns:
        The best shares, and all that were tried.

    Raises:
        ValueError: if the target cannot be reached.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = space.budget.layers
    known: dict[tuple[float, ...], Tried] = {}

    def tried(shares: Shares) -> Tried:
        fitted = tuple(round(share, 4) for share in space.fitted(shares, target))
        if space.budget.ends_in_first:  # as in `calibrate`
            fitted = (*fitted[:-1], LEVELS[-1])
        if fitted not in known:
            known[fitted] = Tried(fitted, space.cost(fitted), judge(space.elimination(fitted)))
        return known[fitted]

    def uniform() -> float:
        return float(torch.rand((), generator=generator))

    def drawn() -> Shares:
        return tuple(sorted((uniform() for _ in range(layers)), reverse=True))

    def child(parents: list[Tried]) -> Shares:
        one, other = (parents[int(uniform() * len(parents))].shares for _ in range(2))
        crossed = _mix(one, other, uniform())
        return tuple(sorted((share ** (2 ** (uniform() - 0.5)) for share in crossed), reverse=True))

    straight = tuple(1 - (j + 0.5) / layers for j in range(layers))
    people = [tried(straight), *(tried(drawn()) for _ in range(population - 1))]
    for generation in range(generations):
        people = sorted(set(people), key=lambda person: person.harm)
        parents = people[: max(2, population // 4)]
        log.info("evolution: generation %d/%d, least harm %.4g", generation, generations, parents[0].harm)
        people = [*parents, *(tried(child(parents)) for _ in range(population - len(parents)))]
    return min(people, key=lambda person: person.harm).shares, list(known.values())
