"""The paper's studies of a fine-tuned model: Figure 2, Figure 3b and Table 3."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import datasets
import numpy as np
import pandas as pd
import torch

from ..encoder.inputs import flat
from ..encoder.studying import StudiedModel
from ..errors import PowerbertError
from ..kinds.classification import Classification
from ..method.elimination import draw_random_order, from_keys, to_keys
from ..stages.retrain import better, predictions
from ..stages.run import Run
from ..store.stages import Stage
from ..tasks.batches import answers, in_length_order
from ..tasks.information import mutual_information
from ..tasks.metrics import METRICS, interval, paired_drop, undefined_on

log = logging.getLogger(__name__)
STRATEGIES = ("attention", "head", "random")  # Attn-WS, Head-WS, Rand-WS


def study(job: Run[Any]) -> pd.DataFrame:
    """The study `settings.name`, as a table; see `similarity`, `information` and `selection`."""
    studies = {"similarity": similarity, "information": information, "selection": selection}
    return studies[job.settings.name](job)


def similarity(job: Run[Any]) -> pd.DataFrame:
    """How alike the word-vectors of an input are after each layer (Figure 2).

    Returns:
        layer (0 the embeddings), cosine: the mean over the pairs of an input's word-vectors, then over inputs, with
        its 95% interval (low, high), and inputs: how many, of two word-vectors or more.
    """
    rows = _few(job, longer_than=1)
    model, pad = _studied(job), job.context.material.collator("max")
    batches = in_length_order(rows, job.settings.batch_size, pad, job.context.device)
    with torch.inference_mode():
        inputs = ({name: flat(tensor) for name, tensor in batch.items()} for batch in batches)
        found = torch.cat([model.similarity(**batch) for batch in inputs], dim=1).cpu().numpy()
    mean, half = found.mean(axis=1), 1.96 * found.std(axis=1, ddof=1) / np.sqrt(found.shape[1])
    return pd.DataFrame(
        {"layer": range(len(mean)), "cosine": mean, "low": mean - half, "high": mean + half, "inputs": found.shape[1]}
    )


def information(job: Run[Any]) -> pd.DataFrame:
    """What the answers lose without one word-vector: of layer j that of rank k by significance (Figure 3b).

    Only inputs that have all of these ranks are looked at, so that all figures are of the same ones. What the last
    layer drops changes no answer where the head reads [CLS] alone, so that it is left out there.

    Returns:
        layer, rank (1 the most significant beside [CLS]), information: the mutual information of the model's predicted
        classes with and without it, in nats, with its 95% interval (low, high); entropy: what it is if nothing is
        lost; changed: share of the inputs with another class; token and its share: what is of this rank most often;
        inputs.

    Raises:
        PowerbertError: the task has no classes, or no input is long enough.
    """
    settings, task = job.settings, job.settings.task
    if not isinstance(task.of_kind, Classification):
        raise PowerbertError(f"name=information: task.kind={task.kind} predicts no classes; take name=similarity")
    rows, model, pad = _few(job, longer_than=settings.study.ranks), _studied(job), job.context.material.collator("max")

    def classes(without: tuple[int, int] | None) -> np.ndarray:
        model.without = without
        found: np.ndarray = answers(model, rows, pad, settings.batch_size, job.context.device).logits.argmax(axis=-1)
        return found

    whole, found, tokens = classes(None), [], _most_often(job, model, rows)
    entropy = mutual_information(whole, whole)[0]
    for j in range(model.layers - 1 if model.ends_in_first else model.layers):
        log.info("study: layer %d of %d", j + 1, model.layers)
        for rank in range(1, settings.study.ranks + 1):
            other = classes((j, rank))
            value, low, high = mutual_information(whole, other)
            changed = float(np.mean(whole != other))
            found.append((j + 1, rank, value, low, high, entropy, changed, *tokens[j][rank - 1], len(rows)))
    columns = ["layer", "rank", "information", "low", "high", "entropy", "changed", "token", "share", "inputs"]
    return pd.DataFrame(found, columns=columns)


def _most_often(job: Run[Any], model: StudiedModel, rows: datasets.Dataset) -> list[list[tuple[str, float]]]:
    """By layer and rank, the token that has it most often, with its share of the inputs; of pictures the position."""
    counts = [[Counter[int]() for _ in range(job.settings.study.ranks)] for _ in range(model.layers)]
    pad, given = job.context.material.collator("max"), job.settings
    words = job.context.material.kind.MEDIUM is None
    with torch.inference_mode():
        for batch in in_length_order(rows, given.batch_size, pad, job.context.device):
            inputs = {name: flat(tensor) for name, tensor in batch.items()}
            places = model.ranked(given.study.ranks, **inputs)
            for own, at in zip(counts, places, strict=True):
                found = inputs["input_ids"].gather(1, at) if words else at
                for count, ids in zip(own, found.T.tolist(), strict=True):
                    count.update(ids)

    def said(count: Counter[int]) -> tuple[str, float]:
        ((token, times),) = count.most_common(1)
        name = job.context.processor.convert_ids_to_tokens(token) if words else f"position {token}"
        return str(name), times / count.total()

    return [[said(count) for count in own] for own in counts]


def selection(job: Run[Any]) -> pd.DataFrame:
    """Strategies beside each other (Table 3): by attention, the first word-vectors, and random ones.

    Each is re-trained with the same retention configuration, given or searched for attention.

    Returns:
        strategy (plain: with all word-vectors, trained as long), inputs: all, or those longer than
        `study.longer_than`; n, metric with its 95% interval (low, high), and the drop from plain with its own.
    """
    settings, lengths = job.settings, np.asarray(job.context.material.dev["length"])
    retention, start = job.retention(), job.graph.start_of_retraining
    stages: dict[str, Stage] = {"plain": better([job.made(one) for one in job.graph.baselines])}
    order = draw_random_order(settings.seq_len, settings.seed)
    for strategy in STRATEGIES:
        keys = {**to_keys(retention.elimination), "strategy": strategy, "random_order": order}
        own = replace(retention, elimination=from_keys(keys))
        stages[strategy] = job.made(job.graph.retrain(own, start))
    return pd.DataFrame(_compared(settings, stages, lengths))


def _compared(settings: Any, stages: dict[str, Stage], lengths: np.ndarray) -> Iterator[dict[str, object]]:
    metric, limit = settings.task.metric, settings.study.longer_than
    labels, plain = predictions(stages["plain"])
    for name, stage in stages.items():
        for inputs, chosen in (("all", lengths > 0), (f"longer than {limit}", lengths > limit)):
            own, wanted = predictions(stage)[1][chosen], labels[chosen]
            if not chosen.any() or undefined_on(metric, wanted):
                log.warning("study: %s has no meaning on the %d inputs %s", metric, chosen.sum(), inputs)
                continue
            value, (low, high) = METRICS[metric](wanted, own), interval(metric, wanted, own)
            drop = paired_drop(metric, wanted, plain[chosen], own, 0.0)
            lost = METRICS[metric](wanted, plain[chosen]) - value
            yield {
                **{
                    "strategy": name,
                    "inputs": inputs,
                    "n": int(chosen.sum()),
                    "metric": value,
                    "low": low,
                    "high": high,
                },
                **{"drop": lost, "drop_low": drop.low, "drop_high": drop.high},
            }


def _studied(job: Run[Any]) -> StudiedModel:
    return (
        StudiedModel(job.context.host(job.model_dir(job.graph.compressed)), job.settings.seq_len)
        .eval()
        .to(job.context.device)
    )


def _few(job: Run[Any], longer_than: int) -> datasets.Dataset:
    """The first dev inputs of more word-vectors than that.

    Raises:
        PowerbertError: there are none.
    """
    dev = job.context.material.dev
    long = np.flatnonzero(np.asarray(dev["length"]) > longer_than)[: job.settings.study.examples]
    if len(long) < 2:
        raise PowerbertError(
            f"name={job.settings.name}: {len(long)} dev inputs have more than {longer_than} word-pieces, not two"
            + ("; set study.ranks lower" if job.settings.name == "information" else "")
        )
    return dev.select(long)
