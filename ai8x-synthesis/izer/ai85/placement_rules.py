"""What AI85 allows a placement to be: processors, data memory, weight memory and bias memory.

The numbers beside a rule's id are sections of the AI85 hardware reference.
"""

from collections.abc import Iterator

import numpy as np

from ..memory import input_region, output_region
from ..placement import LayerPlace, channels_per_pass, first_bit, groups_of, set_bits
from ..rules import Finding, Rule, Subject, rule
from .layers import as_executed

PLACEMENT_RULES: list[Rule[Subject]] = []


@rule("popcount-in", "1.5, 10.4", PLACEMENT_RULES)
def popcount_in(subject: Subject) -> Iterator[Finding]:
    """
    `processors` has a bit for every input channel; above 64 channels, for every channel of a pass: their number over
    the number of passes, rounded up to a multiple of 4.
    """
    for layer, place in subject.places:
        wanted = channels_per_pass(layer.in_channels, subject.device.processors)
        if place.processors.bit_count() != wanted:
            yield Finding(layer.index, "processors", f"{place.processors.bit_count()} bits set, {wanted} needed for "
                          f"{layer.in_channels} input channels")


@rule("popcount-out", "1.5, 10.4", PLACEMENT_RULES)
def popcount_out(subject: Subject) -> Iterator[Finding]:
    """The output map has a bit for every output channel, or for every channel of a pass, as `processors` has."""
    for layer, place in subject.places:
        wanted = channels_per_pass(layer.out_channels, subject.device.processors)
        if place.output_map.bit_count() != wanted:
            last = layer.index == len(subject.network.layers) - 1
            whole = last and subject.description.output_map is not None
            yield Finding(layer.index, "output_map" if whole else "output_processors",
                          f"{place.output_map.bit_count()} bits set, {wanted} needed for {layer.out_channels} output "
                          "channels")


@rule("joined-passes", "13.3", PLACEMENT_RULES)
def joined_passes(subject: Subject) -> Iterator[Finding]:
    """Layers that are read together have at most 64 channels in all."""
    for layer in subject.network.layers:
        if len(layer.sources) > 1 and layer.in_channels > subject.device.processors:
            yield Finding(layer.index, "in_sequences", f"{layer.in_channels} channels")


@rule("pass-through-map", "4.3.5, 10.4", PLACEMENT_RULES)
def pass_through_map(subject: Subject) -> Iterator[Finding]:
    """
    The output map of a layer without weights has, in every quadrant, as many bits as `processors`, without gaps from
    the first one on.
    """
    for layer, place in subject.places:
        if layer.convolves:
            continue
        for quadrant in range(subject.device.groups):
            inputs, outputs = (bitmap >> 16 * quadrant & 0xFFFF for bitmap in (place.processors, place.output_map))
            packed = outputs == 0 or outputs >> first_bit(outputs) == (1 << outputs.bit_count()) - 1
            if inputs.bit_count() != outputs.bit_count() or not packed or (outputs and first_bit(outputs) % 4):
                yield Finding(layer.index, "output_processors", f"0x{outputs:04x} for processors 0x{inputs:04x} of "
                              f"quadrant {quadrant}")


@rule("output-lanes", "5.6, findings 7", PLACEMENT_RULES)
def output_lanes(subject: Subject) -> Iterator[Finding]:
    """
    An output map begins at a multiple of 4, or the layer has 8-bit weights, at most 64 output channels and no flatten.
    """
    for layer, place in subject.places:
        whole = layer.weight_bits == 8 and place.out_passes == 1 and not layer.flatten
        if layer.convolves and first_bit(place.output_map) % 4 and not whole:
            yield Finding(layer.index, "output_processors", f"0x{place.output_map:016x}",
                          "Move it to the next multiple of 4.")


@rule("output-holes", "4.5.3, 5.6, findings 7", PLACEMENT_RULES)
def output_holes(subject: Subject) -> Iterator[Finding]:
    """
    An output map has no holes; only that of a 3x3 convolution with 8-bit weights, without bias and with at most 64
    input and 64 output channels has, all alike in a quadrant.
    """
    for layer, place in subject.places:
        bits = set_bits(place.output_map)
        if not layer.convolves or bits[-1] - bits[0] == len(bits) - 1:
            continue
        plain = layer.kernel == (3, 3) and layer.weight_bits == 8 and layer.bias is None and not layer.flatten
        if not plain or place.in_passes * place.out_passes > 1 or not _alike(bits):
            yield Finding(layer.index, "output_processors", f"0x{place.output_map:016x}",
                          "Use neighbouring processors in the layer that reads.")


