"""Matplotlib without a screen: pictures are drawn by Agg, whatever MPLBACKEND names.

A notebook's kernel hands that variable to what it starts, and matplotlib refuses to be imported where the module that
it names is not installed. Whoever draws imports from here.
"""

import contextlib
import os
import sys

if "matplotlib" not in sys.modules:
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named is not None:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = named  # of a notebook that uses powerbert as a library

from matplotlib import colormaps as colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread as imread
from matplotlib.lines import Line2D as Line2D
from matplotlib.patches import Patch as Patch
from matplotlib.text import Text as Text
from matplotlib.ticker import MaxNLocator as MaxNLocator


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, laid out by its content."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
