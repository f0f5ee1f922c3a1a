"""The Triton kernels, under Triton's interpreter on a CPU and compiled on a GPU, against PyTorch's own operations."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hosts import described, make_host

from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method import kernels
from powerbert_cli.method.significance import attention_weights, significance

HERE = Path(__file__).parent

# Run by a process of its own, as Triton reads the variable when it is imported. float16: the interpreter
# has no product of bfloat16.
INTERPRETED = """
import sys
sys.path[:0] = {folders!r}
from test_significance_triton import compare, compare_models
for n, dtype in ((1, torch.float32), (5, torch.float16), (64, torch.float16), (130, torch.float32)):
    compare(n, dtype, "cpu")
compare_models("cpu")
print("compared")
"""


def projections(rows: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Query and key as views of a joint projection, as the encoder has them: (T, 3, 16)."""
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, 3, 3, 16, generator=generator).to(device, dtype)[:, :2].unbind(1)


def compare(n: int, dtype: torch.dtype, device: str) -> None:
    """Inputs of n, n // 2 + 1 and 1 word-vectors, packed, and with padding as rows; all that the kernel can be told."""
    sizes = [n, n // 2 + 1, 1]
    for padded, diagonal, pad_queries in itertools.product((False, True), repeat=3):
        lengths = [n] * 3 if padded else sizes
        query, key = projections(sum(lengths), dtype, device)
        starts = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device)
        places = torch.arange(n, device=device) < torch.tensor(sizes, device=device)[:, None]
        real = places.flatten() if padded else None
        found = kernels.significance_by_triton(query, key, starts, n, real, diagonal, pad_queries)
        for b, (q, k) in enumerate(zip(query.split(lengths), key.split(lengths), strict=True)):
            mask = places[b : b + 1] if padded else None
            weights = attention_weights(q.float().transpose(0, 1)[None], k.float().transpose(0, 1)[None], mask)
            expected = significance(weights, mask, diagonal, pad_queries)[0]
            own = found[starts[b] : starts[b + 1]]
            assert torch.allclose(own, expected, atol=2e-3), (n, dtype, padded, diagonal, pad_queries, b)


def compare_models(device: str) -> None:
    """A whole model, its inputs packed: what each layer keeps and the logits."""
    model = ShortenedModel(make_host(), described((8, 5, 2), 16)).eval().to(device)
    ids = torch.randint(5, 100, (4, 16), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(16) < torch.tensor([16, 9, 3, 12])[:, None]).long()
    batch = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
    answers = {}
    for kernel in ("torch", "triton"):
        kernels.use_kernel(kernel)
        with torch.no_grad():
            answers[kernel] = [*model.kept_positions(**batch), model(**batch).logits]
    kernels.use_kernel("auto")
    for one, other in zip(answers["torch"], answers["triton"], strict=True):
        assert torch.allclose(one.float(), other.float(), atol=1e-4)


@pytest.mark.extras
def test_kernels_equal_torch_under_the_interpreter():
    pytest.importorskip("triton")
    code = "import torch\n" + INTERPRETED.format(folders=[str(HERE), str(HERE.parent)])
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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_models_with_the_kernel_on_a_gpu():
    compare_models("cuda")


def test_auto_is_torch_on_a_cpu(monkeypatch):
    monkeypatch.setattr(kernels, "triton_kernels", lambda: pytest.fail("asked for Triton"))
    assert not kernels.uses_triton(torch.zeros(5, 3, 16), has_bias=False)
    with pytest.raises(ValueError, match="is none of auto, torch, triton"):
        kernels.use_kernel("cuda")