def _alike(bits: list[int]) -> bool:
    """Whether the distances of the bits of every quadrant are the same."""
    steps = [(bits[n] // 16, after - bits[n]) for n, after in enumerate(bits[1:]) if bits[n] // 16 == after // 16]
    return all(len({step for group, step in steps if group == quadrant}) < 2 for quadrant in range(4))


@rule("narrow-outputs", "5.5", PLACEMENT_RULES)
def narrow_outputs(subject: Subject) -> Iterator[Finding]:
    """
    With weights of fewer than 8 bits and more than 64 output channels, the channels of a pass are a multiple of the
    weights in a byte.
    """
    for layer, place in subject.places:
        together = 8 // layer.weight_bits
        if layer.convolves and place.out_passes > 1 and place.output_map.bit_count() % together:
            yield Finding(layer.index, "quantization", f"{place.output_map.bit_count()} channels in each pass, "
                          f"{together} weights in a byte")


@rule("quadrants", "4.4", PLACEMENT_RULES)
def quadrants(subject: Subject) -> Iterator[Finding]:
    """Outputs and biases are in quadrants that a `processors` map or the last output map uses."""
    used = set(subject.placement.groups)
    for layer, place in subject.places:
        outputs = set(groups_of(subject.device, [place.output_map]))
        biases = set(subject.description.layers[layer.index].bias_group or ())
        for key, groups in (("output_processors", outputs - used), ("bias_group", biases - used)):
            for group in sorted(groups):
                yield Finding(layer.index, key, f"quadrant {group}; used are {', '.join(map(str, sorted(used)))}")


@rule("offset", "7.8, 10.2", PLACEMENT_RULES)
def offset(subject: Subject) -> Iterator[Finding]:
    """
    Offsets are multiples of 4 bytes inside a data memory instance, 0 to 32764; a dilated layer writes before its
    out_offset, which leaves room for that.
    """
    offsets = [(0, "in_offset", subject.placement.layers[0].in_offset, 0)]
    offsets += [(layer.index, "out_offset", place.out_offset, 4 * place.words_ahead)
                for layer, place in subject.places]  # fmt: skip
    for index, key, value, least in offsets:
        if value % 4 or not least <= value < subject.device.instance_bytes:
            yield Finding(index, key, f"`{key}` 0x{value:x}" if value >= least else f"`{key}` {value} below {least}")


@rule("capacity-in", "7.8", PLACEMENT_RULES)
def capacity_in(subject: Subject) -> Iterator[Finding]:
    """
    The input of a layer plus its offset fits the 32768 bytes of a data memory instance: four bytes for every pixel and
    pass, one in CHW. A layer that is dilated far reads whole rows of `dilation` samples.
    """
    for layer, place in subject.places:
        end = input_region(as_executed(layer), place, subject.data_format(layer)).words.stop
        if end > subject.device.instance_words:
            yield Finding(layer.index, "in_offset", f"{layer.height}x{layer.width} pixels in {place.in_passes} passes "
                          f"at offset 0x{place.in_offset:x} end at 0x{4 * end:x}",
                          "Use `data_format: chw` or a smaller image.")


@rule("capacity-out", "7.8", PLACEMENT_RULES)
def capacity_out(subject: Subject) -> Iterator[Finding]:
    """
    The output of a layer plus out_offset fits the 32768 bytes of a data memory instance: four bytes for every pixel and
    pass, sixteen where it is 32 bits wide.
    """
    for layer, place in subject.places:
        end = output_region(layer, place).words.stop
        if end > subject.device.instance_words:
            yield Finding(layer.index, "out_offset", f"{layer.out_height}x{layer.out_width} pixels in "
                          f"{place.out_passes} passes at offset 0x{place.out_offset:x} end at 0x{4 * end:x}")


@rule("chw-passes", "7.2", PLACEMENT_RULES)
def chw_passes(subject: Subject) -> Iterator[Finding]:
    """A CHW input is read in one pass: it has at most 16 channels, one for each instance, and is not flattened."""
    layer, place = next(subject.places)
    if subject.network.data_format == "chw" and (place.in_passes > 1 or layer.flatten):
        yield Finding(0, "data_format", f"{layer.in_channels} channels{', flattened' if layer.flatten else ''}",
                      "Use `data_format: hwc`.")


@rule("weight-memory", "5.7", PLACEMENT_RULES)
def weight_memory(subject: Subject) -> Iterator[Finding]:
    """A processor has 768 columns of weight memory."""
    for layer, place in subject.places:
        end = _end(place)
        if end > subject.device.mask_columns:
            yield Finding(layer.index, "processors", f"columns {place.kernel_column} to {end - 1}",
                          "Use other processors, fewer channels or narrower weights.")


def _end(place: LayerPlace) -> int:
    return place.kernel_column + max(place.columns, default=-1) + 1


@rule("columns-twice", "5.6, findings 11", PLACEMENT_RULES)
def columns_twice(subject: Subject) -> Iterator[Finding]:
    """Every column of weight memory belongs to one layer, or to layers with the same kernels."""
    owners = np.full((subject.device.processors, max(_end(place) for place in subject.placement.layers)), -1)
    for layer, place in subject.places:
        if layer.convolves and place.stored:
            columns = place.kernel_column + np.array(place.columns, np.int64)
            cells = np.ix_(np.array(set_bits(place.processors)), columns)
            others = owners[cells]
            if (others >= 0).any():
                yield Finding(layer.index, "output_processors", f"columns of layer {others.max()} too",
                              "Let output maps begin at a multiple of 4.")
            owners[cells] = layer.index


@rule("bias-memory", "6", PLACEMENT_RULES)
def bias_memory(subject: Subject) -> Iterator[Finding]:
    """A quadrant holds 512 biases."""
    for layer, place in subject.places:
        if place.bias and place.bias.entry + place.bias.count > subject.device.bias_entries:
            yield Finding(layer.index, "bias_group", f"{place.bias.entry + place.bias.count} in quadrant "
                          f"{place.bias.group}", "Spread the layers over quadrants, or train without bias.")
