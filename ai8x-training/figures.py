"""The confusion matrix as text and as an image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tabulate import tabulate
from torch import Tensor


def confusion_text(matrix: Tensor, classes: Sequence[str]) -> str:
    """The matrix as a table: rows are the true classes, columns the predicted ones."""
    return tabulate([[name, *row] for name, row in zip(classes, matrix.tolist(), strict=True)], headers=["", *classes])


def confusion_canvas(matrix: Tensor, classes: Sequence[str]) -> FigureCanvasAgg:
    """The matrix drawn with its counts, coloured by their share of the row."""
    figure = Figure(figsize=(7, 6.4), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    counts = matrix.numpy()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(
            column,
            row,
            str(count),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share[row, column] > 0.5 else "black",
        )
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    return FigureCanvasAgg(figure)


def confusion_image(matrix: Tensor, classes: Sequence[str]) -> np.ndarray:
    """The drawn matrix as uint8 [H, W, 3]."""
    canvas = confusion_canvas(matrix, classes)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def save_confusion(matrix: Tensor, classes: Sequence[str], path: Path) -> None:
    """Write the drawn matrix as PNG."""
    confusion_canvas(matrix, classes).figure.savefig(path)
