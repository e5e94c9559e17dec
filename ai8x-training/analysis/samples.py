"""Pictures of a data set: some training samples of every class, as training sees them with and without variation."""


import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import pipeline
from analysis.outputs import new_figure
from datasets import DataSet, ImageSet
from pipeline import Augmentation

COLUMNS, VARIED = 6, 3
"""Samples of a class, and how many of them are shown as training varies them."""
MANY = 25
"""Of more classes, one sample each is shown."""


def draw(dataset: DataSet, training: ImageSet, augmentation: Augmentation) -> Figure:
    """One row for each class with its name; of data sets with many classes one sample each."""
    if len(dataset.classes) > MANY:
        return draw_many(dataset, training)
    return draw_rows(dataset, training, augmentation)


def first_of(training: ImageSet, label: int, count: int) -> Tensor:
    """The first `count` samples of a class, [n, C, H, W]."""
    return training.images[(training.labels == label).nonzero()[:count, 0]]


def draw_rows(dataset: DataSet, training: ImageSet, augmentation: Augmentation) -> Figure:
    """Each class in a row: samples as they are, and further ones as training varies them."""
    classes, wide = len(dataset.classes), training.images.shape[3] == 1
    figure = new_figure(COLUMNS * (1.3 if wide else 0.64) + 0.9, classes * (0.5 if wide else 0.62) + 0.3, "constrained")
    grid = figure.subplots(classes, COLUMNS, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    random = torch.Generator().manual_seed(0)
    for label, name in enumerate(dataset.classes):
        samples = first_of(training, label, COLUMNS)
        varied = pipeline.augment(samples[COLUMNS - VARIED :], augmentation, random)
        for axes, sample in zip(grid[label], (*samples[: COLUMNS - VARIED], *varied), strict=False):
            show(axes, sample.numpy())
        grid[label][0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    grid[0][0].set_title("as they are", fontsize=8, loc="left")
    grid[0][COLUMNS - VARIED].set_title("varied", fontsize=8, loc="left")
    return figure


def draw_many(dataset: DataSet, training: ImageSet) -> Figure:
    """The first sample of each class with its name."""
    rows = -(-len(dataset.classes) // 10)
    figure = new_figure(9, 1.05 * rows, "constrained")
    grid = figure.subplots(rows, 10, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for label, (axes, name) in enumerate(zip(grid.flat, dataset.classes, strict=False)):
        for sample in first_of(training, label, 1):
            show(axes, sample.numpy())
        axes.set_title(name, fontsize=6, pad=2)
    return figure


def show(axes: Axes, sample: np.ndarray) -> None:
    """A sample, uint8 [C, H, W]: a grey or colour picture, curves of few channels, or the values of many."""
    channels, _, width = sample.shape
    if width == 1 and channels <= 6:
        axes.plot(sample[:, :, 0].T, linewidth=0.6)
        axes.set_ylim(0, 255)
    elif width == 1:
        axes.imshow(sample[:, :, 0], cmap="gray", vmin=0, vmax=255, aspect="auto")
    elif channels == 1:
        axes.imshow(sample[0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        axes.imshow(sample[:3].transpose(1, 2, 0), interpolation="nearest")
