"""How many threads of the CPU work."""

import os
from typing import Any

import torch

SMALL = 256  # hidden size; the products of a smaller model take less than their threads' waits for each other

_before: int | None = None  # PyTorch's own number, while another one is set here


def use_threads(given: int | None, config: Any) -> None:
    """Sets the number of threads, which decides how long a result takes and not what it is.

    Args:
        given: by the user; None has a model with a hidden size below `SMALL` take one, unless OMP_NUM_THREADS says
            how many, and leaves others PyTorch's choice.
        config: of the model, of transformers.
    """
    global _before
    if _before is not None:
        torch.set_num_threads(_before)
        _before = None
    chosen = 1 if config.hidden_size < SMALL and not os.environ.get("OMP_NUM_THREADS") else None
    if wanted := given or chosen:
        _before = torch.get_num_threads()
        torch.set_num_threads(wanted)
