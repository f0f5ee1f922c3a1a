"""From settings to stages: frozen inputs that name each other, made without running anything."""

import logging
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..compress.layers import patient_states
from ..compress.sizes import layers_for
from ..encoder.families import layers_of
from ..errors import PowerbertError
from ..method.elimination import Elimination, draw_random_order, from_keys, plain
from ..method.retention import RetentionError
from ..models.loading import host_config
from ..settings import RetrainStage, TargetSettings
from ..settings.composed import CompressedSettings, RetrainedSettings, SearchedSettings
from ..store import retention_file
from ..store.environment import processor
from ..store.retention_file import RetentionFile
from .compress import Compress
from .context import Context
from .finetune import Finetune
from .inputs import Given, Inputs, Source
from .retrain import Bits, Retrain
from .search_bisected import BisectedSearch, Trial
from .search_calibrated import CalibratedSearch
from .search_soft import SoftSearch
from .searching import Search
from .teacher import Teacher

log = logging.getLogger(__name__)


class RetentionSettingError(PowerbertError):
    """A retention configuration that cannot be used with these settings."""


class Graph:
    """The stages of one set of settings.

    Args:
        settings: of a verb; it has the parts that the stages need that are asked for.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        self.settings, self.context = settings, context

    def of(self, settings: Any) -> "Graph":
        """The stages of other settings of the same task, model and fine-tuning."""
        return Graph(settings, self.context.of(settings))

    @staticmethod
    def to_make(source: Any) -> list[Inputs]:
        """What a stage has to be run for: nothing where it was given."""
        return [source] if isinstance(source, Inputs) else []

    @cached_property
    def layers(self) -> int:
        """L of the fine-tuned model."""
        return layers_of(host_config(self.settings.start_model))

    @cached_property
    def layers_left(self) -> int:
        """L of the compressed model."""
        settings: CompressedSettings = self.settings
        return layers_for(settings.compress, self.layers)

    @cached_property
    def finetuned(self) -> Source:
        """The fine-tuned model: the one that was given, or the stage of these settings."""
        if self.settings.checkpoint_dir is not None:
            return Given(self.settings.checkpoint_dir)
        return Finetune.of(self.context)

    @cached_property
    def compressed(self) -> Source:
        """What search and re-training start from: with what `compress.*` removes, or as it is."""
        settings: CompressedSettings = self.settings
        if not settings.compress.given:
            return self.finetuned
        if settings.compress.reads_labels and self.context.taught:
            raise PowerbertError(
                f"compress.heads and compress.score=taylor read labels, task.kind={settings.task.kind} has none to "
                "learn from here; leave compress.heads out and set compress.score=variance"
            )
        return Compress.of(self.context, self.finetuned, settings.compress)

    @cached_property
    def unsearched(self) -> Elimination:
        """How these settings eliminate, before the retention configuration is searched: nothing is dropped yet."""
        return self._protected(from_keys(_keys(self.settings), self.layers_left))

    def _protected(self, elimination: Elimination) -> Elimination:
        settings = self.settings
        wanted = [name for name in ("protect_separators", "protect_first") if getattr(settings, name)]
        separator: Any = getattr(self.context.processor, "sep_token_id", None) if wanted else None
        if wanted and separator is None:
            raise PowerbertError(
                f"{wanted[0]}=true: {settings.task.of_kind.ARE} of this model have no separator; set it to false"
            )
        if settings.protect_first and len(settings.task.text_columns) < 2:
            raise PowerbertError("protect_first=true is for pairs of texts; set it to false")
        return replace(
            elimination,
            protected_tokens=(separator,) if settings.protect_separators else (),
            protected_until=separator if settings.protect_first else None,
        )

    @cached_property
    def searched(self) -> Search:
        """The search of these settings."""
        settings: SearchedSettings = self.settings
        if settings.target.max_drop is None:
            return self._soft() if settings.searcher == "soft" else self._calibrated()
        search = self._soft() if settings.searcher == "soft" else self._calibrated()
        plain_model, longer = self.baselines
        trial = Trial(search, self.retrain(search, self._start_after(search)))
        return BisectedSearch(**self._any_search(trains=True), plain=plain_model, longer=longer, trial=trial)

    def _any_search(self, trains: bool) -> dict[str, Any]:
        settings: SearchedSettings = self.settings
        return {
            **self.context.measured(trains, scores=True),
            "start": self.compressed,
            "whole": self.finetuned,
            "elimination": self.unsearched,
            "target": settings.target,
            "measured_on": self._measured_on(settings.target),
        }

    def _measured_on(self, target: TargetSettings) -> list[Any] | None:
        settings: SearchedSettings = self.settings
        if target.speedup is None and settings.word_vector_cost != "latency":
            return None
        return [self.context.device, processor(), torch.get_num_threads(), settings.precision]

    def _soft(self) -> SoftSearch:
        settings = self.settings
        if self.context.taught:
            raise PowerbertError(
                f"searcher=soft trains with labels, task.kind={settings.task.kind} has none here; set "
                "searcher=calibrate and target.flops"
            )
        return SoftSearch(
            **self._any_search(trains=True),
            weight=settings.regularizer_weight,
            lr_soft=settings.lr_soft,
            regularizer=settings.regularizer,
            shield_cls=settings.variant.shield_cls,
            word_vector_cost=settings.word_vector_cost,
            bins=settings.retention.bins if settings.retention.kind == "relative" else None,
            rounding=settings.variant.rounding,
            stage=settings.search,
        )

    def _calibrated(self) -> CalibratedSearch:
        settings: SearchedSettings = self.settings
        evolves = settings.searcher == "evolutionary"
        return CalibratedSearch(
            **self._any_search(trains=False),
            by=settings.calibrate.by,
            examples=settings.calibrate.examples,
            population=settings.evolutionary.population if evolves else None,
            generations=settings.evolutionary.generations if evolves else None,
        )

    @cached_property
    def retrained(self) -> Retrain:
        """Re-training with the given retention configuration, or the one that the search of these settings finds."""
        return self.retrain(self.retention, self.start_of_retraining)

    @cached_property
    def retention(self) -> RetentionFile | Search:
        """The given retention configuration, or the search of these settings."""
        given = given_retention(self.settings, host_config(self.settings.start_model))
        if given is None:
            return self.searched
        return replace(given, elimination=self._protected(given.elimination))

    @cached_property
    def start_of_retraining(self) -> Source:
        """The compressed model, or with variant.retrain_from=searched what a search ended with."""
        settings: RetrainedSettings = self.settings
        if isinstance(self.retention, Search):
            return self._start_after(self.retention)
        if settings.variant.retrain_from == "searched":
            beside = Path(settings.retention.path).parent / "model" if settings.retention.path else None
            if beside is not None and (beside / "config.json").is_file():
                return Given(beside)
            log.warning(
                "variant.retrain_from=searched, but no search model is at hand; starting from the fine-tuned one"
            )
        return self.compressed

    def _start_after(self, search: Search) -> Source:
        return search if self.settings.variant.retrain_from == "searched" else self.compressed

    def retrain(
        self,
        retention: RetentionFile | Search,
        start: Source,
        stage: RetrainStage | None = None,
        with_bits: bool = True,
    ) -> Retrain:
        """
        Args:
            stage: epochs, learning rate and options, where they are not the settings'.
            with_bits: that the settings give to linear layers.
        """
        options, how = self.settings.compress, stage or self.settings.retrain
        if self.context.taught:
            how = replace(how, distill=1.0)
        return Retrain(
            **self.context.measured(scores=True),
            start=start,
            retention=retention,
            stage=how,
            teacher=self._teacher(how),
            bits=Bits(options=options) if with_bits and options.quantises else None,
        )

    def _teacher(self, stage: RetrainStage) -> Teacher | None:
        if not (stage.distills and stage.epochs):
            return None
        patient = patient_states(self.layers, self.layers_left, stage.patient_layers) if stage.patient else ()
        states = (*patient, *((-1,) if stage.distill_cls else ()))
        precision = self.settings.training.precision
        return Teacher(**self.context.common(), start=self.finetuned, precision=precision, states=states)

    @cached_property
    def baselines(self) -> tuple[Inputs, Inputs]:
        """The plain model as it is, and with as many epochs more as a shortened one has."""
        full = RetentionFile(plain(self.settings.seq_len, self.layers), task=self.settings.task.name)
        start, stage = self.finetuned, self.settings.retrain.plain()
        if self.context.taught:  # it is its own teacher, so that training it longer moves nothing
            stage = replace(stage, epochs=0)
        longer = self.retrain(full, start, stage, with_bits=False)
        if isinstance(start, Inputs):
            return start, longer
        return self.retrain(full, start, replace(stage, epochs=0), with_bits=False), longer


def _keys(settings: Any) -> dict[str, Any]:
    """How word-vectors are chosen, see `from_keys`."""
    random = settings.strategy == "random"
    return {
        "seq_len": settings.seq_len,
        "strategy": settings.strategy,
        "random_order": draw_random_order(settings.seq_len, settings.seed) if random else None,
        "diagonal": settings.variant.diagonal,
        "pad_queries": settings.variant.pad_queries,
        "kind": settings.retention.kind,
    }


def given_retention(settings: RetrainedSettings, config: Any) -> RetentionFile | None:
    """The retention configuration that the settings name, checked against ℓ and the model.

    None if it is to be searched. How word-vectors are chosen is the settings' in any case, so that
    strategies can be compared at one configuration.

    Raises:
        RetentionSettingError
    """
    given, count, keys = settings.retention, layers_for(settings.compress, layers_of(config)), _keys(settings)
    try:
        if given.path:
            found = retention_file.read(Path(given.path))
            keys |= {name: found.keys[name] for name in ("kind", "lengths", "fractions", "thresholds")}
            kept = found.kept if settings.strategy == "threshold" else None
            return replace(found, elimination=from_keys(keys).checked(count), kept=kept)
        if given.lengths == "full":
            return RetentionFile(plain(settings.seq_len, count))
        values = {"thresholds": given.thresholds, "fractions": given.fractions, "lengths": given.lengths}
        chosen = {name: tuple(value) for name, value in values.items() if value is not None}
        if not chosen:
            return None
        keys |= {"kind": "relative" if "fractions" in chosen else "absolute", **chosen}
        return RetentionFile(from_keys(keys).checked(count))
    except RetentionError as error:
        raise RetentionSettingError(str(error)) from error
