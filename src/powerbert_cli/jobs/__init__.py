"""The jobs of a multirun: which of them failed, what they found together, and an Optuna study that goes on."""
