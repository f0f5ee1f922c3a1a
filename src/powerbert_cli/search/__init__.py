"""Finding a retention configuration: under a target, with training or without."""
