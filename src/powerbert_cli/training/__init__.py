"""The three stages on transformers.Trainer. Prints nothing: progress goes to callbacks."""
