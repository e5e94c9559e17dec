"""The confusion matrix as text and as an image; what it says about each class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tabulate import tabulate
from torch import Tensor

MAX_NUMBERED = 25
"""Up to so many classes, the numbers in a picture of the matrix are legible."""


def confusion_text(matrix: Tensor, classes: Sequence[str]) -> str:
    """The matrix as a table: rows are the true classes, columns the predicted ones."""
    return tabulate([[name, *row] for name, row in zip(classes, matrix.tolist(), strict=True)], headers=["", *classes])


def per_class_text(matrix: Tensor, classes: Sequence[str]) -> str:
    """A table: of the images of each class, and of those taken for it, the share that is right; its commonest mistake.

    Args:
        matrix: counts by true class (row) and predicted class (column), int64 [classes, classes].
    """
    headers = ("class", "images", "right", "accuracy", "precision", "taken for", "times")
    rows = [class_row(number, matrix, classes) for number in range(len(classes))]
    return tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * 4, "left", "right"))


def class_row(number: int, matrix: Tensor, classes: Sequence[str]) -> tuple[object, ...]:
    """What the matrix says about one class."""
    right = int(matrix[number, number])
    mistakes = matrix[number].clone()
    mistakes[number] = 0
    times = int(mistakes.max())
    other = classes[int(mistakes.argmax())] if times else ""
    images, predicted = int(matrix[number].sum()), int(matrix[:, number].sum())
    return classes[number], images, right, percent(right, images), percent(right, predicted), other, times or ""


def percent(part: int, whole: int) -> str:
    """A share; nothing where there is none."""
    return f"{100 * part / whole:.2f} %" if whole else "-"


def confusion_canvas(matrix: Tensor, classes: Sequence[str]) -> FigureCanvasAgg:
    """The matrix drawn with its counts, coloured by their share of the row; of many classes without numbers."""
    side = max(7.0, 0.16 * len(classes))
    figure = Figure(figsize=(side, 0.92 * side), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    counts = matrix.numpy()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts) if len(classes) <= MAX_NUMBERED else ():
        axes.text(
            column,
            row,
            str(count),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share[row, column] > 0.5 else "black",
        )
    size = 10 if len(classes) <= MAX_NUMBERED else 6
    axes.set_xticks(range(len(classes)), classes, rotation=45 if size == 10 else 90, ha="right", fontsize=size)
    axes.set_yticks(range(len(classes)), classes, fontsize=size)
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
