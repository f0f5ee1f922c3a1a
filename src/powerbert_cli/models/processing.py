"""What turns rows into a model's inputs, of whatever sort: had, fitted to a model, and known by its content."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import datasets

from ..settings import ModelSettings


class Processing(ABC):
    """One sort of processors: tokenizers, image processors. A kind of tasks needs one (`Kind.PROCESSOR`).

    A processor is what `Kind.encode` and `Kind.collator` are given. It has `save_pretrained(folder)`.
    """

    @abstractmethod
    def load(self, name: str, way_out: str, trust_remote_code: bool = False) -> Any:
        """That of a folder or a name on the hub.

        Args:
            way_out: what to do where there is none.

        Raises:
            ModelError
        """

    @abstractmethod
    def check_takes(self, config: Any, name: str) -> None:
        """Whether a model with this config takes what such a processor makes.

        Args:
            name: of the model, for messages.

        Raises:
            ModelError
        """

    def completed(self, processor: Any, rows: Callable[[], Any]) -> Any:
        """The same with what the training rows say where the model says nothing."""
        return processor

    def check(self, processor: Any, config: Any, name: str) -> None:
        """Whether it and a model of one name belong together.

        Raises:
            ModelError
        """
        return None

    @abstractmethod
    def fit(self, processor: Any, config: Any, name: str) -> Any:
        """The same as a model with this config needs it.

        Raises:
            ModelError: it cannot be.
        """

    @abstractmethod
    def made(self, rows: datasets.Dataset, model: ModelSettings, config: Any) -> Any:
        """One for a random model, from the training rows or from the model's config; it is fitted."""

    @abstractmethod
    def entries(self, processor: Any, model: ModelSettings) -> dict[str, Any]:
        """What it decides of a random model's config."""

    @abstractmethod
    def decides(self, processor: Any) -> Any:
        """All that decides what it makes of a row, as JSON can hold it."""

    @abstractmethod
    def most(self, processor: Any, config: Any) -> int:
        """Longest input of a model that says no ℓ, in word-vectors."""

    def digest(self, processor: Any) -> str:
        return hashlib.sha256(json.dumps(self.decides(processor), sort_keys=True).encode()).hexdigest()[:16]
