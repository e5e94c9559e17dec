"""The data sets that training knows. Adding one is a file beside this one and an entry in `REGISTRY`."""

from datasets import fashionmnist, mnist
from datasets.images import DataSet, ImageSet

__all__ = ["REGISTRY", "DataSet", "ImageSet"]

REGISTRY: dict[str, DataSet] = {module.dataset.name: module.dataset for module in (fashionmnist, mnist)}
