"""Views of a host's blocks, made once and anew when the host has changed.

What a change leaves a trace of is seen: modules, parameters and hooks that come and go, an optimiser's step, a write
through a parameter. One through `weight.data` or a NumPy array leaves none; `refresh` is for those.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from .block import Block

_steps = 0  # of all optimisers: fused ones change weights without a word in their versions


def _stepped(*_: Any) -> None:
    global _steps
    _steps += 1


register_optimizer_step_post_hook(_stepped)


class Views:
    """The views of a host's blocks.

    Args:
        make: host → one view for each layer.
    """

    def __init__(self, host: nn.Module, make: Callable[[Any], tuple[Block, ...]]) -> None:
        self.host, self.make = host, make
        self._arranged: tuple[Any, tuple[Block, ...]] | None = None
        self._forget()

    def refresh(self) -> None:
        """Has the views arranged anew; they themselves hold the host's modules, which are what they are."""
        self._arranged, self._fresh = None, object()

    def _forget(self) -> None:
        self._known: list[tuple[dict[str, Any], str, Any]] = []
        self._owners: list[tuple[dict[str, Any], int]] = []
        self._hooks: list[tuple[dict[int, Any], bool]] = []
        self._blocks: tuple[Block, ...] = ()
        self._sources: list[tuple[Tensor, ...]] = []
        self._weights: list[Tensor] = []
        self.refresh()

    def __getstate__(self) -> dict[str, Any]:
        return {"host": self.host, "make": self.make}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def blocks(self) -> tuple[Block, ...]:
        """The views; made anew where a module or parameter was exchanged or added, as by adapters, or a hook."""
        same = all(owner.get(name) is tensor for owner, name, tensor in self._known)
        same = same and all(len(owner) == count for owner, count in self._owners)
        if not self._blocks or not same or any(bool(hooks) != there for hooks, there in self._hooks):
            self._forget()
            owners = [owner for one in self.host.modules() for owner in (one._modules, one._parameters)]
            self._known = [(owner, name, tensor) for owner in owners for name, tensor in owner.items()]
            self._owners = [(owner, len(owner)) for owner in owners]
            linear = [module for module in self.host.modules() if isinstance(module, nn.Linear)]
            hooks = [one for module in linear for one in (module._forward_hooks, module._forward_pre_hooks)]
            self._hooks = [(one, bool(one)) for one in hooks]
            self._blocks = self.make(self.host)
            self._sources = [block.sources() for block in self._blocks]
            self._weights = list(self.host.parameters())
        return self._blocks

    def state(self) -> list[Any]:
        """Equal for as long as no module, parameter, hook or weight of the host was seen to change or move."""
        self.blocks()
        weights = (
            (tensor.data_ptr(), tensor.dtype, 0 if tensor.is_inference() else tensor._version)
            for tensor in self._weights
        )
        return [self._fresh, _steps, *weights]

    def for_inference(self) -> tuple[Block, ...]:
        """The views arranged for inference: made once, and anew when a weight was changed or moved."""
        state, blocks = self.state(), self._blocks
        if self._arranged is None or self._arranged[0] != state:
            made: dict[tuple[int, ...], Block] = {}  # ALBERT's layers share theirs
            arranged = []
            for block, parts in zip(blocks, self._sources, strict=True):
                known = tuple(map(id, parts))
                if known not in made or not parts:
                    made[known] = block.for_inference()
                arranged.append(made[known])
            self._arranged = (state, tuple(arranged))
        return self._arranged[1]
