"""One training on several processes, as torchrun starts them; alone, all of this does nothing.

The first process speaks, holds the locks and writes; the others take part in training and evaluation.
"""

import os
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")
_PATIENCE = timedelta(days=7)  # the first one may wait for another run's lock while the others wait for it


def count() -> int:
    """How many processes work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def number() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    return number() == 0


def join(cpu: bool) -> None:
    """Brings the processes together, if that is not done: with gloo on a CPU, nccl on GPUs."""
    if count() > 1:
        from accelerate import PartialState

        PartialState(cpu=cpu, timeout=_PATIENCE)


def leave() -> None:
    """Ends what `join` began."""
    if count() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def agreed(value: T) -> T:
    """The first process's value, in all of them."""
    if count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def any_of(*flags: bool) -> list[bool]:
    """For each flag whether it is set in any process."""
    if count() == 1:
        return list(flags)
    import torch
    from accelerate import PartialState
    from accelerate.utils import reduce

    given = torch.tensor(flags, dtype=torch.int32, device=PartialState().device)
    return [bool(flag) for flag in reduce(given, "sum")]


def wait() -> None:
    """Until all have come here."""
    if count() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()
