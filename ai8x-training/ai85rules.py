"""The limits of a layer on AI85; a rule is a function whose docstring is the rule."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import ai8x

MAX_CHANNELS = 1024
MAX_CHANNELS_WITH_BIAS = 512
MAX_FEATURES = 16384
MAX_LAYERS = 32
MAX_SIDE = 1023
MAX_POOL = 16
PROCESSORS = 64

Operator = Literal["Conv2d", "Conv1d", "Linear", "Pool2d", "Pool1d"]
Pooling = Literal["Max", "Avg"] | None
Activation = Literal["ReLU", "Abs"] | None
Pair = ai8x.Pair

LAYERS_MAX = "A network has at most 32 layers."
SIZE_MAX = "Input and output have 1 to 1023 rows and columns."
POOL_FITS = "The pooling window is not larger than the input."
POOL_CHANNELS = "Pooling without convolution on more than 64 channels must give a single pixel."
FLATTEN = "A Linear layer reads at most 1024 channels of at most 256 pixels, 16384 values in all."
IN_DIM = "A reshaped image keeps its number of pixels."

refusal = partial(ai8x.refusal, "AI85")


@dataclass(frozen=True)
class LayerSettings:
    """What a layer is asked to do; the rules below judge it.

    Sizes are (rows, columns). One-dimensional layers have one column: kernel (k, 1), padding (p, 0), and so on.
    """

    operator: Operator
    in_channels: int
    out_channels: int
    kernel: Pair = (1, 1)
    stride: int = 1
    padding: Pair = (0, 0)
    dilation: int = 1
    groups: int = 1
    pooling: Pooling = None
    pool_size: Pair = (1, 1)
    pool_stride: Pair = (1, 1)
    activation: Activation = None
    wide: bool = False
    bias: bool = False

    @property
    def name(self) -> str:
        """How messages and the printed network call the layer."""
        if not self.convolves:
            return f"{self.pooling}{self.operator} {self.pool_size[0]}x{self.pool_size[1]}"
        return f"{self.operator} {self.in_channels} -> {self.out_channels}"

    @property
    def convolves(self) -> bool:
        """Whether the layer has weights."""
        return self.operator not in ("Pool2d", "Pool1d")


Rule = Callable[[LayerSettings], str]


def rule_kernel(layer: LayerSettings) -> str:
    """The kernel of a Conv2d is 1x1 or 3x3, of a Conv1d 1 to 9."""
    allowed = {"Conv2d": ((1, 1), (3, 3)), "Conv1d": tuple((k, 1) for k in range(1, 10))}
    good = layer.kernel in allowed.get(layer.operator, ((1, 1),))
    return "" if good else f"kernel {layer.kernel[0]}x{layer.kernel[1]}"


def rule_stride(layer: LayerSettings) -> str:
    """The convolution stride is 1."""
    return "" if layer.stride == 1 else f"stride={layer.stride}"


def rule_pad(layer: LayerSettings) -> str:
    """Padding is 0, 1 or 2, and smaller than the kernel."""
    rows = layer.padding[0]
    return "" if rows in (0, 1, 2) and rows < layer.kernel[0] else f"padding={rows}, kernel {layer.kernel[0]}"


def rule_dilation(layer: LayerSettings) -> str:
    """Only Conv1d has dilation: 1 to 1023; from (kernel - 1) * dilation = 9 on, kernel <= 3, no padding, no pooling."""
    taps, dilation = layer.kernel[0], layer.dilation
    short = layer.operator == "Conv1d" and (taps - 1) * dilation < 9
    long = layer.operator == "Conv1d" and taps <= 3 and layer.padding[0] == 0 and layer.pooling is None
    good = dilation == 1 or (1 <= dilation <= 1023 and (short or long))
    return "" if good else f"dilation={dilation}, kernel {taps}, padding={layer.padding[0]}, pooling={layer.pooling!r}"


def rule_channels_max(layer: LayerSettings) -> str:
    """A layer has at most 1024 input and 1024 output channels, with a bias at most 512 output channels."""
    inputs = MAX_FEATURES if layer.operator == "Linear" else MAX_CHANNELS
    outputs = MAX_CHANNELS_WITH_BIAS if layer.bias else MAX_CHANNELS
    good = 1 <= layer.in_channels <= inputs and 1 <= layer.out_channels <= outputs
    given = f"in_channels={layer.in_channels}, out_channels={layer.out_channels}, bias={layer.bias}"
    # How many channels a Pool2d has is known only when data arrives.
    return "" if good or not layer.convolves else given


def rule_groups(layer: LayerSettings) -> str:
    """All input channels are summed: groups is 1."""
    return "" if layer.groups == 1 else f"groups={layer.groups}"


def rule_pool_kind(layer: LayerSettings) -> str:
    """Pooling is 'Max', 'Avg' or None."""
    return "" if layer.pooling in ("Max", "Avg", None) else f"pooling={layer.pooling!r}"


def rule_pool_size(layer: LayerSettings) -> str:
    """The pooling window has 1 to 16 rows and 1 to 16 columns."""
    good = all(1 <= size <= MAX_POOL for size in layer.pool_size)
    return "" if good else f"pool_size={layer.pool_size}"


def rule_pool_stride(layer: LayerSettings) -> str:
    """The pooling stride is 1 to 16, the same for rows and columns."""
    rows, columns = layer.pool_stride
    good = 1 <= rows <= MAX_POOL and rows == columns
    return "" if good else f"pool_stride={layer.pool_stride}"


def rule_activation(layer: LayerSettings) -> str:
    """The activation is 'ReLU', 'Abs' or None."""
    return "" if layer.activation in ("ReLU", "Abs", None) else f"activation={layer.activation!r}"


def rule_wide(layer: LayerSettings) -> str:
    """A wide (32-bit) output has no activation."""
    return "" if not layer.wide or layer.activation is None else f"wide=True, activation={layer.activation!r}"


RULES: tuple[Rule, ...] = (
    rule_kernel,
    rule_stride,
    rule_pad,
    rule_dilation,
    rule_channels_max,
    rule_groups,
    rule_pool_kind,
    rule_pool_size,
    rule_pool_stride,
    rule_activation,
    rule_wide,
)


def check(layer: LayerSettings) -> None:
    """Raise ValueError with one line for every rule (AI85 hardware reference 1.2) that `layer` breaks."""
    ai8x.check_rules("AI85", RULES, layer, layer.name)


def pooled(layer: LayerSettings, size: Pair) -> Pair:
    """Rows and columns behind the pooling, which drops what does not fill a window (AI85 hardware reference 4.1).

    Raises ValueError when the window is larger than the input.
    """
    if layer.pooling is None:
        return size
    if size[0] < layer.pool_size[0] or size[1] < layer.pool_size[1]:
        given = f"{size[0]}x{size[1]} pixels, pool_size={layer.pool_size}"
        raise ValueError(refusal("pool-fits", POOL_FITS, given, layer.name))
    rows, columns = (
        (side - window) // step + 1 for side, window, step in zip(size, layer.pool_size, layer.pool_stride, strict=True)
    )
    return rows, columns


def output_shape(layer: LayerSettings, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The shape (C, H, W) of the output for an input of `shape`; ValueError where AI85 cannot do it.

    The limits are those of AI85 hardware reference 1.2. A Linear layer flattens its input.
    """
    channels, height, width = shape
    if layer.operator == "Linear":
        if channels > MAX_CHANNELS or height * width > 256 or channels * height * width > MAX_FEATURES:
            raise ValueError(refusal("flatten", FLATTEN, f"{channels}x{height}x{width}", layer.name))
        return layer.out_channels, 1, 1
    rows, columns = pooled(layer, (height, width))
    if not layer.convolves:
        if channels > PROCESSORS and (rows, columns) != (1, 1):
            raise ValueError(
                refusal("pool-channels", POOL_CHANNELS, f"{channels} channels of {rows}x{columns}", layer.name)
            )
        return channels, rows, columns
    rows += 2 * layer.padding[0] - (layer.kernel[0] - 1) * layer.dilation
    columns += 2 * layer.padding[1] - (layer.kernel[1] - 1)
    if not all(1 <= side <= MAX_SIDE for side in (height, width, rows, columns)):
        given = f"{height}x{width} to {rows}x{columns}"
        raise ValueError(refusal("size-max", SIZE_MAX, given, layer.name))
    return layer.out_channels, rows, columns
