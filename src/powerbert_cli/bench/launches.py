"""What a pass launches on a GPU, counted without one."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..captured.operators import ONE_BLOCK

_NOTHING = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "_unsafe_view", "detach")


def launches(name: str, given: Sequence[Any]) -> int:
    """Kernels that powerbert's operator of this name launches on a GPU when it is given this."""
    if name == "significance":  # of the encoder without graphs: heads are added up apart
        return 3 if given[3] > ONE_BLOCK else 2
    if name == "attend":
        _, _, longest, sums, *_ = given
        return 2 if longest > ONE_BLOCK and sums else 1
    return 1


class LaunchCounter(TorchDispatchMode):
    """Counts, within it, the kernels that operators on the device `meta` would launch on a GPU.

    Tensors there have no values: what asks for one fails, as does what has to know how many there are. So a pass that
    ends waits for no result. A view launches nothing. PyTorch's own operators count as one kernel each, of which some
    launch more; powerbert's as many as `launches` says. What is computed on the CPU is left out; a copy from
    there counts.

    Attributes:
        launched: by operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launched: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self.launched.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        namespace, name = func.name().split("::")
        name = name.split(".")[0]
        given = tree_leaves((args, kwargs, found))
        if any(isinstance(one, Tensor) and one.device.type == "meta" for one in given):
            if namespace == "powerbert":
                self.launched[name] += launches(name, args)
            elif not func.is_view and name not in _NOTHING:
                self.launched[name] += 1
        return found
