"""Settings of the models that verbs start from or take."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .folders import exported, is_shortened, keeps_everything, model_folder
from .rules import Part, SettingsError, key
from .task import ModelSettings


@dataclass(kw_only=True)
class Model(Part):
    """The model that fine-tuning starts from."""

    model: ModelSettings = key("model (group): what fine-tuning starts from, see the list below")

    @property
    def start_model(self) -> ModelSettings:
        """The model that stages start from, and whose tokenizer reads the texts: a given one, where there is one."""
        given = getattr(self, "model_dir", None)
        return self.model.of_folder(given) if given else self.model


@dataclass(kw_only=True)
class ModelDir(Part):
    """A model that exists. What it is, its folder says."""

    TAKES_SHORTENED: ClassVar[bool] = False
    TAKES_EXPORTED: ClassVar[bool] = False
    NOT_SHORTENED: ClassVar[str] = (
        "this verb starts from a plain or compressed one: give the model directory that it was made of, or take it as "
        "it is with bench, export or predict"
    )

    model_dir: str | None = key(
        "model to start from, or to take: RUN/model, a classifier's folder or name on the hub", common=True
    )

    def verify(self) -> None:
        if self.model_dir is None:
            return
        folder = model_folder(self.model_dir, self.TAKES_EXPORTED)
        if self.TAKES_EXPORTED:
            exported(folder)  # checks it
        if is_shortened(folder) and not (self.TAKES_SHORTENED or self.weights_do or keeps_everything(folder)):
            raise SettingsError(f"model_dir={self.model_dir} is a shortened model; {self.NOT_SHORTENED}")

    @property
    def weights_do(self) -> bool:
        """Whether a shortened model's weights are wanted, whatever it keeps of word-vectors."""
        return False

    @property
    def shortened_dir(self) -> Path | None:
        """The given shortened model, which is taken as it is: a folder, or the hub's in the cache."""
        return self._folder(shortened=True)

    @property
    def checkpoint_dir(self) -> Path | None:
        """The given plain or compressed classifier that stages start from: a folder, or the hub's in the cache."""
        return self._folder(shortened=False)

    def _folder(self, shortened: bool) -> Path | None:
        if not self.model_dir:
            return None
        folder = model_folder(self.model_dir, self.TAKES_EXPORTED)
        return folder if (self.TAKES_SHORTENED and is_shortened(folder)) == shortened else None
