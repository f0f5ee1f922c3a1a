"""The Triton kernels, under Triton's interpreter on a CPU and compiled on a GPU, against PyTorch's own operations."""

import itertools
import os
import subprocess
import sys

import pytest
import torch

from powerbert_cli.method import kernels
from powerbert_cli.method.significance import significance_from_projections

pytest.importorskip("triton")

# Run by a process of its own, as Triton reads the variable when it is imported. float16: the interpreter
# has no product of bfloat16.
INTERPRETED = """
import sys
sys.path.insert(0, {folder!r})
from test_significance_triton import compare
for dtype in (torch.float32, torch.float16):
    for n in (1, 5, 64, 130):
        compare(n, dtype, "cpu")
print("compared")
"""


def projections(n: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Query and key as views of a joint projection, as the encoder has them: (2, 3, n, 16)."""
    generator = torch.Generator().manual_seed(n)
    qkv = torch.randn(2, n, 3, 3, 16, generator=generator).to(device, dtype)
    query, key, _ = qkv.permute(2, 0, 3, 1, 4).unbind()
    return query, key


def compare(n: int, dtype: torch.dtype, device: str) -> None:
    """All that the kernel can be told, with and without a given log-sum-exp."""
    query, key = projections(n, dtype, device)
    padding = torch.arange(n, device=device) < torch.tensor([[n], [n // 2 + 1]], device=device)
    module = kernels.triton_kernels()
    for mask, diagonal, pad_queries in itertools.product((None, padding), (True, False), (True, False)):
        kernels.use_kernel("torch")
        expected = significance_from_projections(query.float(), key.float(), mask, None, diagonal, pad_queries)
        kernels.use_kernel("triton")
        found = significance_from_projections(query, key, mask, None, diagonal, pad_queries)
        assert torch.allclose(found, expected, atol=2e-3), (n, dtype, mask is None, diagonal, pad_queries)
        scores = query.float() @ key.float().mT / 4
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
        given = module.significance_kernel(query, key, mask, diagonal, pad_queries, scores.logsumexp(-1))
        assert torch.allclose(given, expected, atol=2e-3)
    kernels.use_kernel("auto")


def test_kernels_equal_torch_under_the_interpreter():
    code = "import torch\n" + INTERPRETED.format(folder=os.path.dirname(__file__))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "compared" in done.stdout


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 5, 64, 130, 512])
def test_kernels_equal_torch_on_a_gpu(n, dtype):
    compare(n, dtype, "cuda")


def test_auto_is_torch_on_a_cpu(monkeypatch):
    monkeypatch.setattr(kernels, "triton_kernels", lambda: pytest.fail("asked for Triton"))
    query, key = projections(5, torch.float32, "cpu")
    assert significance_from_projections(query, key).shape == (2, 5)
    with pytest.raises(ValueError, match="is none of auto, torch, triton"):
        kernels.use_kernel("cuda")
