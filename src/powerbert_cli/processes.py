"""One training on several processes, as torchrun starts them; alone, all of this does nothing.

The first process speaks, holds the locks and writes; the others take part in training and evaluation.
"""

import logging
import os
from datetime import timedelta
from typing import TypeVar

from .errors import PowerbertError

log = logging.getLogger(__name__)
T = TypeVar("T")
_PATIENCE = timedelta(days=7)  # the first one may wait for another run's lock while the others wait for it


_OF_LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def check() -> None:
    """
    Raises:
        PowerbertError: the variables of a launcher are left over from another program, or no numbers.
    """
    given = {name: os.environ[name] for name in _OF_LAUNCHERS if os.environ.get(name)}
    alone = given.get("WORLD_SIZE", "1") == "1" and given.get("RANK", "0") == "0"
    if alone and "LOCAL_RANK" not in given:
        return  # an address alone starts nothing
    way_out = f"start the command with torchrun, or unset {' '.join(given)}"
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"):
        if name in given and not given[name].isdecimal():
            raise PowerbertError(f"{name}={given[name]} must be a whole number from 0 on; {way_out}")
    missing = [name for name in _OF_LAUNCHERS if name not in given]
    if missing:
        name = next(iter(given))
        raise PowerbertError(
            f"{name}={given[name]} is set but {missing[0]} is not, so no launcher started this process; {way_out}"
        )
    if int(given["RANK"]) >= int(given["WORLD_SIZE"]):
        raise PowerbertError(f"RANK={given['RANK']} must be below WORLD_SIZE={given['WORLD_SIZE']}; {way_out}")


def count() -> int:
    """How many processes work together."""
    return _number_in("WORLD_SIZE", 1)


def number() -> int:
    """Which of them this is, from 0."""
    return _number_in("RANK", 0)


def _number_in(name: str, otherwise: int) -> int:
    said = os.environ.get(name, "")
    return int(said) if said.isdecimal() else otherwise  # `check` has refused what is no number


def is_main() -> bool:
    return number() == 0


def join(cpu: bool) -> None:
    """Brings the processes together, if that is not done: with gloo on a CPU, nccl on GPUs."""
    if count() > 1:
        from accelerate import PartialState

        if not PartialState._shared_state:
            log.info("waiting for all %d processes (WORLD_SIZE)", count())
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
