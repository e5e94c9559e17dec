"""What AI85 allows a network to be, wherever its layers lie.

The numbers beside a rule's id are sections of the AI85 hardware reference.
"""

from collections.abc import Iterator

from ..checkpoint import LayerWeights
from ..network import Layer, paired
from ..placement import passes, passes_are_full
from ..rules import Finding, Rule, Subject, rule
from ..yamlcfg import LayerDescription
from .layers import LONGEST, as_executed

LAYER_RULES: list[Rule[Subject]] = []
LARGEST = 1023  # rows or columns


def described_layers(subject: Subject) -> Iterator[tuple[Layer, LayerDescription, LayerWeights | None]]:
    """Layers, what the description says of them, and their weights as stored."""
    pairs = paired(subject.description, subject.checkpoint)
    for layer, (described, stored) in zip(subject.network.layers, pairs, strict=False):
        yield layer, described, stored


@rule("channels-max", "1.2", LAYER_RULES)
def channels_max(subject: Subject) -> Iterator[Finding]:
    """A layer has at most 1024 input and 1024 output channels, with bias 512 output channels."""
    for layer in subject.network.layers:
        limit = subject.device.max_channels if layer.bias is None else subject.device.bias_entries
        for count, most, kind in ((layer.in_channels, subject.device.max_channels, "input"),
                                  (layer.out_channels, limit, "output")):  # fmt: skip
            if count > most:
                yield Finding(layer.index, "processors", f"{count} {kind} channels", "Train a narrower layer.")


@rule("kernel", "1.2, 10.1, 10.2", LAYER_RULES)
def kernel(subject: Subject) -> Iterator[Finding]:
    """
    A conv2d has kernel 1x1 or 3x3, a conv1d has kernel 1 to 9, a linear layer has no kernel_size; the default is 3x3
    and 9, and the checkpoint's weights have that size.
    """
    default: dict[str, str | int] = {"conv2d": "3x3", "conv1d": LONGEST}
    for layer, described, stored in described_layers(subject):
        if stored is None:
            if described.kernel_size is not None:
                yield Finding(layer.index, "kernel_size", f"{described.kernel_size} of a layer without weights")
            continue
        sides = stored.weight.shape[2:]
        found = "x".join(map(str, sides)) if len(sides) != 1 else int(sides[0])
        if described.op == "linear":
            if described.kernel_size is not None or (sides and sides != (1, 1)):
                yield Finding(layer.index, "kernel_size", f"{described.kernel_size or found} of a linear layer")
            continue
        wanted = described.kernel_size or default[described.op]
        legal = subject.device.lengths if described.op == "conv1d" else ("1x1", "3x3")
        if wanted not in legal or (found != wanted and (sides or not described.flatten)):
            yield Finding(layer.index, "kernel_size", f"{wanted}, {found or 'none'} in the checkpoint's {layer.name}",
                          "Say `kernel_size`." if described.kernel_size is None else "")


@rule("stride", "1.2", LAYER_RULES)
def stride(subject: Subject) -> Iterator[Finding]:
    """Convolutions have stride 1."""
    for layer, described, _ in described_layers(subject):
        if described.stride not in (None, (1, 1)):
            yield Finding(layer.index, "stride", "x".join(map(str, described.stride)), "Pool instead.")


@rule("pool-window", "1.2", LAYER_RULES)
def pool_window(subject: Subject) -> Iterator[Finding]:
    """A pooling window has 1 to 16 rows and 1 to 16 columns, and pooling strides are 1 to 16."""
    for layer in subject.network.layers:
        sides = range(1, subject.device.max_window + 1)
        if any(side not in sides for side in layer.window):
            yield Finding(layer.index, f"{layer.pool}_pool", f"window {layer.window[0]}x{layer.window[1]}")
        if any(side not in sides for side in layer.strides):
            yield Finding(layer.index, "pool_stride", f"stride {layer.strides[0]}x{layer.strides[1]}")


