"""How the analyses make pictures and tables."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from files import replacing


def new_figure(width: float, height: float, layout: str | None = None) -> Figure:
    """An empty figure of a size in inches; no window, no global state of matplotlib."""
    figure = Figure(figsize=(width, height), dpi=100, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG file, whose bytes depend on nothing but what is drawn and the version of matplotlib."""
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", metadata={"Software": None})


def write_csv(path: Path, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with a line of names."""
    with replacing(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(headers)
        writer.writerows(rows)
