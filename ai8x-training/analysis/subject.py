"""The network that an analysis looks at."""

import argparse

import torch
from torch import nn

import checkpoint
import construction


def load_network(options: argparse.Namespace, device: torch.device) -> nn.Module:
    """The network of --model, with the weights of --exp-load-weights-from where they are given, ready to evaluate."""
    model = construction.build_model(options, device)
    if options.exp_load_weights_from is not None:
        found = checkpoint.load(options.exp_load_weights_from)
        checkpoint.require_quantized(found, options.simulate)
        checkpoint.load_weights(model, found, options.arch)
    return model.eval()
