"""The kernels against plain formulas: in Triton's interpreter, by a process of its own, and compiled on a GPU."""

import itertools

import torch
from hosts import described, make_host, texts

from powerbert_cli.captured import operators
from powerbert_cli.captured.model import CapturedModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.kernels import use_kernel

SIZES = (7, 0, 1, 16, 5)  # word-vectors of each input; rows beyond them belong to none
LONG = (150, 3, 64, 0, 129)  # beyond what one program holds
BEYOND = 6


def both(operator, *given, device="cpu"):
    """Answers of the formula on the CPU, and of the kernel."""
    use_kernel("torch")
    expected = operator(*given)
    use_kernel("triton")
    try:
        found = operator(*(one.to(device) if isinstance(one, torch.Tensor) else one for one in given))
    finally:
        use_kernel("auto")
    pairs = zip(*((one,) if isinstance(one, torch.Tensor) else one for one in (found, expected)), strict=True)
    return [(one.cpu().float(), other.float()) for one, other in pairs]


def bounds_of(sizes):
    return torch.tensor([0, *itertools.accumulate(sizes)], dtype=torch.int32)


def generator():
    return torch.Generator().manual_seed(0)


def rows_of(sizes, *shape, dtype=torch.float32):
    """Random rows, those beyond the real ones NaN."""
    made = torch.randn(sum(sizes) + BEYOND, *shape, generator=generator()).to(dtype)
    made[sum(sizes) :] = float("nan")
    return made


def compare_attention(device="cpu", dtypes=(torch.float32, torch.float16)):
    for i, (sizes, kind, dtype) in enumerate(itertools.product((SIZES, LONG), ("plain", "placed"), dtypes)):
        diagonal = bool(i % 2)
        qkv, real = rows_of(sizes, 3, 2, 16, dtype=dtype), sum(sizes)
        tables = [None] * 4
        span = window = 0
        if kind == "placed":
            at = torch.cat([torch.arange(2 * n)[::2] for n in sizes] + [torch.zeros(BEYOND)]).int()
            turns = torch.arange(310)[:, None] * torch.rand(8, generator=generator())
            span, window = 309, 90
            bias = torch.randn(2, 2 * span + 1, generator=generator())
            tables = [at, bias, turns.repeat(1, 2).cos(), turns.repeat(1, 2).sin()]
        given = (qkv, bounds_of(sizes), max(sizes), True, diagonal, False, False, *tables, span, window)
        (context, expected), (sums, expected_sums) = both(operators.attend, *given, device=device)
        limit = 1e-4 if dtype == torch.float32 else 5e-3
        assert torch.allclose(context[:real], expected[:real], atol=limit), (dtype, sizes, diagonal, kind)
        assert torch.allclose(sums[:, :real], expected_sums[:, :real], atol=limit), (dtype, sizes, diagonal, kind)
        first = both(operators.attend, *given[:3], False, diagonal, True, *given[6:], device=device)[0]
        starts = given[1][:-1][torch.tensor(sizes) > 0].long()
        assert torch.allclose(first[0][starts], first[1][starts], atol=limit), (dtype, sizes, kind)


def compare_choice(device="cpu"):
    for sizes, keep, (shielded, protected) in itertools.product((SIZES, LONG), (1, 4, 80), ((False, 0), (True, 3))):
        kept, starts = bounds_of([min(n, keep) for n in sizes]), bounds_of(sizes)
        scores = rows_of(sizes, 3).T.contiguous()
        ties = (scores * 2).round()  # many of them alike
        at = torch.arange(scores.shape[1]).int()
        shield = (at % 3 == 0).int() if shielded else None
        room = int(kept[-1]) + 40
        for given in (scores, ties):
            for one, other in both(
                operators.choose, given, kept, False, room, starts, max(sizes), protected, shield, at, device=device
            ):
                assert torch.equal(one, other), (sizes, keep, shielded, protected)


