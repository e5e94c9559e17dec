"""What the checks of a finished program of AI85 look at: its operations, and what hardware makes of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..busimage import Accesses, accesses, data_words
from ..device import Device
from ..network import Layer, Network
from ..operations import Program
from . import lifetimes
from .busimage import CTL_ENABLE, BusImage
from .execution import LayerRun, execution, per_pass, processors_of

# Numbers of layer registers (3.1).
(RCNT, CCNT, ONED, PRCNT, PCCNT, STRIDE, WPTR_BASE, WPTR_TOFFS, WPTR_MOFFS, WPTR_CHOFFS, RPTR_BASE, LCTL, MCNT, TPTR,
 ENA, POST) = range(16)  # fmt: skip
LCTL2 = 20
BIAS_FIELDS = 0x1FFF  # of POST: enable and first entry (3.4)


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
        """The quadrants that are enabled."""
        return tuple(sorted({group for group, value in self.image.control if value & CTL_ENABLE}))

    @cached_property
    def runs(self) -> tuple[LayerRun, ...]:
        """The layers as registers describe them."""
        registers = self.image.layer_registers
        inputs = [processors_of(registers[:, ENA, layer.index].tolist()) for layer in self.network.layers]
        outputs = [*_read_from(self.network, inputs), _unloaded(self)]
        chw = self.network.data_format == "chw"
        return tuple(_decode(layer, registers[:, :, layer.index], inputs[layer.index], outputs[layer.index],
                             chw and layer.index == 0) for layer in self.network.layers)  # fmt: skip

    @cached_property
    def answer(self) -> Accesses:
        """What is compared with the known answer."""
        return accesses(self.program.check.operations)

    @cached_property
    def memory(self) -> lifetimes.MemoryTrace:
        """Whose value every byte of data memory holds."""
        return lifetimes.trace_memory(self.image, self.network, self.runs)


def _read_from(network: Network, inputs: list[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Of every layer but the last: the processors with which the first layer that reads it reads its channels."""
    for layer in network.layers[:-1]:
        reader = next(later for later in network.layers if layer.index in later.sources)
        before = reader.sources[: reader.sources.index(layer.index)]
        first = sum(network.delivered(source)[0] for source in before)
        yield inputs[reader.index][first : first + per_pass(layer.out_channels)]


def _unloaded(evidence: Evidence) -> tuple[int, ...]:
    """Processors in whose input bytes unloading finds the channels of the last layer's first pass (9.2)."""
    steps, device = evidence.program.unload, evidence.device
    words = data_words(device, np.array([step.address for step in steps], np.int64))
    lanes = [int(word) // device.instance_words * 4 + lane
             for word, step in zip(words, steps, strict=True) for lane in step.lanes]  # fmt: skip
    return tuple(lanes[: per_pass(evidence.network.layers[-1].out_channels)])


def _decode(
    layer: Layer, registers: NDArray[np.int64], inputs: tuple[int, ...], outputs: tuple[int, ...], chw: bool
) -> LayerRun:
    """The fields of 3.4; what all quadrants have in common is taken from quadrant 0, the master."""
    executed = execution(layer)
    first_kernel, within = int(registers[0, MCNT]) >> 19, int(registers[0, ONED]) >> 4 & 0xF
    return LayerRun(
        layer, inputs, outputs, chw, int(registers[0, RPTR_BASE]) & 0x1FFFF,
        tuple((registers[:, WPTR_BASE] & 0x1FFFF).tolist()), first_kernel * executed.taps + within,
        tuple((registers[:, POST] & BIAS_FIELDS).tolist()), executed,
    )  # fmt: skip
