"""What the device allows a network to be, wherever its layers lie.

The numbers beside a rule's id are sections of the AI84 hardware reference.
"""

from collections.abc import Iterator

from .rules import Finding, Rule, Subject, rule
from .yamlvalues import NETWORK_INPUT

LAYER_RULES: list[Rule[Subject]] = []
POOLINGS = ((2, 1), (2, 2), (4, 4))  # legal sizes and strides (9.1)


@rule("arch", "9.2, 11.1", LAYER_RULES)
def arch(subject: Subject) -> Iterator[Finding]:
    """`arch` is the network's name in the checkpoint, in any case."""
    if subject.description.arch.lower() != subject.checkpoint.arch.lower():
        yield Finding(None, "arch", f"{subject.description.arch}, but {subject.checkpoint.arch} in "
                      f"{subject.checkpoint.path}", "Use the checkpoint of this network.")


@rule("layer-count", "9.2, 12.3", LAYER_RULES)
def layer_count(subject: Subject) -> Iterator[Finding]:
    """A description has one layer per convolution of the checkpoint."""
    layers = sum(described.has_weights for described in subject.description.layers)
    convolutions = len(subject.checkpoint.convolutions)
    if layers != convolutions:
        yield Finding(None, "layers", f"{layers} layers, but {convolutions} convolutions in {subject.checkpoint.path}")


@rule("channels-chain", "1.2, 12.3", LAYER_RULES)
def channels_chain(subject: Subject) -> Iterator[Finding]:
    """A layer has as many input channels as the layers that it reads have output channels, or the network input."""
    for layer in subject.network.layers:
        delivered = sum(subject.network.delivered(source)[0] for source in layer.sources)
        if layer.in_channels != delivered:
            yield Finding(layer.index, "processors", f"{layer.in_channels} in the checkpoint's {layer.name}, "
                          f"{delivered} delivered")


@rule("channels-given", "11.3, 12.3", LAYER_RULES)
def channels_given(subject: Subject) -> Iterator[Finding]:
    """`in_channels` and `out_channels`, where given, are those of the checkpoint."""
    for layer in subject.network.layers:
        described = subject.description.layers[layer.index]
        for key, given, found in (("in_channels", described.in_channels, layer.in_channels),
                                  ("out_channels", described.out_channels, layer.out_channels)):  # fmt: skip
            if given not in (None, found):
                yield Finding(layer.index, key, f"{given}, but {found} in the checkpoint's {layer.name}")


@rule("unread", "11.3", LAYER_RULES)
def unread(subject: Subject) -> Iterator[Finding]:
    """The output of every layer but the last is read by a later layer."""
    read = {source for layer in subject.network.layers for source in layer.sources}
    for layer in subject.network.layers[:-1]:
        if layer.index not in read:
            yield Finding(layer.index, "processors", f"layer {layer.index} is read by none",
                          "Name it in `in_sequences` of a later layer, or remove it.")


@rule("in-sizes", "11.3", LAYER_RULES)
def in_sizes(subject: Subject) -> Iterator[Finding]:
    """Layers that are read together have outputs of the same size."""
    for layer in subject.network.layers:
        sizes = {source: subject.network.delivered(source)[1:] for source in layer.sources}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{height}x{width}" for height, width in sizes.values())
            yield Finding(layer.index, "in_sequences", listed)


@rule("in-dim", "6.1, 11.3", LAYER_RULES)
def in_dim(subject: Subject) -> Iterator[Finding]:
    """`in_dim` has as many pixels as the layer's input: they are read in order, with other rows and columns."""
    for layer in subject.network.layers:
        given = subject.description.layers[layer.index].in_dim
        _, height, width = subject.network.delivered(layer.sources[0])
        if given and given[0] * given[1] != height * width:
            yield Finding(layer.index, "in_dim", f"{given[0]}x{given[1]} for {height}x{width} pixels")


@rule("layers-max", "9.1", LAYER_RULES)
def layers_max(subject: Subject) -> Iterator[Finding]:
    """A network has at most 32 layers."""
    count = len(subject.network.layers)
    if count > subject.device.max_layers:
        yield Finding(None, "layers", f"{count} layers", "Use --stop-after or a smaller network.")


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


@rule("size", "9.2", LAYER_RULES)
def size(subject: Subject) -> Iterator[Finding]:
    """A layer's pooled input and output have at least one row and one column."""
    for layer in subject.network.layers:
        if min(layer.pooled_height, layer.pooled_width, layer.out_height, layer.out_width) < 1:
            yield Finding(layer.index, "pad", f"{layer.height}x{layer.width} input, pooled "
                          f"{layer.pooled_height}x{layer.pooled_width}, output {layer.out_height}x{layer.out_width}")


@rule("counter", "3.3, 9.1", LAYER_RULES)
def counter(subject: Subject) -> Iterator[Finding]:
    """Rows plus twice the padding and columns plus twice the padding are at most 256, for the 8-bit counters."""
    for layer in subject.network.layers:
        for length, padding, kind in ((layer.height, layer.pad_rows, "rows"),
                                      (layer.width, layer.pad_columns, "columns")):  # fmt: skip
            if length + 2 * padding > subject.device.max_counter:
                yield Finding(layer.index, "pad", f"{length} {kind} with padding {padding}")


@rule("data-format", "6.2, 9.2", LAYER_RULES)
def data_format(subject: Subject) -> Iterator[Finding]:
    """`data_format` is the format of the network input; only the first layer has it and can read a CHW input."""
    for layer in subject.network.layers[1:]:
        if NETWORK_INPUT in layer.sources and subject.network.data_format == "chw":
            yield Finding(layer.index, "in_sequences", "a CHW network input", "Use `data_format: hwc` in layer 0.")
    for index, described in enumerate(subject.description.layers):
        if index and described.data_format:
            yield Finding(index, "data_format", f"`{described.data_format}` in layer {index}", "Remove it.")


@rule("bias-count", "9.2", LAYER_RULES)
def bias_count(subject: Subject) -> Iterator[Finding]:
    """A layer with bias has one bias per output channel."""
    for layer in subject.network.layers:
        if layer.bias is not None and len(layer.bias) != layer.out_channels:
            yield Finding(layer.index, "bias", f"{len(layer.bias)} for {layer.out_channels} channels in "
                          f"{subject.checkpoint.path}")


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


@rule("sample", "14.1", LAYER_RULES)
def sample(subject: Subject) -> Iterator[Finding]:
    """The sample input holds integers from -128 to 127."""
    low, high = int(subject.sample.min()), int(subject.sample.max())
    if low < -128 or high > 127:
        yield Finding(None, "dataset", f"values from {low} to {high}")
