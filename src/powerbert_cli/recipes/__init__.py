"""What verbs do beside the stages: time, export, look at rows and at models."""
