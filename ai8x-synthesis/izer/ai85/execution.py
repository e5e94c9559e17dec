"""What AI85 does for a layer, and what registers tell about where: decoded anew from the hardware reference.

The code that places layers and makes registers is not used here; numbers are sections of the AI85 hardware reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..network import Layer

PROCESSORS = 64
QUADRANT = 16  # processors of a quadrant
LONG_DISTANCE = 9  # from here on, a dilated kernel is a column of an image (4.3.3)
COLUMN, IMAGE, POINT = "k", "3x3", "1x1"  # kinds of kernels (4.6)


def passes_of(channels: int) -> int:
    """In how many passes so many channels are handled (1.5)."""
    return -(-channels // PROCESSORS)


def per_pass(channels: int) -> int:
    """How many processors handle so many channels (1.5)."""
    if channels <= PROCESSORS:
        return channels
    return min(PROCESSORS, 4 * -(-channels // (4 * passes_of(channels))))


@dataclass(frozen=True)
class Execution:
    """A layer as hardware sees it.

    `rows` and `columns` are those of the input, `pads` zeros at every side; `kind` is that of the kernel, "" without
    weights. `kernels` are int8 [output channel, input channel, pass of a pixel, tap]; only a flattened image has more
    than one such pass. `pixels` are written by every output pass, `ahead` of them before the first output.
    """

    rows: int
    columns: int
    pads: tuple[int, int]
    kind: str
    kernels: NDArray[np.int8]
    pixels: int
    ahead: int = 0

    @property
    def taps(self) -> int:
        """Weights of a kernel."""
        return int(self.kernels.shape[3])


def execution(layer: Layer) -> Execution:
    """What hardware does for a layer (4.3)."""
    kernels = layer.weight.reshape(layer.out_channels, -1, 1, layer.kernel[0] * layer.kernel[1])
    pixels = layer.out_height * layer.out_width
    if layer.flatten:
        return Execution(1, 1, layer.pads, POINT, kernels.transpose(0, 1, 3, 2), pixels)
    if layer.dilation > 1 and layer.op == "conv1d":
        return _dilated(layer, kernels)
    kind = {"conv1d": COLUMN, "none": ""}.get(layer.op, POINT if layer.kernel == (1, 1) else IMAGE)
    return Execution(layer.height, layer.width, layer.pads, kind, kernels, pixels)


def _dilated(layer: Layer, kernels: NDArray[np.int8]) -> Execution:
    """A kernel with zeros between its taps; or, in an image as wide as the distance of taps, a middle column (4.3.3).

    There a kernel of three taps begins a row above the pixel that it delivers.
    """
    length, distance = layer.kernel[0], layer.dilation
    if (length - 1) * distance < LONG_DISTANCE:
        stretched = np.zeros((*kernels.shape[:3], (length - 1) * distance + 1), np.int8)
        stretched[..., ::distance] = kernels
        return Execution(layer.height, 1, layer.pads, COLUMN, stretched, layer.out_height)
    rows = -(-layer.height // distance)
    middle = np.zeros((*kernels.shape[:3], 9), np.int8)
    middle[..., [1, 4, 7][3 - length :]] = kernels
    return Execution(rows, distance, (1, 1), IMAGE, middle, rows * distance, distance if length == 3 else 0)


@dataclass(frozen=True)
class LayerRun:
    """What the registers make a layer do; bytes and words are counted from 0 in weight and data memory.

    `inputs` are the enabled processors, `outputs` the processors in whose input bytes the channels of an output pass
    are looked for. `read` is the read pointer, `writes` the write pointer of every quadrant. `first_byte` is where
    kernels begin in a processor's stream (5.12), `bias` the bias fields of POST of every quadrant.
    """

    layer: Layer
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    chw: bool
    read: int
    writes: tuple[int, ...]
    first_byte: int
    bias: tuple[int, ...]
    execution: Execution = field(repr=False)

    @property
    def in_passes(self) -> int:
        """Input channels of a processor."""
        return passes_of(self.layer.in_channels)

    @property
    def out_passes(self) -> int:
        """Output channels of a lane."""
        return passes_of(self.layer.out_channels)

    @property
    def complete(self) -> bool:
        """Whether there are processors for all input and all output channels."""
        enough = len(self.inputs) == per_pass(self.layer.in_channels)
        enough &= len(self.outputs) == per_pass(self.layer.out_channels)
        ascending = list(self.outputs) == sorted({p for p in self.outputs if 0 <= p < PROCESSORS})
        return enough and ascending

    @property
    def first_output(self) -> int:
        """The processor that belongs to the first output slot (7.3)."""
        return self.outputs[0] // 4 * 4

    @property
    def lanes(self) -> int:
        """Output slots of a pass, up to the last that is used (4.5.6)."""
        return self.outputs[-1] - self.first_output + 1

    @property
    def slots(self) -> NDArray[np.int64]:
        """The output slot of every output channel (5.3)."""
        channel = np.arange(self.layer.out_channels)
        lane = np.array(self.outputs)[channel % len(self.outputs)] - self.first_output
        slots: NDArray[np.int64] = channel // len(self.outputs) * self.lanes + lane
        return slots

    @property
    def slot_count(self) -> int:
        """Output slots that are computed: whole passes, but for a flattened image (5.5)."""
        return int(self.slots[-1]) + 1 if self.layer.flatten else self.out_passes * self.lanes

    @property
    def steps(self) -> int:
        """Kernels of an output slot, which hardware counts as passes (4.5.6)."""
        return self.in_passes * int(self.execution.kernels.shape[2])

    def enabled(self, group: int) -> list[int]:
        """The enabled processors of a quadrant."""
        return [processor for processor in self.inputs if processor // QUADRANT == group]

    @property
    def groups(self) -> set[int]:
        """The quadrants with enabled processors."""
        return {processor // QUADRANT for processor in self.inputs}


def kernels_due(run: LayerRun) -> NDArray[np.int8]:
    """Kernels [processor, output channel, step, tap]; where the last pass is not full they are 0 (5.3, 5.4)."""
    kernels, together = run.execution.kernels, len(run.inputs)
    outputs, inputs, pixels, taps = kernels.shape
    padded = np.zeros((outputs, run.in_passes * together, pixels, taps), np.int8)
    padded[:, :inputs] = kernels
    split = padded.reshape(outputs, run.in_passes, together, pixels, taps)
    return split.transpose(2, 0, 3, 1, 4).reshape(together, outputs, run.steps, taps)


def kernel_bits(run: LayerRun) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where weights are (5.12): their byte in the stream [output channel, step, tap], the lowest bit [.., .., 1]."""
    mask = run.slots[:, None] * run.steps + np.arange(run.steps)
    number, bit = np.divmod(run.layer.weight_bits * mask, 8)
    taps = run.execution.taps
    return run.first_byte + (number * taps)[:, :, None] + np.arange(taps)[::-1], bit[:, :, None]


def processors_of(enables: Sequence[int]) -> tuple[int, ...]:
    """Processors, counted through all quadrants, that the quadrants' ENA registers enable."""
    return tuple(QUADRANT * group + n for group, value in enumerate(enables) for n in range(QUADRANT) if value >> n & 1)
