"""What can be chosen by name: strategies, kernels. Imports nothing, so that help can list it."""

# The ranking that each strategy uses. `merge` differs from `attention` in what becomes of the
# dropped word-vectors, `threshold` in how many are kept.
RANKING = {
    "attention": "attention",
    "head": "head",
    "random": "random",
    "threshold": "attention",
    "merge": "attention",
    "none": "attention",
}
STRATEGIES = tuple(RANKING)
KINDS = ("absolute", "relative")  # of a retention configuration
KERNELS = ("auto", "torch", "triton")
