"""The shortened model as a model of transformers: what users load, call and save."""

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..captured.model import CapturedModel, NotCaptured, tried
from ..encoder.families import known_purpose, purpose_of, usable_positions
from ..encoder.family import EMBEDS, PICTURES, SOUND
from ..encoder.inputs import input_of
from ..encoder.shortened import ShortenedModel
from ..method.elimination import Elimination
from ..method.retention import RetentionError
from ..native.layers import NotNative
from ..native.library import NoLibrary
from ..native.model import NativeModel
from ..store.retention_file import RetentionFile
from ..store.retention_file import read as read_retention
from .embedders import write_modules
from .model_dir import RETENTION, WHERE, found_file, load_host, save_host
from .rerankers import is_reranker, write_reranker
from .weights import ModelError

log = logging.getLogger(__name__)
ADAPTER = "adapter_config.json"
_MAKING = threading.Lock()  # of an engine; a server's threads may ask at once


class ShippedModel(ShortenedModel, PreTrainedModel):
    """A shortened classifier with the methods of a transformers model.

    Its state dict has the keys of the plain model, and so has the directory that `save_pretrained` writes: plain
    transformers loads it as the unshortened model.

    Attributes:
        retention: the content of retention.json.
        engine: what answers where no gradient, loss or hidden state is asked for: `auto`, as `from_pretrained` sets it,
            for the native engine on a CPU, as far as it runs this model and has a compiler, and in half precision on a
            GPU for passes recorded as CUDA graphs, as far as they answer alike there; `eager` for PyTorch.
        whole_below: on a GPU under `auto` a batch of fewer word-pieces is answered with nothing eliminated, which gives
            other answers; 0, so that answers do not depend on the batch, unless you set it. `powerbert check` measures
            from which size on elimination pays.
    """

    _engine = "eager"
    whole_below = 0

    base_model_prefix = "host"
    accepts_loss_kwargs = False  # Trainer: the loss is the mean over a batch
    supports_gradient_checkpointing = False
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # the host has its own; this encoder uses none
    _purpose: ClassVar[str]
    _classes: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "_purpose" in cls.__dict__:  # not a subclass of a user's
            cls._classes[cls._purpose] = cls

    def __init__(self, host: PreTrainedModel, elimination: Elimination) -> None:
        PreTrainedModel.__init__(self, host.config)
        ShortenedModel.__init__(self, host, elimination)
        self.main_input_name = self.takes
        self.retention = RetentionFile(self.elimination)
        self._faster: tuple[Any, ...] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_faster": None}

    @property
    def engine(self) -> str:
        """See the class.

        Raises:
            ValueError: on setting another than auto and eager.
        """
        return self._engine

    @engine.setter
    def engine(self, name: str) -> None:
        if name not in ("auto", "eager"):
            raise ValueError(f"engine={name!r} is none of auto, eager; load_shortened has native and captured")
        self._engine = name

    @classmethod
    def for_config(cls, config: Any) -> type["ShippedModel"]:
        """The class that loads a model with this config."""
        return cls._classes[purpose_of(config)]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Any:  # type: ignore[override]
        """The shortened classifier of a run's `model/` directory, or of a repository on the hub, in evaluation mode.

        Args:
            pretrained_model_name_or_path: has config.json, model.safetensors and retention.json.
            options: of transformers' from_pretrained: revision, token, dtype, device_map …

        Raises:
            RetentionFileError: if there is no retention.json, or it breaks a rule.
            ModelError: if the model cannot be loaded, the configuration is not for it, it is of the other kind, has
                unmerged adapters, or is spread over several devices.
        """
        name = str(pretrained_model_name_or_path)
        where = {key: value for key, value in options.items() if key in WHERE}
        config = AutoConfig.from_pretrained(name, **where)
        if config.architectures and not known_purpose(config):
            raise ModelError(
                f"{name}: its architecture is {config.architectures[0]}; it must be a classifier of texts, pictures or "
                "sound, a multiple-choice model, a tagger, or one that finds answers or spells what is said"
            )
        other = cls.for_config(config)
        if other._purpose != cls._purpose:
            raise ModelError(f"{name}: its architecture is {config.architectures[0]}; load it with {other.__name__}")
        if found_file(name, ADAPTER, where) is not None:
            raise ModelError(
                f"{name}: has PEFT adapters ({ADAPTER}), which this encoder does not load; merge them into the model "
                "with merge_and_unload() and save that"
            )
        model = cls._made(name, load_host(name, config, **options), where)
        model.engine = "auto"
        return model

    @classmethod
    def _made(cls, name: str, host: PreTrainedModel, where: dict[str, Any]) -> Any:
        devices = set(getattr(host, "hf_device_map", {}).values())
        if len(devices) > 1:
            raise ModelError(
                f"{name}: device_map spreads it over {', '.join(sorted(map(str, devices)))}; this encoder runs on one "
                "device: give one, as device_map='cuda:0'"
            )
        retention = read_retention(Path(found_file(name, RETENTION, where) or Path(name) / RETENTION))
        positions, seq_len = usable_positions(host.config), retention.elimination.seq_len
        if seq_len > positions:
            raise ModelError(
                f"{name}: {RETENTION} has seq_len={seq_len}, the model has {positions} positions; take both from "
                "one run"
            )
        try:
            model = cls(host, retention.elimination)
        except RetentionError as error:
            raise ModelError(f"{name}: {error}") from error
        model.retention = retention
        if devices:
            model.hf_device_map = host.hf_device_map
        return model.eval()

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        state_dict: dict[str, Any] | None = None,
        push_to_hub: bool = False,
        **options: Any,
    ) -> None:
        """Writes config, weights in safetensors, retention.json and, of a compressed model, compression.json.

        The tokenizer is saved by its own method.

        Raises:
            ModelError: if it has adapters that are not merged.
        """
        if any(type(module).__module__.startswith("peft.") for module in self.host.modules()):
            raise ModelError("the model has PEFT adapters that are not merged; save what merge_and_unload() returns")
        given = {} if state_dict is None else {"state_dict": state_dict}
        save_host(self.host, save_directory, is_main_process=is_main_process, **given, **options)
        if is_main_process:
            replace(self.retention, elimination=self.elimination).write(Path(save_directory) / RETENTION)
            if self._purpose == EMBEDS:
                write_modules(Path(save_directory), self.config, shortened=True)
            if is_reranker(self.config):
                write_reranker(Path(save_directory))
        if push_to_hub:
            name = options.get("repo_id") or Path(save_directory).name
            self.push_to_hub(name, token=options.get("token"))  # type: ignore[arg-type]

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The plain model's."""
        return self.host.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The plain model's."""
        return self.host.load_state_dict(*args, **kwargs)

    def get_input_embeddings(self) -> nn.Module:
        return self.host.get_input_embeddings()

    def forward(  # type: ignore[override]
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        labels: Any = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """See `ShortenedModel.forward`; what else transformers' classifiers take is refused unless None or False.

        Raises:
            ValueError: as there, and for an argument that this encoder does not have.
        """
        signal = {name: others.pop(name) for name in (PICTURES, SOUND) if name in others}
        given = input_of(self.takes, input_ids, signal)
        for name, value in others.items():
            if value is not None and value is not False:
                raise ValueError(f"{name} is not available in a shortened model; leave it out")
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        faster = None if labels is not None or output_hidden_states else self._answers_faster()
        if faster is not None:
            found: Any = faster(given, attention_mask, token_type_ids).logits
            output = SequenceClassifierOutput(logits=found.clone())  # a tensor that other modules can train on
        else:
            output = super().forward(given, attention_mask, token_type_ids, labels, output_hidden_states)
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()

    def _answers_faster(self) -> NativeModel | CapturedModel | None:
        """An engine of powerbert's own with the weights as they are; None where PyTorch has to answer."""
        device = self.device.type
        wants_torch = self.training or torch.is_grad_enabled() or torch.is_autocast_enabled(device)
        on_gpu = device == "cuda" and self.dtype in (torch.bfloat16, torch.float16)
        if self.engine != "auto" or wants_torch or torch.compiler.is_compiling() or not (on_gpu or device == "cpu"):
            return None
        known = (self.elimination, self._views.state(), self.whole_below)
        made: NativeModel | CapturedModel | None = None
        with _MAKING:
            if self._faster is not None and self._faster[:-1] == known:
                made = self._faster[-1]
                return made
            self._faster = None  # frees what the one before holds
            try:
                made = tried(self, self.whole_below) if on_gpu else NativeModel(self)
            except (NotNative, NoLibrary, NotCaptured) as error:
                log.info("PyTorch answers, not the %s engine: %s", "captured" if on_gpu else "native", error)
            self._faster = (*known, made)
        return made
