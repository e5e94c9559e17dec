"""Whose value every byte of data memory holds while a program runs, layer by layer, without computing any value.

Hardware is followed as the AI84 hardware reference, 1.5, describes it, from decoded registers. A byte that holds an
output value has a number: outputs of all layers are counted through, in the order layer, channel, row, column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .busimage import BusImage
from .device import Device
from .network import Layer, Network
from .yamlvalues import NETWORK_INPUT

NEVER = -1  # nothing has written the byte
WASTE = -2  # hardware wrote it, but not for a channel: dummy masks, the rest of a word, extra words of 4x4 pooling
LOADED = -3  # the program wrote it before the start


@dataclass(frozen=True)
class LayerRun:
    """What the registers make a layer do.

    `inputs` are the enabled processors, `outputs` the processors whose input channels the layer is to write (the
    positions of its output channels); `read` and `write` are the pointers, `step` the words from one group of four
    masks to the next; `column` and `masks` are the first mask RAM column and the number of masks.
    """

    layer: Layer
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    chw: bool
    read: int
    write: int
    step: int
    column: int
    masks: int

    @property
    def first_processor(self) -> int:
        """The processor whose input byte mask 0 writes (1.5, step 6)."""
        return 4 * (self.write >> 12)

    @property
    def output_masks(self) -> NDArray[np.int64]:
        """The mask of every output channel; it may lie outside of the masks that are computed."""
        return np.array(self.outputs, np.int64) - self.first_processor

    @property
    def complete(self) -> bool:
        """Whether there is a processor for every input channel and a computed mask for every output channel."""
        computed = bool(np.all((self.output_masks >= 0) & (self.output_masks < self.masks)))
        return len(self.inputs) == self.layer.in_channels and len(self.outputs) == self.layer.out_channels and computed


@dataclass(frozen=True)
class LayerTrace:
    """What a layer met in data memory; byte addresses are 4 * global word address + lane.

    `bytes_read` and `found` are [channel, pixel]: the byte that the processor reads, and whose value it holds; `due` is
    what it should hold. `overwritten` are the words that the layer both reads and writes. `leaves` tells whether a
    pointer runs over the end of an instance.
    """

    run: LayerRun
    bytes_read: NDArray[np.int64]
    found: NDArray[np.int64]
    due: NDArray[np.int64]
    overwritten: NDArray[np.int64]
    leaves: bool


@dataclass(frozen=True)
class MemoryTrace:
    """All layers that are complete, and the owners of all bytes at the end: int64 [global word address, lane]."""

    layers: tuple[LayerTrace, ...]
    owners: NDArray[np.int64]


def output_numbers(network: Network, index: int) -> NDArray[np.int64]:
    """The numbers of a layer's output values, [channel, pixel]; the network input has LOADED."""
    if index == NETWORK_INPUT:
        channels, height, width = network.input_shape
        return np.full((channels, height * width), LOADED, np.int64)
    sizes = [layer.out_channels * layer.out_height * layer.out_width for layer in network.layers]
    first = sum(sizes[:index])
    return np.arange(first, first + sizes[index]).reshape(network.layers[index].out_channels, -1)


def input_numbers(network: Network, layer: Layer) -> NDArray[np.int64]:
    """What a layer should read, [channel, pixel]: the numbers of outputs, LOADED for the network input."""
    return np.concatenate([output_numbers(network, source) for source in layer.sources])


def input_bytes(network: Network, layer: Layer, data: NDArray[np.int8]) -> NDArray[np.uint8]:
    """The bytes [channel, pixel] of the network input that a layer reads, and 0 for what it reads from layers."""
    parts = [data.view(np.uint8) if source == NETWORK_INPUT else np.zeros(network.delivered(source), np.uint8)
             for source in layer.sources]  # fmt: skip
    return np.concatenate([part.reshape(len(part), -1) for part in parts])


def describe(network: Network, number: int) -> str:
    """In words: what a byte holds."""
    names = {NEVER: "nothing", WASTE: "no channel's output", LOADED: "what was loaded before the start"}
    if number in names:
        return names[number]
    for layer in network.layers:
        pixels = layer.out_height * layer.out_width
        if number < layer.out_channels * pixels:
            channel, pixel = divmod(number, pixels)
            return f"output channel {channel} of layer {layer.index}, {pixel_name(pixel, layer.out_width)}"
        number -= layer.out_channels * pixels
    raise ValueError(f"no output has the number {number}")


def pixel_name(pixel: int, width: int) -> str:
    """Row and column of a pixel."""
    return f"row {pixel // width}, column {pixel % width}"


def trace_memory(image: BusImage, network: Network, runs: Sequence[LayerRun]) -> MemoryTrace:
    """Follow the layers, up to the first that is not complete."""
    written = image.data(image.written)
    owners = np.repeat(np.where(written, LOADED, NEVER)[:, None], 4, 1)
    layers = tuple(_traces(image.device, network, runs, owners))
    return MemoryTrace(layers, owners)


def _traces(
    device: Device, network: Network, runs: Sequence[LayerRun], owners: NDArray[np.int64]
) -> Iterator[LayerTrace]:
    """One layer after the other; `owners` changes on the way."""
    for run in runs:
        if not run.complete:
            return
        read = _bytes_read(device, run) % owners.size
        found = owners.reshape(-1)[read]
        words, block = _output_words(device, network, run)
        owners[words] = block
        touched = np.zeros(len(owners), np.bool_)
        touched[read // 4] = True
        yield LayerTrace(run, read, found, input_numbers(network, run.layer), np.unique(words[touched[words]]),
                         _leaves(device, run, words.shape[1]))  # fmt: skip


def _bytes_read(device: Device, run: LayerRun) -> NDArray[np.int64]:
    """Byte address of every input [channel, pixel] (1.5, step 2.2)."""
    pixels = np.arange(run.layer.height * run.layer.width)
    processors = np.array(run.inputs)[:, None]
    start = processors // 4 * device.instance_words + run.read
    return 4 * start + pixels if run.chw else 4 * (start + pixels) + processors % 4


def _output_words(
    device: Device, network: Network, run: LayerRun
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Global addresses [four masks, word] that the layer writes, and their owners [four masks, word, lane].

    With 4x4 pooling every row begins with two extra words (6.5).
    """
    layer = run.layer
    extra = 2 if layer.pool_size == 4 else 0
    quads, per_row = (run.masks + 3) // 4, layer.out_width + extra
    length = layer.out_height * per_row
    words = run.write + np.arange(quads)[:, None] * run.step + np.arange(length)
    pixel = np.arange(layer.out_height)[:, None] * per_row + extra + np.arange(layer.out_width)
    block = np.full((quads, length, 4), WASTE, np.int64)
    mask = run.output_masks[:, None]
    block[mask // 4, pixel.reshape(-1), mask % 4] = output_numbers(network, layer.index)
    return words % (device.processors // 4 * device.instance_words), block


def _leaves(device: Device, run: LayerRun, output_words: int) -> bool:
    """Whether the input or the output runs over the end of a data memory instance (6.4)."""
    pixels = run.layer.height * run.layer.width
    input_words = (pixels + 3) // 4 if run.chw else pixels
    start = run.write % device.instance_words
    return max(run.read + input_words, start + output_words) > device.instance_words
