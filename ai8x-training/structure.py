"""What a checkpoint says about its network: a YAML description of the layers, which says nothing of where they lie."""

from typing import Any

import yaml
from torch import nn

import ai84
import ai85
from ai84net import Ai84Net
from ai85net import Ai85Net

Described = dict[str, Any]
OPERATIONS = {"Conv2d": "conv2d", "Conv1d": "conv1d", "Linear": "linear"}
"""What descriptions call the operators with weights."""


def describe(model: nn.Module, arch: str, dataset: str) -> str:
    """The network description that cnn-gen.py --auto completes; empty for a network that is not one of the devices'.

    Args:
        dataset: what descriptions call the data set.
    """
    if isinstance(model, Ai84Net):
        layers = [ai84_layer(model.get_submodule(name)) for name in model.conv_names]
    elif isinstance(model, Ai85Net):
        layers = [ai85_layer(model.get_submodule(name), model.in_dims.get(name)) for name in model.layer_names]
        layers[-1] |= flattened(model)
    else:
        return ""
    return yaml.safe_dump({"arch": arch, "dataset": dataset, "layers": layers}, sort_keys=False, width=120)


def ai84_layer(layer: nn.Module) -> Described:
    """The parameters of a layer of AI84."""
    if isinstance(layer, ai84.Conv1d):
        described: Described = {"op": "conv1d", "pad": int(layer.operator.padding[0])}
        return described | activation(layer.activation)
    assert isinstance(layer, ai84.Conv2d)
    conv = layer.settings
    described = {}
    if conv.pooling:
        described = {f"{conv.pooling.lower()}_pool": conv.pool_size, "pool_stride": conv.pool_stride}
    return described | {"pad": conv.padding} | activation(conv.activation)


def activation(name: str | None) -> Described:
    """The key for an activation, if there is one."""
    return {"activate": name} if name else {}


def ai85_layer(layer: nn.Module, in_dim: tuple[int, int] | None) -> Described:
    """The parameters of a layer of AI85."""
    assert isinstance(layer, ai85.Layer)
    conv = layer.settings
    flat = conv.operator in ("Conv1d", "Pool1d")
    described: Described = {"op": OPERATIONS.get(conv.operator, "none")}
    if in_dim is not None:
        described["in_dim"] = in_dim[0] if flat else list(in_dim)
    if conv.pooling:
        described[f"{conv.pooling.lower()}_pool"] = conv.pool_size[0] if flat else list(conv.pool_size)
        described["pool_stride"] = conv.pool_stride[0] if flat else list(conv.pool_stride)
    if conv.operator == "Conv2d":
        described |= {"kernel_size": f"{conv.kernel[0]}x{conv.kernel[1]}", "pad": conv.padding[0]}
    elif conv.operator == "Conv1d":
        described |= {"kernel_size": conv.kernel[0], "pad": conv.padding[0]}
    if conv.dilation != 1:
        described["dilation"] = conv.dilation
    if conv.wide:
        described["output_width"] = 32
    return described | activation(conv.activation)


def flattened(model: Ai85Net) -> Described:
    """The last layer reads all pixels of all channels at once, if there are several."""
    before = model.get_submodule(model.layer_names[-2])
    assert isinstance(before, ai85.Layer)
    return {"flatten": True} if model.fc.settings.in_channels != before.settings.out_channels else {}
