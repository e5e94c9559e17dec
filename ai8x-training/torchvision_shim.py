"""Imports torchvision beside a CPU-only PyTorch.

torchvision's wheel is built for CUDA. Beside a CPU-only PyTorch its compiled operators do not load, and torchvision
cannot be imported because it registers further functions for `torchvision::nms` and `torchvision::qnms`, which then do
not exist. Declaring the two schemas first is enough: only torchvision's downloads and transforms are used, nothing
calls these.
"""

import importlib
from functools import cache
from types import ModuleType

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def declare_operators() -> torch.library.Library:
    """Declare the operators that torchvision's own library would bring; they last as long as the result."""
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    return library


def torchvision_datasets() -> ModuleType:
    """The module torchvision.datasets."""
    return imported("torchvision.datasets")


def torchvision_transforms() -> ModuleType:
    """The module torchvision.transforms."""
    return imported("torchvision.transforms")


def imported(name: str) -> ModuleType:
    """A module of torchvision; where PyTorch has CUDA, torchvision's own operators load."""
    if not torch.version.cuda:
        declare_operators()
    return importlib.import_module(name)
