"""What `train.py --check` does: say whether the device can hold a network, before anything is trained or downloaded."""

import argparse
import logging

import torch
from tabulate import tabulate

import construction
from analysis.layers import layers_of, times

log = logging.getLogger(__name__)


def check(options: argparse.Namespace) -> None:
    """Print the network layer by layer; UserError with the rules that it breaks."""
    model = construction.build_model(options, torch.device("cpu"))
    layers = layers_of(model, construction.data_set(options).input)
    rows = [
        (times(layer.input), layer.pooling, layer.padding, layer.activation, times(layer.output),
         layer.weights + layer.biases)
        for layer in layers
    ]  # fmt: skip
    log.info("%s", tabulate(rows, ("input", "pooling", "padding", "activation", "output", "parameters")))
    total = sum(layer.weights + layer.biases for layer in layers)
    log.info("%s for %s: %d parameters; all rules of %s for layers hold", options.arch, options.dataset, total,
             options.device.name)  # fmt: skip
    log.info("Where the layers live is checked with ai8x-synthesis/cnn-gen.py --check")
