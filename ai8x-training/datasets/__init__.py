"""The data sets that training knows. Adding one is a file beside this one and an entry in `REGISTRY`."""

from pathlib import Path

from datasets import cifar10, cifar100, fashionmnist, imagefolder, kws20, mnist
from datasets.images import DataSet, ImageSet

__all__ = ["NAMES", "REGISTRY", "DataSet", "ImageSet", "find"]

ALL = (
    fashionmnist.dataset, fashionmnist.folded, mnist.dataset, cifar10.dataset, cifar10.constant, cifar100.dataset,
    kws20.dataset,
)  # fmt: skip
REGISTRY: dict[str, DataSet] = {dataset.name: dataset for dataset in ALL}
NAMES = (*REGISTRY, imagefolder.NAME)


def find(name: str, data: Path, image_size: int | None) -> DataSet:
    """The data set `name`, one of `NAMES`. What ImageFolder is like depends on the folder `data` and `image_size`.

    Raises UserError when `data` does not hold what ImageFolder needs.
    """
    return imagefolder.describe(data, image_size) if name == imagefolder.NAME else REGISTRY[name]