@rule("pool-stride", "1.2, 10.3", LAYER_RULES)
def pool_stride(subject: Subject) -> Iterator[Finding]:
    """The pooling stride of images is the same in both directions."""
    for layer, described, _ in described_layers(subject):
        rows, columns = described.pool_stride
        if rows != columns and layer.strides[1] == columns:
            yield Finding(layer.index, "pool_stride", f"{rows}x{columns}")


@rule("pad", "1.2, 10.3", LAYER_RULES)
def pad(subject: Subject) -> Iterator[Finding]:
    """Padding is 0, 1 or 2 and smaller than the kernel; only convolutions have it."""
    for layer in subject.network.layers:
        if not 0 <= layer.pad <= subject.device.max_pad or layer.pad >= max(1, *layer.kernel):
            yield Finding(layer.index, "pad", f"padding {layer.pad} of a {layer.kernel[0]}x{layer.kernel[1]} kernel")
        elif layer.pad and layer.op in ("none", "linear"):
            yield Finding(layer.index, "pad", f"padding {layer.pad}")


@rule("one-dimensional", "4.1, 10.3", LAYER_RULES)
def one_dimensional(subject: Subject) -> Iterator[Finding]:
    """A conv1d reads one column of samples."""
    for layer in subject.network.layers:
        if layer.op == "conv1d" and layer.width != 1:
            yield Finding(layer.index, "op", f"{layer.height}x{layer.width} pixels", "Say the length with `in_dim`.")


@rule("dilation", "4.3.3", LAYER_RULES)
def dilation(subject: Subject) -> Iterator[Finding]:
    """
    Only a conv1d of kernel 2 or more is dilated: if (kernel - 1) x dilation is above 8, only one of kernel 2 or 3
    without padding and pooling, with dilation up to 1023.
    """
    for layer, described, _ in described_layers(subject):
        distance = described.dilation[0]
        if described.dilation == (1, 1) or (layer.op != "conv2d" and distance == 1):
            continue
        reach = (layer.kernel[0] - 1) * distance
        plain = layer.kernel[0] <= 3 and not layer.pad and distance <= LARGEST
        plain &= layer.window == layer.strides == (1, 1)
        if layer.op != "conv1d" or distance < 1 or layer.kernel[0] < 2 or (reach >= LONGEST and not plain):
            yield Finding(layer.index, "dilation", f"dilation {distance} of a {layer.op} with kernel {layer.kernel[0]}")


@rule("dimensions", "1.2", LAYER_RULES)
def dimensions(subject: Subject) -> Iterator[Finding]:
    """
    Input and output have at most 1023 rows and columns; so have the rows and columns with the padding on both sides,
    less one.
    """
    for layer in subject.network.layers:
        executed = as_executed(layer)
        rows, columns = executed.height - 1 + 2 * executed.pad_rows, executed.width - 1 + 2 * executed.pad_columns
        if max(layer.height, layer.width, layer.out_height, layer.out_width, rows, columns) > LARGEST:
            yield Finding(layer.index, "in_dim", f"{layer.height}x{layer.width} to {layer.out_height}x"
                          f"{layer.out_width}, padding {layer.pad}")


@rule("pixels", "1.2", LAYER_RULES)
def pixels(subject: Subject) -> Iterator[Finding]:
    """Rows x columns x input passes of a layer are below 2097152."""
    for layer in subject.network.layers:
        count = layer.height * layer.width * passes(layer.in_channels, subject.device.processors)
        if count >= 1 << 21:
            yield Finding(layer.index, "in_dim", f"{count} pixels")


@rule("linear", "4.3.2", LAYER_RULES)
def linear(subject: Subject) -> Iterator[Finding]:
    """A linear layer reads a single pixel, or an image that it flattens."""
    for layer in subject.network.layers:
        if layer.op == "linear" and not layer.flatten and (layer.pooled_height, layer.pooled_width) != (1, 1):
            yield Finding(layer.index, "op", f"{layer.pooled_height}x{layer.pooled_width} pixels",
                          "Say `flatten: true`.")


