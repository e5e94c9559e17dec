"""What `train.py --check` does: say whether AI84 can hold a network, before anything is trained or downloaded."""

import argparse
import logging

import torch
from tabulate import tabulate

import ai84
import construction

log = logging.getLogger(__name__)


def check(options: argparse.Namespace) -> None:
    """Print the network layer by layer; UserError with the rules that it breaks."""
    model = construction.build_model(options, torch.device("cpu"))
    channels, height, width = construction.data_set(options).input
    rows = []
    for layer in model.modules():
        if isinstance(layer, ai84.Conv2d):
            conv = layer.settings
            source = f"{channels}x{height}x{width}"
            channels, height, width = conv.out_channels, layer.output_side(height), layer.output_side(width)
            pooling = f"{conv.pooling} {conv.pool_size}x{conv.pool_size}/{conv.pool_stride}" if conv.pooling else ""
            rows.append((source, pooling, conv.padding, conv.activation or "", f"{channels}x{height}x{width}",
                         sum(p.numel() for p in layer.parameters())))  # fmt: skip
        elif isinstance(layer, ai84.SoftwareLinear):
            linear = layer.linear
            parameters = sum(p.numel() for p in layer.parameters())
            rows.append((linear.in_features, "", "", "in software", linear.out_features, parameters))
    log.info("%s", tabulate(rows, ("input", "pooling", "padding", "activation", "output", "parameters")))
    total = sum(p.numel() for p in model.parameters())
    log.info("%s for %s: %d parameters; all rules of AI84 for layers hold", options.arch, options.dataset, total)
    log.info("Where the layers live is checked with ai8x-synthesis/cnn-gen.py --check")
