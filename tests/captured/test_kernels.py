"""The Triton kernels without a GPU: computed by Triton's interpreter, and compiled for GPUs that are not here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# By a process of its own, as Triton reads the variable when it is imported. float16: the interpreter has no product of
# bfloat16.
INTERPRETED = """
import sys
sys.path.insert(0, {tests!r})
from compared import compare_all
compare_all()
print("compared")
"""
COMPILED = """
import sys
sys.path.insert(0, {tests!r})
from compiled import compile_all
for line in compile_all():
    print(line)
"""


def run(code, **variables):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code.format(tests=str(TESTS))],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.extras
def test_kernels_equal_the_formulas_under_the_interpreter():
    pytest.importorskip("triton")
    done = run(INTERPRETED, TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr
    assert "compared" in done.stdout


@pytest.mark.extras
def test_kernels_are_compiled_for_gpus_and_fit_their_registers():
    """What the interpreter does not see: types that do not agree, shapes that are no powers of two, shared memory."""
    pytest.importorskip("triton")
    done = run(COMPILED)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) >= 20
    beside = [int(line.split(" stack ")[1].split()[0]) for line in lines]
    assert max(beside) <= 128, done.stdout  # bytes of a thread; today the worst has 120
