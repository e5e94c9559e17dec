"""What every device demands of a network and of its placement.

The numbers beside a rule's id are sections of the AI84 hardware reference; targets.py has those of AI85.
"""

from collections.abc import Iterator

from .memory import Region, input_region, output_region
from .placement import set_bits
from .rules import Finding, Rule, Subject, rule
from .yamlvalues import NETWORK_INPUT

SHARED_RULES: list[Rule[Subject]] = []


@rule("arch", "9.2, 11.1", SHARED_RULES)
def arch(subject: Subject) -> Iterator[Finding]:
    """`arch` is the network's name in the checkpoint, in any case."""
    if subject.description.arch.lower() != subject.checkpoint.arch.lower():
        yield Finding(None, "arch", f"{subject.description.arch}, but {subject.checkpoint.arch} in "
                      f"{subject.checkpoint.path}", "Use the checkpoint of this network.")


@rule("layer-count", "9.2, 12.3", SHARED_RULES)
def layer_count(subject: Subject) -> Iterator[Finding]:
    """A description has one layer per convolution of the checkpoint."""
    layers = sum(described.has_weights for described in subject.description.layers)
    convolutions = len(subject.checkpoint.convolutions)
    if layers != convolutions:
        yield Finding(None, "layers", f"{layers} layers, but {convolutions} convolutions in {subject.checkpoint.path}")


@rule("channels-chain", "1.2, 12.3", SHARED_RULES)
def channels_chain(subject: Subject) -> Iterator[Finding]:
    """A layer has as many input channels as the layers that it reads have output channels, or the network input."""
    for layer in subject.network.layers:
        delivered = sum(subject.network.delivered(source)[0] for source in layer.sources)
        if layer.in_channels != delivered:
            yield Finding(layer.index, "processors", f"{layer.in_channels} in the checkpoint's {layer.name}, "
                          f"{delivered} delivered")


@rule("channels-given", "11.3, 12.3", SHARED_RULES)
def channels_given(subject: Subject) -> Iterator[Finding]:
    """`in_channels` and `out_channels`, where given, are those of the checkpoint."""
    for layer in subject.network.layers:
        described = subject.description.layers[layer.index]
        for key, given, found in (("in_channels", described.in_channels, layer.in_channels),
                                  ("out_channels", described.out_channels, layer.out_channels)):  # fmt: skip
            if given not in (None, found):
                yield Finding(layer.index, key, f"{given}, but {found} in the checkpoint's {layer.name}")


@rule("unread", "11.3", SHARED_RULES)
def unread(subject: Subject) -> Iterator[Finding]:
    """The output of every layer but the last is read by a later layer."""
    read = {source for layer in subject.network.layers for source in layer.sources}
    for layer in subject.network.layers[:-1]:
        if layer.index not in read:
            yield Finding(layer.index, "processors", f"layer {layer.index} is read by none",
                          "Name it in `in_sequences` of a later layer, or remove it.")


@rule("in-sizes", "11.3", SHARED_RULES)
def in_sizes(subject: Subject) -> Iterator[Finding]:
    """Layers that are read together have outputs of the same size."""
    for layer in subject.network.layers:
        sizes = {source: subject.network.delivered(source)[1:] for source in layer.sources}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{height}x{width}" for height, width in sizes.values())
            yield Finding(layer.index, "in_sequences", listed)


@rule("in-dim", "6.1, 11.3", SHARED_RULES)
def in_dim(subject: Subject) -> Iterator[Finding]:
    """`in_dim` has as many pixels as the layer's input: they are read in order, with other rows and columns."""
    for layer in subject.network.layers:
        given = subject.description.layers[layer.index].in_dim
        _, height, width = subject.network.delivered(layer.sources[0])
        if given and given[0] * given[1] != height * width:
            yield Finding(layer.index, "in_dim", f"{given[0]}x{given[1]} for {height}x{width} pixels")


