"""The kernels, compiled for GPUs that are not here: Triton brings NVIDIA's assembler, and needs no driver for it."""

import re
import subprocess
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from powerbert_cli.captured import kernels

ARCHITECTURES = (80, 90)  # A100, H100
SHARED = {80: 163 * 2**10, 90: 227 * 2**10}  # bytes that a program may have
HALF = (
    "qkv_ptr",
    "x_ptr",
    "table_ptr",
    "out_ptr",
    "residual_ptr",
    "context_ptr",
    "sum_ptr",
    "norm_ptr",
    "weight_ptr",
    "shift_ptr",
)
FLOAT = ("sums_ptr", "lse_ptr", "scores_ptr", "bias_ptr", "cos_ptr", "sin_ptr")
PLAIN = {"S": 64, "PLACED": False, "BIASED": False, "ROTARY": False, "WINDOW": False, "PRECISION": "tf32"}
MODERN = {**PLAIN, "PLACED": True, "ROTARY": True, "WINDOW": True}
BIASED = {**PLAIN, "PLACED": True, "BIASED": True}
CASES = [
    *(
        (kernels.attend_whole_kernel, warps, {"BLOCK": block, "SUMS": True, "DIAGONAL": True, **how})
        for block, warps, how in ((16, 4, PLAIN), (64, 4, BIASED), (128, 8, PLAIN), (128, 8, MODERN))
    ),
    *((kernels.attend_blocks_kernel, 4, {"BLOCK": 64, **how}) for how in (PLAIN, MODERN)),
    *((kernels.column_sums_kernel, 4, {"BLOCK": 64, "DIAGONAL": False, **how}) for how in (PLAIN, MODERN)),
    *(
        (kernels.choose_kernel, warps, {**sizes, "HEADS": 16, "INPUTS": 128, "COUNTED": True, **carried})
        for sizes, warps, carried in (
            ({"N": 16, "ROWS": 16}, 4, {"SHIELD": False, "PLACED": False}),
            ({"N": 128, "ROWS": 64}, 8, {"SHIELD": True, "PLACED": True}),
            ({"N": 512, "ROWS": 16}, 8, {"SHIELD": True, "PLACED": True}),
        )
    ),
    (kernels.passing_kernel, 4, {"HEADS": 16, "N": 512, "SHIELD": True}),
    (
        kernels.add_norm_kernel,
        4,
        {"BLOCK": 1024, **dict.fromkeys(("GATHERS", "ADDS", "SHIFTS", "SUMS", "NORMS"), True)},
    ),
    (kernels.put_kernel, 4, {"BLOCK": 1024}),
    *((kernels.gate_kernel, 4, {"BLOCK": 1024, "KIND": kind}) for kind in ("gelu", "gelu_tanh")),
]


def compile_all():
    """A line for each kernel, form and architecture: registers, and bytes beside them for each thread."""
    with tempfile.TemporaryDirectory() as folder:
        for kernel, warps, constants in CASES:
            for architecture in ARCHITECTURES:
                yield _compiled(kernel, warps, constants, architecture, Path(folder) / "kernel.cubin")


def _compiled(kernel, warps, constants, architecture, path):
    kinds = {name: _kind(name) for name in kernel.arg_names} | dict.fromkeys(constants, "constexpr")
    target = GPUTarget("cuda", architecture, 32)
    found = triton.compile(ASTSource(kernel, kinds, constants), target=target, options={"num_warps": warps})
    assert found.metadata.shared <= SHARED[architecture]
    path.write_bytes(found.asm["cubin"])
    reader = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    said = subprocess.run([reader, "-res-usage", path], capture_output=True, text=True, check=True).stdout
    registers, spilled = re.findall(r"REG:(\d+) STACK:(\d+)", said)[0]
    how = " ".join(f"{name}={value}" for name, value in constants.items())
    return f"{kernel.fn.__name__} sm_{architecture} registers {registers} stack {spilled} {how}"


def _kind(name):
    if name in HALF:
        return "*bf16"
    if name in FLOAT:
        return "*fp32"
    if name in ("scale", "eps", "threshold"):
        return "fp32"
    return "*i32" if name.endswith("_ptr") else "i32"