@rule("flatten", "1.2, 5.4, 10.3", LAYER_RULES)
def flatten(subject: Subject) -> Iterator[Finding]:
    """
    Only linear layers and 1x1 convolutions without pooling flatten; the image has at most 256 pixels, times the input
    passes, and with more than 64 channels all passes are full.
    """
    for layer, _, stored in described_layers(subject):
        if not layer.flatten:
            continue
        steps = passes(layer.in_channels, subject.device.processors)
        count = layer.height * layer.width * steps
        if layer.op not in ("linear", "conv2d") or (stored is not None and stored.weight[0, 0].size > 1):
            yield Finding(layer.index, "flatten", f"a {layer.op}")
        if layer.pool or layer.strides != (1, 1):
            yield Finding(layer.index, "flatten", "pooling", "Pool in a layer of its own.")
        if count > 256:
            yield Finding(layer.index, "flatten", f"{layer.height}x{layer.width} pixels in {steps} passes",
                          "Pool the image before.")
        if not passes_are_full(layer.in_channels, subject.device.processors):
            yield Finding(layer.index, "flatten", f"{layer.in_channels} channels in {steps} passes")


@rule("flatten-inputs", "4.1", LAYER_RULES)
def flatten_inputs(subject: Subject) -> Iterator[Finding]:
    """A flattened layer has a weight for every channel and pixel of its image."""
    for layer, _, stored in described_layers(subject):
        if layer.flatten and stored is not None:
            given = stored.weight[0].size
            channels = sum(subject.network.delivered(source)[0] for source in layer.sources)
            if given != channels * layer.pooled_height * layer.pooled_width:
                yield Finding(layer.index, "flatten", f"{given} in the checkpoint's {layer.name}, "
                              f"{channels}x{layer.height}x{layer.width} delivered")


@rule("pass-through", "4.3.5, 10.3, 10.4", LAYER_RULES)
def pass_through(subject: Subject) -> Iterator[Finding]:
    """
    A layer without weights has no activation, no output_shift, no flatten, 8-bit output, and with more than 64
    channels no pooling unless one pixel is left.
    """
    for layer, described, _ in described_layers(subject):
        if layer.convolves:
            continue
        for key, given in (("activate", layer.activation), ("output_shift", described.output_shift),
                           ("flatten", layer.flatten), ("output_width", 32 if layer.wide else 0)):
            if given:
                yield Finding(layer.index, key, f"`{key}: {str(given).lower()}`")
        pooled = layer.window != (1, 1) or layer.strides != (1, 1)
        single = (layer.pooled_height, layer.pooled_width) == (1, 1)
        if pooled and layer.in_channels > subject.device.processors and not single:
            yield Finding(layer.index, "op", f"{layer.in_channels} channels pooled to {layer.pooled_height}x"
                          f"{layer.pooled_width}")


@rule("shift", "1.4, 10.4", LAYER_RULES)
def shift(subject: Subject) -> Iterator[Finding]:
    """output_shift, to which 8 less the bits of a weight are added, is then -15 to 15."""
    for layer in subject.network.layers:
        if layer.output_shift not in subject.device.shifts:
            added = 8 - layer.weight_bits
            yield Finding(layer.index, "output_shift", f"{layer.output_shift - added} + {added}")


@rule("wide", "10.3", LAYER_RULES)
def wide(subject: Subject) -> Iterator[Finding]:
    """Only the last layer has 32-bit output, and no activation then."""
    for layer in subject.network.layers:
        if layer.wide and layer.activation:
            yield Finding(layer.index, "output_width", f"activation {layer.activation}")
        if layer.wide and layer.index != len(subject.network.layers) - 1:
            yield Finding(layer.index, "output_width", f"layer {layer.index} of {len(subject.network.layers)}")


@rule("narrow-passes", "5.3, findings 5", LAYER_RULES)
def narrow_passes(subject: Subject) -> Iterator[Finding]:
    """A layer with weights of fewer than 8 bits and more than 64 input channels has all its passes full."""
    for layer in subject.network.layers:
        full = passes_are_full(layer.in_channels, subject.device.processors)
        if layer.convolves and layer.weight_bits < 8 and not full:
            yield Finding(layer.index, "quantization", f"{layer.in_channels} channels",
                          "Use 8 bits, or another number of channels.")
