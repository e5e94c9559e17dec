"""What the device allows: a rule is a small function whose docstring is the rule.

The numbers beside a rule's id are sections of the AI84 hardware reference.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Checkpoint
from .device import Device
from .errors import Violation
from .memory import Region, input_region, output_region
from .network import Layer, Network
from .placement import LayerPlace, Placement, set_bits
from .yamlcfg import NETWORK_INPUT, Description


@dataclass(frozen=True)
class Subject:
    """Everything that a rule may look at."""

    device: Device
    description: Description
    checkpoint: Checkpoint
    fc_layer: bool
    network: Network
    placement: Placement
    sample: NDArray[np.int64]

    @property
    def places(self) -> Iterator[tuple[Layer, LayerPlace]]:
        """Layers with their places, in processing order."""
        return zip(self.network.layers, self.placement.layers, strict=True)

    def data_format(self, layer: Layer) -> str:
        """Format of a layer's input: only the network input can be CHW."""
        return self.network.data_format if layer.index == 0 else "hwc"


@dataclass(frozen=True)
class Finding:
    """What a rule found: layer index (None: the network), YAML key, the offending value, and what to do."""

    layer: int | None
    key: str
    given: str
    hint: str = ""


Check = Callable[[Subject], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """A rule's id, its text, the sections that it comes from, and the function that finds violations."""

    id: str
    text: str
    sections: str
    check: Check


RULES: list[Rule] = []


def rule(identifier: str, sections: str, into: list[Rule] = RULES) -> Callable[[Check], Check]:
    """Register a function as a rule in a list of rules."""

    def register(check: Check) -> Check:
        into.append(Rule(identifier, " ".join((check.__doc__ or "").split()), sections, check))
        return check

    return register


def check(
    subject: Subject, waived: frozenset[str] = frozenset(), rules: Sequence[Rule] = RULES
) -> list[Violation]:
    """All violations of all rules except the waived ones, in the order of the rules."""
    found = []
    for entry in rules:
        if entry.id not in waived:
            found += [_violation(subject.description, entry, finding) for finding in entry.check(subject)]
    return found


def _violation(description: Description, entry: Rule, finding: Finding) -> Violation:
    if finding.layer is None or finding.key in description.lines:
        line = description.lines.get(finding.key, 1)
    else:
        line = description.layers[finding.layer].line_of(finding.key)
    return Violation(entry.id, entry.text, finding.given, finding.hint, finding.layer, f"{description.path}:{line}")


@rule("arch", "9.2, 11.1")
def arch(subject: Subject) -> Iterator[Finding]:
    """`arch` is the network's name in the checkpoint, in any case."""
    if subject.description.arch.lower() != subject.checkpoint.arch.lower():
        yield Finding(None, "arch", f"{subject.description.arch}, but {subject.checkpoint.arch} in "
                      f"{subject.checkpoint.path}", "Use the checkpoint of this network.")


@rule("layer-count", "9.2, 12.3")
def layer_count(subject: Subject) -> Iterator[Finding]:
    """A description has one layer per convolution of the checkpoint."""
    layers, convolutions = len(subject.description.layers), len(subject.checkpoint.convolutions)
    if layers != convolutions:
        yield Finding(None, "layers", f"{layers} layers, but {convolutions} convolutions in {subject.checkpoint.path}")


@rule("channels-chain", "1.2, 12.3")
def channels_chain(subject: Subject) -> Iterator[Finding]:
    """A layer has as many input channels as the layers that it reads have output channels, or the network input."""
    for layer in subject.network.layers:
        delivered = sum(subject.network.delivered(source)[0] for source in layer.sources)
        if layer.in_channels != delivered:
            yield Finding(layer.index, "processors", f"{layer.in_channels} in the checkpoint's {layer.name}, "
                          f"{delivered} delivered")


@rule("channels-given", "11.3, 12.3")
def channels_given(subject: Subject) -> Iterator[Finding]:
    """`in_channels` and `out_channels`, where given, are those of the checkpoint."""
    for layer in subject.network.layers:
        described = subject.description.layers[layer.index]
        for key, given, found in (("in_channels", described.in_channels, layer.in_channels),
                                  ("out_channels", described.out_channels, layer.out_channels)):  # fmt: skip
            if given not in (None, found):
                yield Finding(layer.index, key, f"{given}, but {found} in the checkpoint's {layer.name}")


@rule("unread", "11.3")
def unread(subject: Subject) -> Iterator[Finding]:
    """The output of every layer but the last is read by a later layer."""
    read = {source for layer in subject.network.layers for source in layer.sources}
    for layer in subject.network.layers[:-1]:
        if layer.index not in read:
            yield Finding(layer.index, "processors", f"layer {layer.index} is read by none",
                          "Name it in `in_sequences` of a later layer, or remove it.")


@rule("in-sizes", "11.3")
def in_sizes(subject: Subject) -> Iterator[Finding]:
    """Layers that are read together have outputs of the same size."""
    for layer in subject.network.layers:
        sizes = {source: subject.network.delivered(source)[1:] for source in layer.sources}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{height}x{width}" for height, width in sizes.values())
            yield Finding(layer.index, "in_sequences", listed)


@rule("in-dim", "6.1, 11.3")
def in_dim(subject: Subject) -> Iterator[Finding]:
    """`in_dim` has as many pixels as the layer's input: they are read in order, with other rows and columns."""
    for layer in subject.network.layers:
        given = subject.description.layers[layer.index].in_dim
        _, height, width = subject.network.delivered(layer.sources[0])
        if given and given[0] * given[1] != height * width:
            yield Finding(layer.index, "in_dim", f"{given[0]}x{given[1]} for {height}x{width} pixels")


@rule("layers-max", "9.1")
def layers_max(subject: Subject) -> Iterator[Finding]:
    """A network has at most 32 layers."""
    count = len(subject.network.layers)
    if count > subject.device.max_layers:
        yield Finding(None, "layers", f"{count} layers", "Use --stop-after or a smaller network.")


@rule("channels-max", "9.1")
def channels_max(subject: Subject) -> Iterator[Finding]:
    """A layer has at most 64 input and 64 output channels."""
    for layer in subject.network.layers:
        for count, kind in ((layer.in_channels, "input"), (layer.out_channels, "output")):
            if count > subject.device.max_channels:
                yield Finding(layer.index, "processors", f"{count} {kind} channels", "Train a narrower layer.")


@rule("pad", "9.1, 9.2")
def pad(subject: Subject) -> Iterator[Finding]:
    """Padding is 0, 1 or 2."""
    for layer in subject.network.layers:
        if layer.op == "conv2d" and not 0 <= layer.pad <= subject.device.max_pad:
            yield Finding(layer.index, "pad", f"padding {layer.pad}")


@rule("conv1d", "9.1, 12.6")
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
        if described.stride not in (None, 3 if flat else 1):
            yield Finding(layer.index, "stride", f"{layer.op} with stride {described.stride}")
        if flat and layer.pad not in (0, 3, 6):
            yield Finding(layer.index, "pad", f"padding {layer.pad}")
        if flat and layer.pool:
            yield Finding(layer.index, f"{layer.pool}_pool", f"{layer.pool} pooling")
        if flat and height * width % 3:
            yield Finding(layer.index, "op", f"length {height * width}")


@rule("pool-size", "9.1, 9.2")
def pool_size(subject: Subject) -> Iterator[Finding]:
    """The pooling size is 2 or 4."""
    sizes = {size for size, _ in subject.device.poolings}
    for layer in subject.network.layers:
        if layer.pool and layer.pool_size not in sizes:
            yield Finding(layer.index, f"{layer.pool}_pool", f"size {layer.pool_size}")


@rule("pool-stride", "9.1")
def pool_stride(subject: Subject) -> Iterator[Finding]:
    """Pooling is 2x2 with stride 1 or 2, or 4x4 with stride 4."""
    for layer in subject.network.layers:
        strides = {stride for size, stride in subject.device.poolings if size == layer.pool_size}
        if strides and layer.pool_stride not in strides:
            yield Finding(layer.index, "pool_stride",
                          f"{layer.pool_size}x{layer.pool_size} with stride {layer.pool_stride}")


@rule("pool-divide", "9.1, appendix E 10")
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


@rule("pool4-last", "6.5, 9.1")
def pool4_last(subject: Subject) -> Iterator[Finding]:
    """4x4 pooling is possible in the last layer only, since its output is not contiguous."""
    for layer in subject.network.layers[:-1]:
        if layer.pool_size == 4:
            yield Finding(layer.index, f"{layer.pool}_pool", f"layer {layer.index} of {len(subject.network.layers)}")


@rule("avg4-relu", "1.3, 9.1")
def avg4_relu(subject: Subject) -> Iterator[Finding]:
    """4x4 average pooling needs the output of a layer with ReLU, or its sum exceeds the accumulator."""
    for layer in subject.network.layers:
        rectified = all(source >= 0 and subject.network.layers[source].relu for source in layer.sources)
        if layer.pool == "avg" and layer.pool_size == 4 and not rectified:
            yield Finding(layer.index, "avg_pool", "signed data")


@rule("size", "9.2")
def size(subject: Subject) -> Iterator[Finding]:
    """A layer's pooled input and output have at least one row and one column."""
    for layer in subject.network.layers:
        if min(layer.pooled_height, layer.pooled_width, layer.out_height, layer.out_width) < 1:
            yield Finding(layer.index, "pad", f"{layer.height}x{layer.width} input, pooled "
                          f"{layer.pooled_height}x{layer.pooled_width}, output {layer.out_height}x{layer.out_width}")


@rule("counter", "3.3, 9.1")
def counter(subject: Subject) -> Iterator[Finding]:
    """Rows plus twice the padding and columns plus twice the padding are at most 256, for the 8-bit counters."""
    for layer in subject.network.layers:
        for length, padding, kind in ((layer.height, layer.pad_rows, "rows"),
                                      (layer.width, layer.pad_columns, "columns")):  # fmt: skip
            if length + 2 * padding > subject.device.max_counter:
                yield Finding(layer.index, "pad", f"{length} {kind} with padding {padding}")


@rule("data-format", "6.2, 9.2")
def data_format(subject: Subject) -> Iterator[Finding]:
    """`data_format` is the format of the network input; only the first layer has it and can read a CHW input."""
    for layer in subject.network.layers[1:]:
        if NETWORK_INPUT in layer.sources and subject.network.data_format == "chw":
            yield Finding(layer.index, "in_sequences", "a CHW network input", "Use `data_format: hwc` in layer 0.")
    for index, described in enumerate(subject.description.layers):
        if index and described.data_format:
            yield Finding(index, "data_format", f"`{described.data_format}` in layer {index}", "Remove it.")


@rule("popcount-in", "9.2, 3.8")
def popcount_in(subject: Subject) -> Iterator[Finding]:
    """The number of set bits in `processors` must equal the number of input channels of the layer."""
    for layer, place in subject.places:
        if place.processors.bit_count() != layer.in_channels:
            yield Finding(layer.index, "processors",
                          f"{place.processors.bit_count()} bits set, {layer.in_channels} input channels")


@rule("popcount-out", "9.2, 11.1")
def popcount_out(subject: Subject) -> Iterator[Finding]:
    """The number of set bits in the output map must equal the number of output channels of the layer."""
    last = subject.network.layers[-1].index
    for layer, place in subject.places:
        reader = subject.description.reader(layer.index)
        joined = reader is not None and len(subject.description.sources(reader)) > 1
        explicit = subject.description.layers[layer.index].output_processors or layer.index == last or joined
        if explicit and place.output_map.bit_count() != layer.out_channels:
            whole = layer.index == last and subject.description.output_map is not None
            yield Finding(layer.index, "output_map" if whole else "output_processors",
                          f"{place.output_map.bit_count()} bits set, {layer.out_channels} output channels")


@rule("map-chain", "9.2")
def map_chain(subject: Subject) -> Iterator[Finding]:
    """`processors` of a layer are the output maps of the layers that it reads, one after the other."""
    places = subject.placement.layers
    for layer, place in subject.places:
        if layer.index == 0:
            continue
        maps = [places[0].processors if source == NETWORK_INPUT else places[source].output_map
                for source in layer.sources]  # fmt: skip
        if [bit for bitmap in maps for bit in set_bits(bitmap)] != set_bits(place.processors):
            written = ", ".join(f"0x{bitmap:016x}" for bitmap in maps)
            yield Finding(layer.index, "processors", f"0x{place.processors:016x} reads {written}",
                          "Leave out `output_processors` of the layer before, or make it the same.")


@rule("in-offset", "6.1, 9.2, 11.3")
def in_offset(subject: Subject) -> Iterator[Finding]:
    """A layer reads at `in_offset` what the layers before wrote at their `out_offset`."""
    places = subject.placement.layers
    for layer, place in subject.places:
        for source in layer.sources:
            written = places[0].in_offset if source == NETWORK_INPUT else places[source].out_offset
            if place.in_offset != written:
                given = "the network input is" if source == NETWORK_INPUT else f"layer {source} writes"
                yield Finding(layer.index, "in_offset", f"0x{place.in_offset:x}, but {given} at 0x{written:x}")


@rule("chw-instance", "6.2, 9.2")
def chw_instance(subject: Subject) -> Iterator[Finding]:
    """With CHW input every channel needs a data memory instance of its own: one processor per group of four."""
    if subject.network.data_format == "chw":
        processors = subject.placement.layers[0].processors
        for quad in range(subject.device.processors // 4):
            if (processors >> 4 * quad & 15).bit_count() > 1:
                yield Finding(0, "processors", f"0x{processors:016x} has several processors in instance {quad}",
                              "Spread the channels, or use `data_format: hwc`.")


@rule("chw-lane", "6.2, appendix E 9")
def chw_lane(subject: Subject) -> Iterator[Finding]:
    """With CHW input a channel belongs to the first processor of a group of four."""
    if subject.network.data_format == "chw":
        processors = subject.placement.layers[0].processors
        for quad in range(subject.device.processors // 4):
            if (processors >> 4 * quad & 15) in (2, 4, 8):
                yield Finding(0, "processors", f"0x{processors:016x} does not use processor {4 * quad}")


@rule("group0", "3.2, 9.1, B.3")
def group0(subject: Subject) -> Iterator[Finding]:
    """Group 0 must be used, by a processor map or by the output map of the last layer."""
    if 0 not in subject.placement.groups:
        yield Finding(None, "layers", f"groups {', '.join(map(str, subject.placement.groups))} only",
                      "Move a layer to processors 0 to 15.")


@rule("offset", "6.4")
def offset(subject: Subject) -> Iterator[Finding]:
    """Offsets are multiples of 4 bytes inside a data memory instance: 0 to 16380."""
    offsets = [(0, "--input-offset", subject.placement.layers[0].in_offset)]
    offsets += [(layer.index, "out_offset", place.out_offset) for layer, place in subject.places]
    for index, key, value in offsets:
        if value % 4 or not 0 <= value < subject.device.instance_bytes:
            yield Finding(index, key, f"`{key}` 0x{value:x}" if value >= 0 else f"`{key}` {value}")


@rule("capacity-in", "6.4, 9.2")
def capacity_in(subject: Subject) -> Iterator[Finding]:
    """
    The network input plus its offset must fit the 16384 bytes of a data memory instance: a byte per pixel in CHW, four
    in HWC.
    """
    layer, place = next(subject.places)
    end = input_region(layer, place, subject.network.data_format).words.stop
    if end > subject.device.instance_words:
        yield Finding(0, "data_format", f"{layer.height}x{layer.width} pixels at offset 0x{place.in_offset:x} end at "
                      f"0x{4 * end:x}", "Use `data_format: chw` or a smaller image.")


@rule("capacity-out", "6.4, 9.2")
def capacity_out(subject: Subject) -> Iterator[Finding]:
    """
    The output of a layer, four bytes per pixel plus out_offset, must fit the 16384 bytes of a data memory instance.
    """
    for layer, place in subject.places:
        end = output_region(layer, place).words.stop
        if end > subject.device.instance_words:
            yield Finding(layer.index, "out_offset", f"{layer.out_height}x{layer.out_width} pixels at offset "
                          f"0x{place.out_offset:x} end at 0x{4 * end:x}")


@rule("overlap", "6.4, 9.2")
def overlap(subject: Subject) -> Iterator[Finding]:
    """The output of a layer must not overwrite its input, or what a later layer reads, in the same memory instance."""
    for layer, place in subject.places:
        written = output_region(layer, place)
        for reader, read in _still_needed(subject, layer.index):
            if read.overlaps(written):
                instance = min(read.instances & written.instances)
                whose = "input" if reader == layer.index else f"input of layer {reader}"
                yield Finding(layer.index, "out_offset", f"{whose} words {read.words.start}-{read.words.stop - 1}, "
                              f"output words {written.words.start}-{written.words.stop - 1} of instance {instance}",
                              "Alternate out_offset between 0 and 0x2000 from layer to layer.")


def _still_needed(subject: Subject, index: int) -> Iterator[tuple[int, Region]]:
    """What a layer and the layers after it read of what there is before it runs: reader, region."""
    places = subject.placement.layers
    for layer, place in list(subject.places)[index:]:
        read = input_region(layer, place, subject.data_format(layer))
        for source in layer.sources:
            if source < index:
                written = places[0].processors if source == NETWORK_INPUT else places[source].output_map
                instances = frozenset(bit // 4 for bit in set_bits(written))
                yield layer.index, Region(read.instances & instances, read.words)


@rule("mask-ram", "4.3, 9.1")
def mask_ram(subject: Subject) -> Iterator[Finding]:
    """A processor has 128 mask RAM columns; first column plus kernel count of a layer must not exceed 128."""
    for layer, place in subject.places:
        end = place.kernel_column + place.kernel_count
        if end > subject.device.mask_columns:
            yield Finding(layer.index, "processors", f"columns {place.kernel_column} to {end - 1}",
                          "Use other processors or fewer channels; --verbose prints the kernel map.")


@rule("bias-ram", "5, 9.1")
def bias_ram(subject: Subject) -> Iterator[Finding]:
    """
    A group holds 256 bias values; the biases of a layer must fit the bias memory of a group that takes part in the
    layer.
    """
    for layer, place in subject.places:
        if place.bias and place.bias.entry + place.bias.count > subject.device.bias_entries:
            yield Finding(layer.index, "bias", f"{place.bias.entry + place.bias.count} values in group "
                          f"{place.bias.group}", "Spread the layers over groups, or train without bias.")


@rule("bias-count", "9.2")
def bias_count(subject: Subject) -> Iterator[Finding]:
    """A layer with bias has one bias per output channel."""
    for layer in subject.network.layers:
        if layer.bias is not None and len(layer.bias) != layer.out_channels:
            yield Finding(layer.index, "bias", f"{len(layer.bias)} for {layer.out_channels} channels in "
                          f"{subject.checkpoint.path}")


@rule("fc-missing", "12.3")
def fc_missing(subject: Subject) -> Iterator[Finding]:
    """The software classification layer is the module `fc` of the checkpoint."""
    if subject.fc_layer and subject.checkpoint.fc is None:
        yield Finding(None, "layers", f"{subject.checkpoint.path} without it", "Leave out --fc-layer.")


@rule("fc-inputs", "8.2")
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


@rule("fc-count", "8.2")
def fc_count(subject: Subject) -> Iterator[Finding]:
    """The classification layer has at most 65535 inputs and 65535 outputs: its routine counts them in 16 bits."""
    fc = subject.network.fc
    if fc is not None and max(fc.weight.shape) > 65535:
        yield Finding(None, "layers", f"{fc.weight.shape[1]} inputs, {fc.weight.shape[0]} outputs")


@rule("sample", "14.1")
def sample(subject: Subject) -> Iterator[Finding]:
    """The sample input holds integers from -128 to 127."""
    low, high = int(subject.sample.min()), int(subject.sample.max())
    if low < -128 or high > 127:
        yield Finding(None, "dataset", f"values from {low} to {high}")
