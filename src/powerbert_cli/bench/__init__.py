"""Clocks, contenders and the FLOPs model. Prints nothing."""
