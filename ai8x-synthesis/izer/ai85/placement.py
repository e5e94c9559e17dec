"""Where the kernels and biases of AI85's layers are, and what its layers do in several passes.

Numbers are sections of the AI85 hardware reference. A placement is computed for illegal networks too, so that the rules
can report on it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..memory import output_words
from ..network import Layer, Network
from ..placement import (
    BiasPlace,
    Choices,
    LayerPlace,
    Placement,
    first_bit,
    first_quad,
    groups_of,
    output_maps,
    passes,
    set_bits,
)
from ..yamlcfg import Description
from ..yamlvalues import NETWORK_INPUT
from .layers import as_executed, pixels_after, pixels_ahead

COLUMN_BYTES = 9


@dataclass(frozen=True)
class Masks:
    """How many kernels a layer has in every processor, and which columns they take, from its first column on.

    `reserved` columns are looked for, `written` are those that get a byte: columns that only have kernels of unused
    lanes do not (5.5, 5.6).
    """

    count: int
    reserved: int
    written: tuple[int, ...]


def count_masks(layer: Layer, output_map: int, in_passes: int, out_passes: int) -> Masks:
    """Masks of a layer that convolves, as executed."""
    span = output_map.bit_length() - first_quad(output_map)
    if layer.flatten:
        outputs = span * out_passes - (out_passes * output_map.bit_count() - layer.out_channels)
        count = outputs * in_passes * layer.kernel[0] * layer.kernel[1]
        used_bits = count * layer.weight_bits
        return Masks(count, _reserved(count, 1, layer.weight_bits), tuple(range(-(-used_bits // (8 * COLUMN_BYTES)))))
    taps = layer.kernel[0] * layer.kernel[1]
    unaligned = (first_bit(output_map) - first_quad(output_map)) * in_passes if out_passes == 1 else 0
    masks = span * out_passes * in_passes
    reserved = _reserved(masks - unaligned, taps, layer.weight_bits)
    skipped = unaligned * taps // COLUMN_BYTES
    stream = -(-masks // (8 // layer.weight_bits)) * taps  # bytes
    last = max(skipped + reserved, -(-stream // COLUMN_BYTES))
    whole = taps == COLUMN_BYTES and layer.weight_bits == 8 and in_passes == out_passes == 1
    holes = set(range(span)) - {bit - first_quad(output_map) for bit in set_bits(output_map)} if whole else set()
    return Masks(masks, reserved, tuple(n for n in range(skipped, last) if n not in holes))


def _reserved(masks: int, taps: int, bits: int) -> int:
    """Columns for so many kernels. Weights of fewer than 8 bits share bytes, the last ones are counted whole (5.5)."""
    together = 8 // bits
    return (masks * taps * bits + masks % together * taps * (together - 1) + 71) // 72


def place_network(device: Device, description: Description, network: Network, choices: Choices) -> Placement:
    """Place the layers as the description says; it gives the maps and offsets, and this assigns columns and biases."""
    maps = output_maps(device, description, network)
    processors = [layer.processors for layer in description.layers[: len(maps)]]
    executed = [as_executed(layer) for layer in network.layers]
    in_passes = [passes(layer.in_channels, device.processors) for layer in executed]
    out_passes = [passes(layer.out_channels, device.processors) for layer in executed]
    masks = [count_masks(*each) for each in zip(executed, maps, in_passes, out_passes, strict=True)]
    same = list(_first_of_same_kernels(executed, processors, maps))
    first = same if choices.deduplicate else list(range(len(maps)))
    columns = _kernel_columns(device, executed, processors, masks, first)
    groups = groups_of(device, [*processors, maps[-1]])
    biases = _bias_places(description, network.layers, maps, out_passes, groups, choices)
    offsets = {NETWORK_INPUT: choices.input_offset}  # where every layer's output begins
    places = []
    for n, described in enumerate(description.layers[: len(maps)]):
        in_offset = offsets[description.sources(n)[0]] if described.in_offset is None else described.in_offset
        weights = executed[n].convolves
        places.append(LayerPlace(
            processors[n], maps[n], in_offset, described.out_offset, columns[n] if weights else 0,
            masks[n].count if weights else 0, biases[n], in_passes[n], out_passes[n],
            words_ahead=pixels_ahead(network.layers[n]) * out_passes[n] * output_words(network.layers[n]),
            words_after=pixels_after(network.layers[n]) * out_passes[n] * output_words(network.layers[n]),
            columns=masks[n].written if weights else (), stored=first[n] == n,
        ))  # fmt: skip
        offsets[n] = described.out_offset
        if n == 0:
            offsets[NETWORK_INPUT] = in_offset
    return Placement(tuple(places), groups)


def _first_of_same_kernels(layers: Sequence[Layer], processors: list[int], maps: list[int]) -> Iterator[int]:
    """For every layer the first one that has the same kernels in the same processors (4.3.7)."""
    for n, layer in enumerate(layers):
        yield next(m for m in range(n + 1) if m == n or (
            layer.convolves and processors[m] == processors[n] and layers[m].weight_bits == layer.weight_bits
            and layers[m].flatten == layer.flatten and _masks_of(maps[m]) == _masks_of(maps[n])
            and np.array_equal(layers[m].weight, layer.weight)))  # fmt: skip


def _masks_of(output_map: int) -> int:
    """The map from lane 0 of its first quad on, which decides on the order of the kernels."""
    return output_map >> first_quad(output_map)


def _kernel_columns(
    device: Device, layers: Sequence[Layer], processors: list[int], masks: list[Masks], first: list[int]
) -> list[int]:
    """The first column of every layer: the lowest multiple of 4 from which its columns are free everywhere (5.7).

    Layers of all processors come first.
    """
    everything = (1 << device.processors) - 1
    length = sum(m.reserved + len(m.written) + 8 for m in masks)
    occupied = np.zeros((device.processors, length), np.bool_)
    starts = [0] * len(layers)
    order = sorted(range(len(layers)), key=lambda n: processors[n] != everything)
    for n in order:
        if not layers[n].convolves or first[n] != n:
            continue
        rows = np.array(set_bits(processors[n]))
        taken: NDArray[np.bool_] = np.logical_or.reduce(occupied[rows])
        starts[n] = next(c for c in range(0, length, 4) if not taken[c : c + masks[n].reserved].any())
        occupied[np.ix_(rows, starts[n] + np.array(masks[n].written, np.int64))] = True
    for n, same in enumerate(first):
        starts[n] = starts[same]
    return starts


def _bias_places(
    description: Description, layers: Sequence[Layer], maps: list[int], out_passes: list[int], groups: tuple[int, ...],
    choices: Choices,
) -> list[BiasPlace | None]:
    """Every bias goes into the least filled of the groups that are allowed, the longest first (6).

    Flattened layers come before them, then those with one group only, in their order. Equal biases are stored once.
    """
    allowed = [tuple(described.bias_group or groups) for described in description.layers[: len(layers)]]
    ahead = [(first_bit(m) - first_quad(m)) * p for m, p in zip(maps, out_passes, strict=True)]
    choice = [len(groups) > 1 for groups in allowed]
    order = sorted((n for n, layer in enumerate(layers) if layer.bias is not None),
                   key=lambda n: (not layers[n].flatten, choice[n], -choice[n] * (ahead[n] + layers[n].out_channels)))
    filled: dict[int, int] = {}
    places: list[BiasPlace | None] = [None] * len(layers)
    for n in order:
        equal = (m for m in range(n) if _same_bias(layers[m], layers[n]) and ahead[m] == ahead[n])
        same = next(equal, n) if choices.deduplicate else n
        if places[same] is not None:
            places[n] = places[same]
            continue
        group = min(allowed[n], key=lambda g: (filled.get(g, 0), g))
        places[n] = places[same] = BiasPlace(group, filled.get(group, 0), ahead[n] + layers[n].out_channels)
        filled[group] = filled.get(group, 0) + places[n].count  # type: ignore[union-attr]
    return places


def _same_bias(one: Layer, other: Layer) -> bool:
    return one.bias is not None and other.bias is not None and np.array_equal(one.bias, other.bias)
