"""Lets torchvision be imported beside a CPU-only PyTorch; import this before torchvision.

torchvision's wheel is built for CUDA. Beside a CPU-only PyTorch its compiled operators do not load, and torchvision
cannot be imported because it registers further functions for `torchvision::nms` and `torchvision::qnms`, which then do
not exist. Declaring the two schemas first is enough: only torchvision's downloads are used, nothing calls these.
"""

import importlib.util

import torch

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def declare_operators() -> torch.library.Library | None:
    """Declare the operators that torchvision's own library would bring; None when PyTorch has CUDA and loads it."""
    if torch.version.cuda or importlib.util.find_spec("torchvision") is None:
        return None
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS.values():
        library.define(schema)
    return library


LIBRARY = declare_operators()
"""Kept alive here: the declarations last as long as this object."""
