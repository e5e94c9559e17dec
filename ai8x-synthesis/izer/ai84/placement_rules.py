"""What the device allows a placement to be: processors, data memory, mask RAM and bias RAM.

The numbers beside a rule's id are sections of the AI84 hardware reference.
"""

from collections.abc import Iterator

from ..memory import input_region, output_region
from ..rules import Finding, Rule, Subject, rule

PLACEMENT_RULES: list[Rule[Subject]] = []


@rule("popcount-in", "9.2, 3.8", PLACEMENT_RULES)
def popcount_in(subject: Subject) -> Iterator[Finding]:
    """The number of set bits in `processors` must equal the number of input channels of the layer."""
    for layer, place in subject.places:
        if place.processors.bit_count() != layer.in_channels:
            yield Finding(layer.index, "processors",
                          f"{place.processors.bit_count()} bits set, {layer.in_channels} input channels")


@rule("popcount-out", "9.2, 11.1", PLACEMENT_RULES)
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


@rule("chw-lane", "6.2, appendix E 9", PLACEMENT_RULES)
def chw_lane(subject: Subject) -> Iterator[Finding]:
    """With CHW input a channel belongs to the first processor of a group of four."""
    if subject.network.data_format == "chw":
        processors = subject.placement.layers[0].processors
        for quad in range(subject.device.processors // 4):
            if (processors >> 4 * quad & 15) in (2, 4, 8):
                yield Finding(0, "processors", f"0x{processors:016x} does not use processor {4 * quad}")


@rule("offset", "6.4", PLACEMENT_RULES)
def offset(subject: Subject) -> Iterator[Finding]:
    """Offsets are multiples of 4 bytes inside a data memory instance: 0 to 16380."""
    offsets = [(0, "--input-offset", subject.placement.layers[0].in_offset)]
    offsets += [(layer.index, "out_offset", place.out_offset) for layer, place in subject.places]
    for index, key, value in offsets:
        if value % 4 or not 0 <= value < subject.device.instance_bytes:
            yield Finding(index, key, f"`{key}` 0x{value:x}" if value >= 0 else f"`{key}` {value}")


@rule("capacity-in", "6.4, 9.2", PLACEMENT_RULES)
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


@rule("capacity-out", "6.4, 9.2", PLACEMENT_RULES)
def capacity_out(subject: Subject) -> Iterator[Finding]:
    """
    The output of a layer, four bytes per pixel plus out_offset, must fit the 16384 bytes of a data memory instance.
    """
    for layer, place in subject.places:
        end = output_region(layer, place).words.stop
        if end > subject.device.instance_words:
            yield Finding(layer.index, "out_offset", f"{layer.out_height}x{layer.out_width} pixels at offset "
                          f"0x{place.out_offset:x} end at 0x{4 * end:x}")


@rule("mask-ram", "4.3, 9.1", PLACEMENT_RULES)
def mask_ram(subject: Subject) -> Iterator[Finding]:
    """A processor has 128 mask RAM columns; first column plus kernel count of a layer must not exceed 128."""
    for layer, place in subject.places:
        end = place.kernel_column + place.kernel_count
        if end > subject.device.mask_columns:
            yield Finding(layer.index, "processors", f"columns {place.kernel_column} to {end - 1}",
                          "Use other processors or fewer channels; --verbose prints the kernel map.")


@rule("bias-ram", "5, 9.1", PLACEMENT_RULES)
def bias_ram(subject: Subject) -> Iterator[Finding]:
    """
    A group holds 256 bias values; the biases of a layer must fit the bias memory of a group that takes part in the
    layer.
    """
    for layer, place in subject.places:
        if place.bias and place.bias.entry + place.bias.count > subject.device.bias_entries:
            yield Finding(layer.index, "bias", f"{place.bias.entry + place.bias.count} values in group "
                          f"{place.bias.group}", "Spread the layers over groups, or train without bias.")
