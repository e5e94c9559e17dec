"""Weights to the contents of AI85's weight memory (AI85 hardware reference, chapter 5)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..network import Layer, Network
from ..operations import CopyPacked
from ..placement import LayerPlace, Placement, channels_per_pass, set_bits
from .layers import as_executed
from .placement import COLUMN_BYTES


def kernel_copies(device: Device, network: Network, placement: Placement) -> Iterator[CopyPacked]:
    """Every run of consecutive columns of a processor, by processor and column (5.8)."""
    image = np.zeros((device.processors, device.mask_columns, COLUMN_BYTES), np.uint8)
    used = np.zeros(image.shape[:2], np.bool_)
    for layer, place in zip(network.layers, placement.layers, strict=True):
        if layer.convolves and place.stored:
            content = layer_columns(device, as_executed(layer), place)
            where = np.ix_(np.array(set_bits(place.processors)), place.kernel_column + np.array(place.columns))
            image[where] = content[:, list(place.columns)]
            used[where] = True
    for processor in np.flatnonzero(used.any(1)).tolist():
        edges = np.flatnonzero(np.diff(used[processor], prepend=False, append=False)).reshape(-1, 2)
        for first, end in edges.tolist():
            yield CopyPacked(f"kernels_{processor}_{first}", device.kernel(processor, first),
                             image[processor, first:end], f"processor {processor}, columns {first} to {end - 1}")


def layer_columns(device: Device, layer: Layer, place: LayerPlace) -> NDArray[np.uint8]:
    """The columns of a layer as executed, uint8 [processor, column, 9], B[0] first, from its first one on (5.1)."""
    slots = _flattened(device, layer, place) if layer.flatten else _slots(device, layer, place)
    merged = merge(slots, layer.weight_bits)
    stream = merged[:, :, ::-1].reshape(len(merged), -1)  # every kernel begins with its last weight
    total = max(max(place.columns) + 1, -(-stream.shape[1] // COLUMN_BYTES)) * COLUMN_BYTES
    padded = np.pad(stream, ((0, 0), (0, total - stream.shape[1])))
    return padded.reshape(len(stream), -1, COLUMN_BYTES)[:, :, ::-1]


def _slots(device: Device, layer: Layer, place: LayerPlace) -> NDArray[np.int8]:
    """Kernels int8 [processor, slot, taps]: output passes, lanes of the output map, input passes (5.3).

    What has no channel, because its lane is not used or the last pass is not full, is 0.
    """
    kernels = layer.weight.reshape(layer.out_channels, layer.in_channels, -1)
    inputs, outputs = (channels_per_pass(n, device.processors) for n in (layer.in_channels, layer.out_channels))
    lanes = place.masks[:outputs]
    padded = np.zeros((place.out_passes * outputs, place.in_passes * inputs, kernels.shape[2]), np.int8)
    padded[: len(kernels), : kernels.shape[1]] = kernels
    by_pass = padded.reshape(place.out_passes, outputs, place.in_passes, inputs, -1)
    slots = np.zeros((inputs, place.out_passes, lanes[-1] + 1, place.in_passes, kernels.shape[2]), np.int8)
    slots[:, :, lanes] = by_pass.transpose(3, 0, 1, 2, 4)
    return slots.reshape(inputs, -1, kernels.shape[2])


def _flattened(device: Device, layer: Layer, place: LayerPlace) -> NDArray[np.int8]:
    """Weights int8 [processor, slot, 1]: outputs, pixels, input passes (5.4)."""
    inputs = channels_per_pass(layer.in_channels, device.processors)
    pixels = layer.kernel[0] * layer.kernel[1]
    weights = layer.weight.reshape(layer.out_channels, place.in_passes, inputs, pixels)
    return weights.transpose(2, 0, 3, 1).reshape(inputs, -1, 1)


def merge(slots: NDArray[np.int8], bits: int) -> NDArray[np.uint8]:
    """Kernels int8 [..., slot, taps] to bytes: so many slots share a byte as fit, the first in the low bits (5.2)."""
    together = 8 // bits
    padded = np.pad(slots, ((0, 0), (0, -slots.shape[1] % together), (0, 0)))
    groups = padded.reshape(len(slots), -1, together, slots.shape[2]).view(np.uint8) & np.uint8((1 << bits) - 1)
    shifts = (bits * np.arange(together, dtype=np.uint8))[:, None]
    merged: NDArray[np.uint8] = np.bitwise_or.reduce(groups << shifts, axis=2)
    return merged