def compare_thresholds(device="cpu"):
    for sizes, shielded, threshold in itertools.product((SIZES, LONG), (False, True), (0.5, 1.1, 9.0)):
        scores = rows_of(sizes, 3).abs().T.contiguous()
        shield = (torch.arange(scores.shape[1]) % 5 == 0).int() if shielded else None
        of = (scores, threshold, bounds_of(sizes), max(sizes), 1, shield)
        ((counts, expected),) = both(operators.passing, *of, device=device)
        assert torch.equal(counts, expected), (sizes, shielded, threshold)
        for room in (20, 1000):  # the first is too little
            chosen = (scores, expected.int(), True, room, *of[2:], None)
            for one, other in both(operators.choose, *chosen, device=device):
                assert torch.equal(one, other), (sizes, shielded, threshold, room)


def compare_norms(device="cpu"):
    for dtype, gathers, shifts, sums in itertools.product((torch.float32, torch.float16), *[(True, False)] * 3):
        residual, x = rows_of(SIZES, 48, dtype=dtype), rows_of(SIZES[:3], 48, dtype=dtype)
        rows = torch.arange(len(x)).flip(0).int() if gathers else None
        weight, shift = torch.rand(2, 48, generator=generator()).to(dtype)
        real, limit = slice(BEYOND, sum(SIZES[:3])), 1e-5 if dtype == torch.float32 else 4e-3
        for of in ((weight, shift if shifts else None, 1e-5), (None, None, 0.0)):
            adds = residual if gathers else residual[: len(x)]
            for one, other in both(operators.add_norm, x, adds, rows, *of, sums or of[0] is None, device=device):
                assert one.shape == other.shape
                assert torch.allclose(one[real], other[real], atol=limit), (dtype, gathers, shifts, sums)


def compare_gates(device="cpu"):
    for dtype, kind in itertools.product((torch.float32, torch.float16), operators.ACTIVATIONS):
        ((one, other),) = both(operators.gate, 3 * rows_of(SIZES, 80, dtype=dtype), kind, device=device)
        real = slice(0, sum(SIZES))
        assert torch.allclose(one[real], other[real], atol=1e-5 if dtype == torch.float32 else 4e-3), (dtype, kind)


def compare_puts(device="cpu"):
    x, starts = rows_of(SIZES, 48), bounds_of(SIZES)
    origin = torch.randperm(60, generator=generator())[: len(x)].int()
    tables = []
    for kernel, where in (("torch", "cpu"), ("triton", device)):
        use_kernel(kernel)
        table = torch.zeros(60, 48, device=where)
        operators.put(table, *(one.to(where) for one in (origin, x, starts)))
        tables.append(table.cpu())
    use_kernel("auto")
    assert torch.equal(*tables) and torch.isfinite(tables[0]).all()


def compare_models(device="cpu"):
    """Whole models with heads that the kernels take."""
    configurations = {
        "bert": described((8, 5, 2), 16, protected_tokens=(7, 8, 20)),
        "modernbert": described(None, 16, "threshold", (0.6, 0.8, 0.9)),
        "mpnet": described((8, 5, 2), 16, "head"),
    }
    for family, how in configurations.items():
        model = ShortenedModel(make_host(family, num_attention_heads=2), how).eval().to(device)
        captured = CapturedModel(model)
        for batch in texts(False):
            with torch.no_grad():
                expected = model(**{name: one.to(device) for name, one in batch.items()}).logits
            use_kernel("triton")
            found = captured(**batch).logits
            use_kernel("auto")
            assert torch.allclose(found.cpu(), expected.cpu(), atol=1e-4), (family, how)


def compare_all(device="cpu"):
    # what is not written is NaN then, or the largest integer; on a GPU PyTorch would refuse products
    torch.use_deterministic_algorithms(device == "cpu")
    for compare in (
        compare_attention,
        compare_choice,
        compare_thresholds,
        compare_norms,
        compare_gates,
        compare_puts,
        compare_models,
    ):
        compare(device)
