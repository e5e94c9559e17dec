"""Weights that no training made, for networks of AI85 that are only described."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..checkpoint import Checkpoint, LayerWeights
from ..network import Part
from ..yamlcfg import SUPPORTED_DATASETS, Description, LayerDescription
from ..yamlvalues import NETWORK_INPUT
from .layers import build_layer

Shape = tuple[int, int, int]
SMALLEST_SPREAD = 0.6  # of the integers that narrow weights are, so that not all of them are 0


def layer_weights(description: Description, input_shape: Shape) -> Iterator[LayerWeights]:
    """Weights of 0 in the shapes that the description wants, of every layer that has weights.

    The output channels of a layer are its `out_channels`, or are counted from the map of the processors that they go
    to, or of the last layer are the classes of the data set. Where a layer has more output channels than there are
    processors, only `out_channels` tells how many.
    """
    shapes = {NETWORK_INPUT: input_shape}
    for index, described in enumerate(description.layers):
        sources = description.sources(index)
        channels = sum(shapes[source][0] for source in sources)
        size = described.in_dim or shapes[sources[0]][1:]
        stored = None
        if described.has_weights:
            outputs = described.out_channels or _outputs(description, index)
            shape = (outputs, *_inputs(described, channels, size))
            stored = LayerWeights(f"layer{index}", np.zeros(shape, np.int8), None, described.quantization or 8)
            yield stored
        layer = build_layer(Part(index, described, stored, sources, (channels, *size)))
        shapes[index] = (layer.out_channels, max(1, layer.out_height), max(1, layer.out_width))


def _inputs(described: LayerDescription, channels: int, size: tuple[int, ...]) -> tuple[int, ...]:
    """Input channels and kernel of a layer's weights."""
    if described.op == "linear" or described.flatten:
        return (channels * size[0] * size[1] if described.flatten else channels,)
    if described.op == "conv1d":
        return (channels, described.kernel_size if isinstance(described.kernel_size, int) else 9)
    sides = str(described.kernel_size or "3x3").split("x")
    return (channels, int(sides[0]), int(sides[-1]))


def _outputs(description: Description, index: int) -> int:
    reader = description.reader(index)
    last = index == len(description.layers) - 1
    bitmap = (description.output_map if last else None) or description.layers[index].output_processors
    if bitmap or reader is not None:
        return (bitmap or description.layers[reader or 0].processors).bit_count()
    dataset = SUPPORTED_DATASETS.get(description.dataset.lower())
    return len(dataset.classes) if dataset else 1


def untrained(description: Description, input_shape: Shape) -> Checkpoint:
    """Weights of 0 for a network that is only described."""
    return Checkpoint("no checkpoint", description.arch, tuple(layer_weights(description, input_shape)), None)


def random_weights(description: Description, input_shape: Shape, seed: int) -> Checkpoint:
    """Random weights, spread so that the values of a layer are about as large as those of the layer before."""
    random = np.random.default_rng(seed)
    layers = []
    for layer in layer_weights(description, input_shape):
        largest = 1 << layer.weight_bits - 1
        spread = max(SMALLEST_SPREAD, largest * np.sqrt(2 / layer.weight[0].size))
        values = np.clip(np.rint(random.normal(0, spread, layer.weight.shape)), -largest, largest - 1)
        layers.append(replace(layer, weight=values.astype(np.int8)))
    return Checkpoint(f"random weights of seed {seed}", description.arch, tuple(layers), None)
