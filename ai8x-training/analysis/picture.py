"""A picture of a network: its layers from top to bottom, with their shares of weights and work."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from analysis.layers import INPUT, LayerInfo, times
from analysis.outputs import new_figure, save_figure

ROW, BOX, WIDTH = 1.0, 0.62, 4.6
"""Distance of two layers, height and width of a box, in inches."""
BARS, BAR_WIDTH = WIDTH + 0.55, 1.5
LEFT, RIGHT = -0.6, BARS + BAR_WIDTH + 0.2
COLOURS = {"Conv2d": "#d7e6f7", "Conv1d": "#d5eedd", "Linear": "#ead9f3", "Pooling": "#eceff2"}
WEIGHTS, WORK, INK = "#74419a", "#2864a6", "#1d2733"


def save(layers: Sequence[LayerInfo], path: Path) -> None:
    """Draw `layers`, in execution order, into a PNG file."""
    save_figure(draw(layers), path)


def draw(layers: Sequence[LayerInfo]) -> Figure:
    """One box per layer, an arrow for what it reads, and two bars: its share of all weights and multiplications."""
    height = ROW * len(layers) + 0.8
    figure = new_figure(RIGHT - LEFT, height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(LEFT, RIGHT), ylim=(-height, 0))
    axes.axis("off")
    tops = {INPUT: -0.35} | {layer.name: -0.75 - ROW * number for number, layer in enumerate(layers)}
    axes.text(WIDTH / 2, -0.3, f"input {times(layers[0].input)}", ha="center", va="bottom", color=INK)
    weights, macs = (max(sum(values), 1) for values in zip(*((x.weights, x.macs) for x in layers), strict=True))
    for layer in layers:
        top = tops[layer.name]
        draw_box(axes, layer, top)
        draw_bar(axes, top, 0.12, layer.weights / weights, WEIGHTS, "weights")
        draw_bar(axes, top, 0.38, layer.macs / macs, WORK, "MACs")
        for source in layer.sources:
            draw_arrow(axes, tops[source] - (BOX if source != INPUT else 0), top)
    return figure


def draw_box(axes: Axes, layer: LayerInfo, top: float) -> None:
    """The layer's name, what it does and what it has; below it the shape of its output."""
    box = FancyBboxPatch((0, top - BOX), WIDTH, BOX, boxstyle="round,pad=0,rounding_size=0.06",
                         facecolor=COLOURS.get(layer.operation, "white"), edgecolor=INK, linewidth=0.8)  # fmt: skip
    axes.add_patch(box)
    axes.text(0.12, top - 0.2, layer.name, va="center", weight="bold", color=INK)
    axes.text(WIDTH - 0.12, top - 0.2, f"{layer.weights + layer.biases:,} parameters", va="center", ha="right")
    axes.text(0.12, top - 0.45, steps(layer), va="center", fontsize=8, color=INK)
    axes.text(WIDTH / 2 + 0.08, top - BOX - 0.19, times(layer.output), va="center", fontsize=8, color=INK)


def steps(layer: LayerInfo) -> str:
    """What a layer does, in the order in which it does it."""
    padded = f", padding {layer.padding}" if layer.padding not in ("", "0") else ""
    operation = f"{layer.operation} {layer.kernel}{padded}".strip()
    parts = (layer.pooling, operation if layer.operation != "Pooling" else "", layer.activation)
    return "  >  ".join(filter(None, parts))


def draw_bar(axes: Axes, top: float, below: float, share: float, colour: str, what: str) -> None:
    """A bar whose length is `share` (0 to 1) of its frame, `below` inches under the top of the box."""
    place = (BARS, top - below - 0.12)
    axes.add_patch(Rectangle(place, BAR_WIDTH, 0.12, facecolor="none", edgecolor="#b4bcc5", linewidth=0.6))
    axes.add_patch(Rectangle(place, BAR_WIDTH * share, 0.12, facecolor=colour, linewidth=0))
    axes.text(BARS, place[1] + 0.13, f"{100 * share:.0f} % of {what}", fontsize=6.5, va="bottom", color=INK)


def draw_arrow(axes: Axes, start: float, end: float) -> None:
    """From the bottom of a box to the top of another; around the boxes between them."""
    direct = start - end < ROW
    bend, x = ("arc3", WIDTH / 2) if direct else ("arc3,rad=-0.35", 0.0)
    arrow = FancyArrowPatch((x, start), (x, end), arrowstyle="-|>", mutation_scale=9, connectionstyle=bend,
                            color=INK, linewidth=0.9, shrinkA=0, shrinkB=0)  # fmt: skip
    axes.add_patch(arrow)
