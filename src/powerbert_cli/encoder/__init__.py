"""The shortened encoder: one loop over blocks, whatever the model family."""
