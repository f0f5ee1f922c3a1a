"""Datasets, tokenising, metrics. Knows nothing of models or training."""
