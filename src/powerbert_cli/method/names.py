"""What can be chosen by name: strategies, kernels. Imports nothing, so that help can list it."""

STRATEGIES = ("attention", "head", "random", "threshold", "merge", "none")
BY_ATTENTION = ("attention", "threshold", "merge")  # strategies that score by it
KINDS = ("absolute", "relative")  # of a retention configuration
KERNELS = ("auto", "torch", "triton")
BITS = (2, 4, 8)  # of quantised weights and inputs
