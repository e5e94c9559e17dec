"""What `train.py --check` does: say whether the device can hold a network, before anything is trained or downloaded."""

import argparse
import logging

import torch
from tabulate import tabulate
from torch import Tensor, nn

import ai84
import ai85
import construction

log = logging.getLogger(__name__)

Row = tuple[str, str, str, str, str, int]


def check(options: argparse.Namespace) -> None:
    """Print the network layer by layer; UserError with the rules that it breaks."""
    model = construction.build_model(options, torch.device("cpu"))
    rows: list[Row] = []
    for layer in model.modules():
        if isinstance(layer, ai84.Conv2d | ai84.SoftwareLinear | ai85.Layer):
            layer.register_forward_hook(lambda layer, inputs, output: rows.append(row(layer, inputs[0], output)))
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, *construction.data_set(options).input))
    log.info("%s", tabulate(rows, ("input", "pooling", "padding", "activation", "output", "parameters")))
    total = sum(p.numel() for p in model.parameters())
    log.info("%s for %s: %d parameters; all rules of %s for layers hold", options.arch, options.dataset, total,
             options.device.name)  # fmt: skip
    log.info("Where the layers live is checked with ai8x-synthesis/cnn-gen.py --check")


def row(layer: nn.Module, data: Tensor, output: Tensor) -> Row:
    """What the table says about a layer that made `output` of `data`."""
    parameters = sum(p.numel() for p in layer.parameters())
    if isinstance(layer, ai84.SoftwareLinear):
        return shape(data), "", "", "in software", shape(output), parameters
    settings = layer.settings
    padding = settings.padding[0] if isinstance(settings.padding, tuple) else settings.padding
    return shape(data), pooling(layer), str(padding), settings.activation or "", shape(output), parameters


def pooling(layer: ai84.Conv2d | ai85.Layer) -> str:
    """Kind, window and stride of the pooling, if any."""
    settings = layer.settings
    if settings.pooling is None:
        return ""
    (rows, columns), (step, _) = ai85.pair(settings.pool_size), ai85.pair(settings.pool_stride)
    return f"{settings.pooling} {rows}x{columns}/{step}"


def shape(data: Tensor) -> str:
    """The shape of one sample."""
    return "x".join(map(str, data.shape[1:]))
