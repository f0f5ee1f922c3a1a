"""Variables of the shell: what decides a result stands in the settings, and no variable of a library changes it."""

import contextlib
import logging
import os
from collections.abc import Iterator

log = logging.getLogger(__name__)
# Of accelerate and transformers: precision, compiler, device, sharding and what else `accelerate config`, `accelerate
# launch` and images for clusters set.
_PREFIXES = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_", "XLA_")
_NAMES = (
    *("USE_TORCH_XLA", "PJRT_DEVICE", "TPU_NAME", "SM_FRAMEWORK_PARAMS", "SM_HP_MP_PARAMETERS"),
    # products of float32 in fewer bits
    *("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
    "NVIDIA_TF32_OVERRIDE",
)
# Read by accelerate as numbers of processes that train together, where each of MPI's works alone.
_OF_MPI = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def wait_without_spinning() -> None:
    """Has threads that wait for each other sleep: on cores that others use too, busy waits take their time.

    Of GNU's and Intel's OpenMP, which read this where PyTorch is imported; what the user says of it counts.
    """
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
    if not any(name in os.environ for name in quiet):
        os.environ.update(quiet)


@contextlib.contextmanager
def left_out() -> Iterator[list[str]]:
    """The variables that would change a result are not there inside, and as before after; gives their names."""
    found = {name: os.environ[name] for name in os.environ if name.startswith(_PREFIXES) or name in _NAMES}
    of_mpi = {name: os.environ[name] for name in _OF_MPI if name in os.environ}
    for name in (*found, *of_mpi):
        del os.environ[name]
    if found:
        log.warning("variables of the shell are left out, as the settings decide: %s", ", ".join(sorted(found)))
    try:
        yield sorted(found)
    finally:
        # transformers sets some of them itself, for what comes after in the same process
        for name in [name for name in os.environ if name.startswith(_PREFIXES)]:
            del os.environ[name]
        os.environ.update({**found, **of_mpi})
