"""What the checks of a finished program of AI84 look at: its operations, and what hardware makes of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .. import lifetimes
from ..busimage import CTL_ENABLE, BusImage, data_words
from ..device import Device
from ..network import Layer, Network
from ..operations import Program

WPTR_BASE, WPTR_OFF, RPTR_BASE, LCTL, MCNT, ENA = 6, 7, 8, 9, 10, 12  # indices of layer registers (3.2)


@dataclass(frozen=True)
class Evidence:
    """What the checks look at: the program as operations and as the state of the bus when it starts the run."""

    device: Device
    network: Network
    data: NDArray[np.int8]
    program: Program
    image: BusImage

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """The groups that are started."""
        return tuple(sorted({group for group, value in self.image.control if value & CTL_ENABLE}))

    @cached_property
    def runs(self) -> tuple[lifetimes.LayerRun, ...]:
        """The layers as group 0, the master, decodes them."""
        registers = self.image.layer_registers
        inputs = [_enabled(registers[:, ENA, layer.index]) for layer in self.network.layers]
        outputs = [*_read_from(self.network, inputs), _unloaded(self.device, self.program)]
        chw = self.network.data_format == "chw"
        return tuple(_decode(layer, registers[0, :, layer.index], inputs[layer.index], outputs[layer.index],
                             chw and layer.index == 0) for layer in self.network.layers)  # fmt: skip

    @cached_property
    def memory(self) -> lifetimes.MemoryTrace:
        """Whose value every byte of data memory holds."""
        return lifetimes.trace_memory(self.image, self.network, self.runs)


def _enabled(registers: NDArray[np.int64]) -> tuple[int, ...]:
    """Processors, counted through all groups, that ENA of the groups enables (3.7)."""
    return tuple(np.flatnonzero(registers[:, None] >> np.arange(16) & 1).tolist())


def _read_from(network: Network, inputs: list[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Of every layer but the last: the processors with which the first layer that reads it reads its channels."""
    for layer in network.layers[:-1]:
        reader = next(later for later in network.layers if layer.index in later.sources)
        before = reader.sources[: reader.sources.index(layer.index)]
        first = sum(network.delivered(source)[0] for source in before)
        yield inputs[reader.index][first : first + layer.out_channels]


def _unloaded(device: Device, program: Program) -> tuple[int, ...]:
    """Processors in whose input bytes unloading finds the last layer's channels (6.3)."""
    words = data_words(device, np.array([step.address for step in program.unload], np.int64))
    return tuple(int(word) // device.instance_words * 4 + lane
                 for word, step in zip(words, program.unload, strict=True) for lane in step.lanes)  # fmt: skip


def _decode(
    layer: Layer, registers: NDArray[np.int64], inputs: tuple[int, ...], outputs: tuple[int, ...], chw: bool
) -> lifetimes.LayerRun:
    """The fields of 3.4 and 3.6."""
    mask_count = int(registers[MCNT])
    return lifetimes.LayerRun(
        layer, inputs, outputs, chw, int(registers[RPTR_BASE]) & 0xFFFF, int(registers[WPTR_BASE]) & 0xFFFF,
        int(registers[WPTR_OFF]) >> 16, mask_count >> 8 & 0x7F, (mask_count & 0x7F) + 1,
    )  # fmt: skip
