"""What the device allows a network to be, wherever its layers lie.

The numbers beside a rule's id are sections of the AI84 hardware reference.
"""

from collections.abc import Iterator

from ..rules import Finding, Rule, Subject, rule

LAYER_RULES: list[Rule[Subject]] = []
POOLINGS = ((2, 1), (2, 2), (4, 4))  # legal sizes and strides (9.1)


@rule("channels-max", "9.1", LAYER_RULES)
def channels_max(subject: Subject) -> Iterator[Finding]:
    """A layer has at most 64 input and 64 output channels."""
    for layer in subject.network.layers:
        for count, kind in ((layer.in_channels, "input"), (layer.out_channels, "output")):
            if count > subject.device.max_channels:
                yield Finding(layer.index, "processors", f"{count} {kind} channels", "Train a narrower layer.")


@rule("pad", "9.1, 9.2", LAYER_RULES)
def pad(subject: Subject) -> Iterator[Finding]:
    """Padding is 0, 1 or 2."""
    for layer in subject.network.layers:
        if layer.op == "conv2d" and not 0 <= layer.pad <= subject.device.max_pad:
            yield Finding(layer.index, "pad", f"padding {layer.pad}")


@rule("conv1d", "9.1, 12.6", LAYER_RULES)
def conv1d(subject: Subject) -> Iterator[Finding]:
    """
    A one-dimensional convolution has kernel 9, stride 3, padding 0, 3 or 6, no pooling, and an input whose length is a
    multiple of 3; any other has kernel 3x3 and stride 1.
    """
    for layer in subject.network.layers:
        _, height, width = subject.network.delivered(layer.sources[0])
        described = subject.description.layers[layer.index]
        flat = layer.op == "conv1d"
        kernels = subject.checkpoint.convolutions[layer.index].weight.shape[2:]
        if kernels != ((9,) if flat else (3, 3)) or described.kernel_size not in (None, 9 if flat else "3x3"):
            yield Finding(layer.index, "kernel_size", f"{layer.op} with kernels {'x'.join(map(str, kernels))}")
        if described.stride not in (None, (3, 3) if flat else (1, 1)):
            yield Finding(layer.index, "stride", f"{layer.op} with stride {described.stride[0]}")
        if flat and layer.pad not in (0, 3, 6):
            yield Finding(layer.index, "pad", f"padding {layer.pad}")
        if flat and layer.pool:
            yield Finding(layer.index, f"{layer.pool}_pool", f"{layer.pool} pooling")
        if flat and height * width % 3:
            yield Finding(layer.index, "op", f"length {height * width}")


@rule("pool-size", "9.1, 9.2", LAYER_RULES)
def pool_size(subject: Subject) -> Iterator[Finding]:
    """The pooling size is 2 or 4."""
    sizes = {size for size, _ in POOLINGS}
    for layer in subject.network.layers:
        if layer.pool and layer.pool_size not in sizes:
            yield Finding(layer.index, f"{layer.pool}_pool", f"size {layer.pool_size}")


@rule("pool-stride", "9.1", LAYER_RULES)
def pool_stride(subject: Subject) -> Iterator[Finding]:
    """Pooling is 2x2 with stride 1 or 2, or 4x4 with stride 4."""
    for layer in subject.network.layers:
        strides = {stride for size, stride in POOLINGS if size == layer.pool_size}
        if strides and layer.pool_stride not in strides:
            yield Finding(layer.index, "pool_stride",
                          f"{layer.pool_size}x{layer.pool_size} with stride {layer.pool_stride}")


@rule("pool-divide", "9.1, appendix E 10", LAYER_RULES)
def pool_divide(subject: Subject) -> Iterator[Finding]:
    """
    Pooling windows must tile the input exactly: (size - pool) must be a multiple of the pooling stride, in both
    directions.
    """
    for layer in subject.network.layers:
        stride = max(1, layer.pool_stride)
        if layer.pool and ((layer.height - layer.pool_size) % stride or (layer.width - layer.pool_size) % stride):
            yield Finding(layer.index, "pool_stride", f"{layer.height}x{layer.width} input, "
                          f"{layer.pool_size}x{layer.pool_size} pooling with stride {stride}",
                          "Change the padding of the layer before.")


@rule("pool4-last", "6.5, 9.1", LAYER_RULES)
def pool4_last(subject: Subject) -> Iterator[Finding]:
    """4x4 pooling is possible in the last layer only, since its output is not contiguous."""
    for layer in subject.network.layers[:-1]:
        if layer.pool_size == 4:
            yield Finding(layer.index, f"{layer.pool}_pool", f"layer {layer.index} of {len(subject.network.layers)}")


@rule("avg4-relu", "1.3, 9.1", LAYER_RULES)
def avg4_relu(subject: Subject) -> Iterator[Finding]:
    """4x4 average pooling needs the output of a layer with ReLU, or its sum exceeds the accumulator."""
    for layer in subject.network.layers:
        rectified = all(source >= 0 and subject.network.layers[source].relu for source in layer.sources)
        if layer.pool == "avg" and layer.pool_size == 4 and not rectified:
            yield Finding(layer.index, "avg_pool", "signed data")


@rule("counter", "3.3, 9.1", LAYER_RULES)
def counter(subject: Subject) -> Iterator[Finding]:
    """Rows plus twice the padding and columns plus twice the padding are at most 256, for the 8-bit counters."""
    for layer in subject.network.layers:
        for length, padding, kind in ((layer.height, layer.pad_rows, "rows"),
                                      (layer.width, layer.pad_columns, "columns")):  # fmt: skip
            if length + 2 * padding > subject.device.max_counter:
                yield Finding(layer.index, "pad", f"{length} {kind} with padding {padding}")


@rule("fc-missing", "12.3", LAYER_RULES)
def fc_missing(subject: Subject) -> Iterator[Finding]:
    """The software classification layer is the module `fc` of the checkpoint."""
    if subject.fc_layer and subject.checkpoint.fc is None:
        yield Finding(None, "layers", f"{subject.checkpoint.path} without it", "Leave out --fc-layer.")


@rule("fc-inputs", "8.2", LAYER_RULES)
def fc_inputs(subject: Subject) -> Iterator[Finding]:
    """The classification layer has as many inputs as the last layer has outputs, and one bias per output."""
    fc = subject.network.fc
    if fc is None:
        return
    if fc.weight.shape[1] != subject.network.outputs:
        yield Finding(None, "layers",
                      f"{fc.weight.shape[1]} inputs, {subject.network.outputs} outputs of the last layer")
    if fc.bias is not None and len(fc.bias) != len(fc.weight):
        yield Finding(None, "layers", f"{len(fc.bias)} biases, {len(fc.weight)} outputs")


@rule("fc-count", "8.2", LAYER_RULES)
def fc_count(subject: Subject) -> Iterator[Finding]:
    """The classification layer has at most 65535 inputs and 65535 outputs: its routine counts them in 16 bits."""
    fc = subject.network.fc
    if fc is not None and max(fc.weight.shape) > 65535:
        yield Finding(None, "layers", f"{fc.weight.shape[1]} inputs, {fc.weight.shape[0]} outputs")