@rule("layers-max", "9.1", SHARED_RULES)
def layers_max(subject: Subject) -> Iterator[Finding]:
    """A network has at most 32 layers."""
    count = len(subject.network.layers)
    if count > subject.device.max_layers:
        yield Finding(None, "layers", f"{count} layers", "Use --stop-after or a smaller network.")


@rule("size", "9.2", SHARED_RULES)
def size(subject: Subject) -> Iterator[Finding]:
    """A layer's pooled input and output have at least one row and one column."""
    for layer in subject.network.layers:
        if min(layer.pooled_height, layer.pooled_width, layer.out_height, layer.out_width) < 1:
            yield Finding(layer.index, "pad", f"{layer.height}x{layer.width} input, pooled "
                          f"{layer.pooled_height}x{layer.pooled_width}, output {layer.out_height}x{layer.out_width}")


@rule("data-format", "6.2, 9.2", SHARED_RULES)
def data_format(subject: Subject) -> Iterator[Finding]:
    """`data_format` is the format of the network input; only the first layer has it and can read a CHW input."""
    for layer in subject.network.layers[1:]:
        if NETWORK_INPUT in layer.sources and subject.network.data_format == "chw":
            yield Finding(layer.index, "in_sequences", "a CHW network input", "Use `data_format: hwc` in layer 0.")
    for index, described in enumerate(subject.description.layers):
        if index and described.data_format:
            yield Finding(index, "data_format", f"`{described.data_format}` in layer {index}", "Remove it.")


@rule("bias-count", "9.2", SHARED_RULES)
def bias_count(subject: Subject) -> Iterator[Finding]:
    """A layer with bias has one bias per output channel."""
    for layer in subject.network.layers:
        if layer.bias is not None and len(layer.bias) != layer.out_channels:
            yield Finding(layer.index, "bias", f"{len(layer.bias)} for {layer.out_channels} channels in "
                          f"{subject.checkpoint.path}")


@rule("sample", "14.1", SHARED_RULES)
def sample(subject: Subject) -> Iterator[Finding]:
    """The sample input holds integers from -128 to 127."""
    low, high = int(subject.sample.min()), int(subject.sample.max())
    if low < -128 or high > 127:
        yield Finding(None, "dataset", f"values from {low} to {high}")


@rule("map-chain", "9.2", SHARED_RULES)
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


@rule("in-offset", "6.1, 9.2, 11.3", SHARED_RULES)
def in_offset(subject: Subject) -> Iterator[Finding]:
    """A layer reads at `in_offset` what the layers before wrote at their `out_offset`."""
    places = subject.placement.layers
    for layer, place in subject.places:
        for source in layer.sources:
            written = places[0].in_offset if source == NETWORK_INPUT else places[source].out_offset
            if place.in_offset != written:
                given = "the network input is" if source == NETWORK_INPUT else f"layer {source} writes"
                yield Finding(layer.index, "in_offset", f"0x{place.in_offset:x}, but {given} at 0x{written:x}")


@rule("chw-instance", "6.2, 9.2", SHARED_RULES)
def chw_instance(subject: Subject) -> Iterator[Finding]:
    """With CHW input every channel needs a data memory instance of its own: one processor per group of four."""
    if subject.network.data_format == "chw":
        processors = subject.placement.layers[0].processors
        for quad in range(subject.device.processors // 4):
            if (processors >> 4 * quad & 15).bit_count() > 1:
                yield Finding(0, "processors", f"0x{processors:016x} has several processors in instance {quad}",
                              "Spread the channels, or use `data_format: hwc`.")


@rule("group0", "3.2, 9.1, B.3", SHARED_RULES)
def group0(subject: Subject) -> Iterator[Finding]:
    """Group 0 must be used, by a processor map or by the output map of the last layer."""
    if 0 not in subject.placement.groups:
        yield Finding(None, "layers", f"groups {', '.join(map(str, subject.placement.groups))} only",
                      "Move a layer to processors 0 to 15.")


@rule("overlap", "6.4, 9.2", SHARED_RULES)
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
