"""Draws plots as SVG: the one file that knows vl-convert, which is optional."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from promptc.cli.page.plots import Plot

HINT = "pip install 'promptc[report]'"
"""What brings the plots."""

Draw = Callable[[Plot], str]
"""An SVG element from a plot."""


def drawing() -> Draw | None:
    """What draws; None where the library is not installed."""
    return draw if find_spec("vl_convert") is not None else None


def draw(plot: Plot) -> str:
    """The plot as an SVG element. Equal plots give equal texts. The first one takes half a second: it starts a Vega."""
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(plot)
    return svg
