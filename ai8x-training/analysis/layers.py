"""What each layer of a network is and does, from the network itself."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

import ai84
import ai85

INPUT = "input"
"""Stands for the network's input among the sources of a layer."""


@dataclass(frozen=True)
class LayerInfo:
    """A layer of a network.

    Attributes:
        name: in the network.
        operation: Conv2d, Linear and so on; what it does to images is in `pooling`, `kernel`, `padding`, `activation`.
        sources: the layers (or INPUT) whose outputs it reads.
        input, output: shapes of one sample.
        weights, biases: how many there are.
        weight_bits: of one weight on the device; the biases have 8.
        macs: multiplications for one sample.
    """

    name: str
    operation: str
    sources: tuple[str, ...]
    input: tuple[int, ...]
    output: tuple[int, ...]
    pooling: str
    kernel: str
    padding: str
    activation: str
    weights: int
    biases: int
    weight_bits: int
    macs: int


class LayerTracer(fx.Tracer):
    """Records which layers a network calls, without looking into them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_layer(m)


def is_layer(module: nn.Module) -> bool:
    """Whether a module is a layer of AI84 or AI85."""
    return isinstance(module, ai84.Layer | ai85.Layer)


def operator(layer: nn.Module) -> Any:
    """The part of a layer that holds weight and bias; None where it only pools."""
    if isinstance(layer, ai84.SoftwareLinear):
        return layer.linear
    return layer.operator if isinstance(layer, ai84.Convolution) else layer.op


@torch.no_grad()
def layers_of(model: nn.Module, shape: tuple[int, ...]) -> tuple[LayerInfo, ...]:
    """All layers of `model` in the order in which they run on a sample of `shape`. The model stays as it is."""
    training, device = model.training, next(model.parameters()).device
    graph = fx.GraphModule(model.eval(), LayerTracer().trace(model))
    ShapeProp(graph).propagate(torch.zeros(1, *shape, device=device))
    model.train(training)
    return tuple(
        describe(str(node.target), model.get_submodule(str(node.target)), node)
        for node in graph.graph.nodes
        if node.op == "call_module"
    )


def describe(name: str, layer: nn.Module, node: fx.Node) -> LayerInfo:
    """What a layer does at `node`, whose shapes are known."""
    source, output = (shape_of(at) for at in (node.args[0], node))
    part = operator(layer)
    weight, bias = getattr(part, "weight", None), getattr(part, "bias", None)
    return LayerInfo(
        name,
        type(part).__name__ if part is not None else "Pooling",
        tuple(dict.fromkeys(found for argument in node.all_input_nodes for found in sources(argument))),
        source,
        output,
        pooling(layer),
        kernel(weight),
        padding(part),
        activation(layer),
        count(weight),
        count(bias),
        getattr(layer, "bits", 8),
        math.prod(output) * (weight[0].numel() if weight is not None else 0),
    )


def sources(node: fx.Node) -> list[str]:
    """The layers whose outputs reach `node` through nothing but changes of shape."""
    if node.op == "placeholder":
        return [INPUT]
    if node.op == "call_module":
        return [str(node.target)]
    return [found for argument in node.all_input_nodes for found in sources(argument)]


def shape_of(node: Any) -> tuple[int, ...]:
    """The shape of one sample of what `node` gives."""
    return tuple(node.meta["tensor_meta"].shape[1:])


def count(parameter: Tensor | None) -> int:
    """How many values there are."""
    return parameter.numel() if parameter is not None else 0


def pooling(layer: nn.Module) -> str:
    """Kind, window and stride of the pooling, if any."""
    settings = getattr(layer, "settings", None)
    if settings is None or settings.pooling is None:
        return ""
    (rows, columns), (step, _) = ai85.pair(settings.pool_size), ai85.pair(settings.pool_stride)
    return f"{settings.pooling} {rows}x{columns}/{step}"


def kernel(weight: Tensor | None) -> str:
    """Height and width of a convolution's kernel."""
    return times(weight.shape[2:]) if weight is not None else ""


def padding(part: nn.Module | None) -> str:
    """Rows that a convolution adds on either side."""
    return str(part.padding[0]) if hasattr(part, "padding") else ""


def activation(layer: nn.Module) -> str:
    """The activation, or that the layer is not on the accelerator."""
    if isinstance(layer, ai84.SoftwareLinear):
        return "in software"
    kind = layer.activation if isinstance(layer, ai84.Convolution) else layer.settings.activation
    return kind or ""


def times(shape: tuple[int, ...]) -> str:
    """A shape as text, 60x28x28."""
    return "x".join(map(str, shape))
