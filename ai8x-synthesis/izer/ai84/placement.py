"""Where the kernels and biases of AI84's layers are.

Numbers are sections of the AI84 hardware reference. A placement is computed for illegal networks too, so that the rules
can report on it.
"""

from collections.abc import Iterator

from ..device import Device
from ..network import Layer, Network
from ..placement import (
    BiasPlace,
    Choices,
    LayerPlace,
    Placement,
    first_bit,
    first_quad,
    groups_of,
    masks_of,
    output_maps,
    set_bits,
)
from ..yamlcfg import Description
from ..yamlvalues import NETWORK_INPUT


def place_network(device: Device, description: Description, network: Network, choices: Choices) -> Placement:
    """Place the layers as the description says; it gives the maps and offsets, and this assigns columns and biases."""
    maps = output_maps(device, description, network)
    processors = [layer.processors for layer in description.layers[: len(maps)]]
    columns = list(_kernel_columns(processors, maps))
    biases = _bias_places(device, network.layers, processors, [count for _, count in columns])
    places = []
    offsets = {NETWORK_INPUT: choices.input_offset}  # where every layer's output begins
    for n, (bias, described) in enumerate(zip(biases, description.layers, strict=False)):
        in_offset = offsets[description.sources(n)[0]] if described.in_offset is None else described.in_offset
        gap = 2 if network.layers[n].pool_size == 4 else 0
        places.append(LayerPlace(processors[n], maps[n], in_offset, described.out_offset, *columns[n], bias,
                                 row_gap=gap, columns=masks_of(maps[n])))  # fmt: skip
        offsets[n] = described.out_offset
    return Placement(tuple(places), groups_of(device, [*processors, *maps]))


def _kernel_columns(processors: list[int], maps: list[int]) -> Iterator[tuple[int, int]]:
    """First column and number of columns of every layer (4.3)."""
    used: dict[int, int] = {}
    for inputs, outputs in zip(processors, maps, strict=True):
        start = max(used.get(processor, 0) for processor in set_bits(inputs))
        count = outputs.bit_length() - first_quad(outputs)
        # leading dummy columns may coincide with older kernels
        start = max(0, start - first_bit(outputs) % 4)
        start = (start + 3) // 4 * 4
        used.update(dict.fromkeys(set_bits(inputs), start + count))
        yield start, count


def _bias_places(
    device: Device, layers: tuple[Layer, ...], processors: list[int], masks: list[int]
) -> Iterator[BiasPlace | None]:
    """The least filled bias RAM among the groups that are active in the layer; one entry per mask (chapter 5)."""
    filled: dict[int, int] = {}
    for layer, inputs, count in zip(layers, processors, masks, strict=True):
        if layer.bias is None:
            yield None
            continue
        group = min(groups_of(device, [inputs]), key=lambda g: filled.get(g, 0))
        yield BiasPlace(group, filled.get(group, 0), count)
        filled[group] = filled.get(group, 0) + count
