"""The data sets that training knows. Adding one is a file beside this one and an entry in `REGISTRY`."""

from pathlib import Path

from datasets import cifar10, cifar100, fashionmnist, imagefolder, kws20, mnist, signals
from datasets.images import DataSet, ImageSet

__all__ = ["NAMES", "REGISTRY", "DataSet", "ImageSet", "find"]

ALL = (
    fashionmnist.dataset, fashionmnist.folded, mnist.dataset, cifar10.dataset, cifar10.constant, cifar100.dataset,
    kws20.dataset,
)  # fmt: skip
REGISTRY: dict[str, DataSet] = {dataset.name: dataset for dataset in ALL}
NAMES = (*REGISTRY, imagefolder.NAME, signals.NAME)


def find(name: str, data: Path, image_size: int | None) -> DataSet:
    """The data set `name`, one of `NAMES`. What a user's own data are like depends on the folder `data`.

    Args:
        image_size: side of the pictures of ImageFolder, None: as they are.

    Raises UserError when `data` does not hold what ImageFolder or Signals needs.
    """
    if name == imagefolder.NAME:
        return imagefolder.describe(data, image_size)
    return signals.describe(data) if name == signals.NAME else REGISTRY[name]
