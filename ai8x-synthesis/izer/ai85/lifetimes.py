"""Whose value every byte of AI85's data memory holds while a program runs, without computing any value.

Hardware is followed as the AI85 hardware reference, chapter 7, describes it. Bytes and outputs have numbers as in
izer/lifetimes.py; a 32-bit output gives its number to four bytes. Pointers come from registers; all other registers are
required to be what the network's shapes make them, so that their effect is computed from these shapes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..lifetimes import LOADED, NEVER, WASTE, input_numbers, output_numbers
from ..network import Network
from .busimage import BusImage
from .execution import LayerRun


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
        read = bytes_read(device, run) % owners.size
        found = owners.reshape(-1)[read]
        words, lanes, numbers = _written(device, network, run)
        words %= len(owners)
        if run.layer.wide:
            owners[words] = numbers[:, :, None]
        else:
            owners[words, lanes] = numbers
        touched = np.zeros(len(owners), np.bool_)
        touched[read // 4] = True
        yield LayerTrace(run, read, found, input_numbers(network, run.layer), np.unique(words[touched[words]]),
                         _leaves(device, run))  # fmt: skip


def bytes_read(device: Device, run: LayerRun) -> NDArray[np.int64]:
    """Byte address of every input [channel, pixel] (7.1, 7.2)."""
    pixel = np.arange(run.layer.height * run.layer.width)
    step, place = np.divmod(np.arange(run.layer.in_channels)[:, None], len(run.inputs))
    processor = np.array(run.inputs)[place]
    start = processor // 4 * device.instance_words + run.read
    return 4 * start + pixel if run.chw else 4 * (start + pixel * run.in_passes + step) + processor % 4


Written = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _written(device: Device, network: Network, run: LayerRun) -> Written:
    """Global word addresses [slot, pixel] that a layer writes, lanes [slot, 1], numbers [slot, pixel]."""
    return _convolved(device, network, run) if run.layer.convolves else _passed_through(device, network, run)


def _convolved(device: Device, network: Network, run: LayerRun) -> Written:
    """Output passes take turns in a pixel's words; all quadrants write through the master's pointer (7.3).

    A wide output takes the word of its lane, of four (7.4).
    """
    size, executed = 4 if run.layer.wide else 1, run.execution
    step, lane = np.divmod(np.arange(run.slot_count)[:, None], run.lanes)
    start = run.writes[0] + lane // 4 * device.instance_words + (lane % 4 if run.layer.wide else 0)
    words = start + size * (step + run.out_passes * np.arange(executed.pixels))
    numbers = np.full(words.shape, WASTE, np.int64)
    outputs = output_numbers(network, run.layer.index)
    numbers[run.slots, executed.ahead : executed.ahead + outputs.shape[1]] = outputs
    return words, lane % 4, numbers


def _passed_through(device: Device, network: Network, run: LayerRun) -> Written:
    """Every quadrant writes its enabled processors, four to a word, through a pointer of its own (7.5)."""
    outputs = output_numbers(network, run.layer.index)
    step, place = np.divmod(np.arange(run.in_passes * len(run.inputs)), len(run.inputs))
    group = np.array(run.inputs)[place] // 16
    turn = np.concatenate([np.arange(len(run.enabled(g))) for g in sorted(run.groups)])[place]
    start = np.array(run.writes)[group] + turn // 4 * device.instance_words + step
    words = start[:, None] + run.in_passes * np.arange(outputs.shape[1])
    numbers = np.full(words.shape, WASTE, np.int64)
    numbers[: len(outputs)] = outputs  # the last pass need not use all processors
    return words, turn[:, None] % 4, numbers


def _leaves(device: Device, run: LayerRun) -> bool:
    """Whether the input or the output runs over the end of a data memory instance (7.8)."""
    executed, layer = run.execution, run.layer
    pixels = layer.height * layer.width if layer.flatten else executed.rows * executed.columns
    input_words = (pixels + 3) // 4 if run.chw else pixels * run.in_passes
    output_words = executed.pixels * run.out_passes * (4 if layer.wide else 1)
    groups = {0} if layer.convolves else run.groups
    start = max(run.writes[group] % device.instance_words for group in groups)
    return max(run.read + input_words, start + output_words) > device.instance_words
