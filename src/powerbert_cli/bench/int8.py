"""int8 for PyTorch and OpenVINO."""

import contextlib
import copy
import io
import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..encoder.linear import is_linear
from ..store.environment import cpu_flags

CALIBRATED_ON = 64  # inputs
# Products with attention weights in files of ours (`encoder/exported.py`). Of 250 word-vectors most get less
# than half of a step of 1/255, which significance would lose.
_UNQUANTISED = ("node_bmm.*",)
_VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}


def dynamic_int8(model: nn.Module) -> nn.Module:
    """A copy whose linear layers have int8 weights, scaled for each output; inputs are quantised as they come.

    Args:
        model: on the CPU in float32.

    Raises:
        ImportError: this PyTorch has no dynamic quantisation any more.
    """
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    linear = [name for name, one in model.named_modules() if is_linear(one) and one.in_features]  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated
        return quantize_dynamic(  # type: ignore[no-any-return]
            copy.deepcopy(model).eval(), dict.fromkeys(linear, per_channel_dynamic_qconfig), dtype=torch.qint8
        )


def static_int8(nncf: Any, graph: Any, inputs: Sequence[dict[str, np.ndarray]]) -> Any:
    """An OpenVINO graph in int8, calibrated on inputs.

    Where the CPU has no VNNI, sums of products of int8 overflow unless one of them has a bit less (nncf issue 1498).

    Args:
        nncf: from `without_telemetry`.
    """
    overflow = nncf.OverflowFix.DISABLE if _VNNI & set(cpu_flags()) else nncf.OverflowFix.ENABLE
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        return nncf.quantize(
            graph,
            nncf.Dataset(inputs),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(inputs),
            ignored_scope=nncf.IgnoredScope(patterns=list(_UNQUANTISED), validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
        )


def without_telemetry() -> Any:
    """NNCF, which would report to its makers what it is used for.

    Raises:
        ImportError: it is not installed.
    """
    os.environ.setdefault("NNCF_CI", "1")  # read when it is imported: the one switch that it has
    import nncf

    nncf.set_log_level(40)
    return nncf
