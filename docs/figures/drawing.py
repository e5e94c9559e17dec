"""What all figures share: an opaque card, colours with one meaning each, boxes, arrows and text.

A figure is drawn in points (1/72 inch) with y pointing down, so that a number in a script is a size on the page.
Figures are narrow (WIDTH) to be legible on a phone. Text becomes outlines of the font that comes with matplotlib: it
looks the same everywhere, and the bytes of a file depend on nothing but the script and the version of matplotlib.
"""

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.text import Text
from matplotlib.textpath import TextPath

WIDTH = 420.0
SMALL, NORMAL, LARGE = 8.0, 9.5, 12.0
INK, FAINT, LINE = "#1d2733", "#56626f", "#7b8794"


@dataclass(frozen=True)
class Colour:
    """A pale fill for areas and its dark partner for edges."""

    fill: str
    edge: str


FILE = Colour("#ffffff", "#7b8794")
TOOL = Colour("#d7e6f7", "#2864a6")
HARDWARE = Colour("#d5eedd", "#23784a")
REFERENCE = Colour("#fdebc2", "#a36a00")
WEIGHT = Colour("#ead9f3", "#74419a")
EMPTY = Colour("#eceff2", "#b4bcc5")
CHANNELS = (Colour("#f8d3cf", "#b23a2e"), Colour("#d5eedd", "#23784a"), Colour("#d7e6f7", "#2864a6"))
LAYERS = (Colour("#e69f00", "#a36a00"), Colour("#56b4e9", "#2864a6"), Colour("#009e73", "#23784a"),
          Colour("#cc79a7", "#74419a"))


@cache
def font(style: str) -> FontProperties:
    """The font file of matplotlib itself: a system font of the same name may be another version.

    Args:
        style: "regular", "bold" or "mono".
    """
    name = {"regular": "DejaVuSans", "bold": "DejaVuSans-Bold", "mono": "DejaVuSansMono"}[style]
    return FontProperties(fname=Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf")


def text_width(line: str, size: float, style: str) -> float:
    """Width of one line of text in points."""
    return float(TextPath((0, 0), line, size=size, prop=font(style)).get_extents().width)


def card(height: float, title: str) -> Axes:
    """An empty figure, WIDTH x height points: a light rounded card (readable on a dark page too) with a title."""
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
    axes.set_axis_off()
    axes.add_patch(_rounded(1, 1, WIDTH - 2, height - 2, Colour("#fbfbf9", "#cfd4d9"), 8))
    label(axes, WIDTH / 2, 20, title, size=LARGE, style="bold")
    return axes


def label(axes: Axes, x: float, y: float, content: str, *, size: float = NORMAL, style: str = "regular",
          colour: str = INK, align: str = "center") -> Text:
    """One line of text with the middle of its capitals at y; `align` is "left", "center" or "right"."""
    return axes.text(x, y + 0.36 * size, content, fontproperties=font(style), size=size, color=colour, ha=align,
                     va="baseline", parse_math=False)


def box(axes: Axes, x: float, y: float, width: float, height: float, colour: Colour, heading: str, detail: str = "", *,
        style: str = "bold", rounded: float = 4) -> None:
    """A rounded box with its corner (top left) at (x, y), a heading and smaller text below it.

    Raises:
        ValueError: if a line of the text is wider than the box.
    """
    axes.add_patch(_rounded(x, y, width, height, colour, rounded))
    lines = [(line, NORMAL, style) for line in heading.splitlines()]
    lines += [(line, SMALL, "regular") for line in detail.splitlines()]
    top = y + height / 2 - 6 * (len(lines) - 1)
    for row, (line, size, line_style) in enumerate(lines):
        if (needed := text_width(line, size, line_style)) > width - 6:
            raise ValueError(f"{line!r} needs {needed:.0f} points; its box has {width - 6:.0f}")
        label(axes, x + width / 2, top + 12 * row, line, size=size, style=line_style)


def cell(axes: Axes, x: float, y: float, width: float, height: float, colour: Colour, content: str = "", *,
         size: float = SMALL, style: str = "mono") -> None:
    """A rectangle of a table or memory."""
    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour.fill, edgecolor=colour.edge, linewidth=0.7))
    if content:
        label(axes, x + width / 2, y + height / 2, content, size=size, style=style)


def arrow(axes: Axes, *points: tuple[float, float], colour: str = LINE, dashed: bool = False) -> None:
    """A line through all points (x, y) with a head at the last one."""
    line = {"color": colour, "linewidth": 1.2, "linestyle": "--" if dashed else "-"}
    axes.plot(*zip(*points[:-1], strict=True), **line)
    axes.add_patch(FancyArrowPatch(points[-2], points[-1], arrowstyle="-|>", mutation_scale=8, shrinkA=0, shrinkB=0,
                                   **line))


def svg(axes: Axes, title: str) -> bytes:
    """The finished figure as an SVG file: the same bytes in every run, no date, text as outlines."""
    output = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "ai8x", "svg.fonttype": "path"}):
        FigureCanvasSVG(axes.figure).print_svg(
            output, metadata={"Title": title, "Creator": "python3 docs/figures/draw.py", "Date": None})
    return output.getvalue()


def _rounded(x: float, y: float, width: float, height: float, colour: Colour, radius: float) -> FancyBboxPatch:
    return FancyBboxPatch((x, y), width, height, boxstyle=f"round,pad=0,rounding_size={radius}", facecolor=colour.fill,
                          edgecolor=colour.edge, linewidth=1)
