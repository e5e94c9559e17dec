"""Where everything lives: processors, data memory, mask RAM columns, bias entries.

Columns and biases are assigned in ai84/placement.py and ai85/placement.py. Numbers are sections of the AI84 hardware
reference.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .device import Device
from .network import Network
from .yamlcfg import Description


def set_bits(bitmap: int) -> list[int]:
    """Positions of the set bits, ascending."""
    return [n for n in range(bitmap.bit_length()) if bitmap >> n & 1]


def first_bit(bitmap: int) -> int:
    """Position of the lowest set bit of a map that is not 0."""
    return (bitmap & -bitmap).bit_length() - 1


def first_quad(bitmap: int) -> int:
    """Position of lane 0 of the quad that holds the lowest set bit."""
    return first_bit(bitmap) & ~3


def masks_of(output_map: int) -> tuple[int, ...]:
    """The distance of every set bit from lane 0 of the quad that holds the lowest one."""
    return tuple(bit - first_quad(output_map) for bit in set_bits(output_map))


@dataclass(frozen=True)
class BiasPlace:
    """The bias RAM that holds a layer's biases: group, first entry, number of entries (one per mask)."""

    group: int
    entry: int
    count: int


@dataclass(frozen=True)
class LayerPlace:
    """Place of one layer. Maps are 64-bit maps of processors, offsets are bytes from the start of every instance.

    Output channel o belongs to the o-th set bit of `output_map`. Its mask is its distance from lane 0 of the map's
    first quad; `kernel_count` counts the masks, those of unused lanes included. `columns` are those that are written,
    relative to `kernel_column`; on AI84 they are the masks. Where a layer has more channels than processors, they are
    handled in several passes: the words of a pixel lie one after the other, a word for each pass. `stored` is False
    where the kernels are those of an earlier layer.
    """

    processors: int
    output_map: int
    in_offset: int
    out_offset: int
    kernel_column: int
    kernel_count: int
    bias: BiasPlace | None
    in_passes: int = 1
    out_passes: int = 1
    row_gap: int = 0  # words in front of every output row, an effect of 4x4 pooling on AI84 (6.5)
    words_ahead: int = 0  # written in front of the output, and behind it
    words_after: int = 0
    columns: tuple[int, ...] = ()
    stored: bool = True

    @property
    def masks(self) -> list[int]:
        """The mask of every output channel of a pass."""
        return list(masks_of(self.output_map))


@dataclass(frozen=True)
class Placement:
    """Places of all layers, and the groups that take part (3.2)."""

    layers: tuple[LayerPlace, ...]
    groups: tuple[int, ...]

    @property
    def columns_used(self) -> dict[int, int]:
        """For every processor with kernels: one more than its last used mask RAM column."""
        used: dict[int, int] = {}
        for place in self.layers:
            used.update(dict.fromkeys(set_bits(place.processors), place.kernel_column + place.kernel_count))
        return used


def passes(channels: int, processors: int) -> int:
    """In how many passes the processors handle so many channels (1.5)."""
    return max(1, -(-channels // processors))


def channels_per_pass(channels: int, processors: int) -> int:
    """How many processors handle so many channels: the same number in every pass, filled up to groups of four (1.5)."""
    if channels <= processors:
        return channels
    return min(processors, (-(-channels // passes(channels, processors)) + 3) // 4 * 4)


def passes_are_full(channels: int, processors: int) -> bool:
    """Whether every pass, the last one too, handles as many channels as the others."""
    return channels % max(1, channels_per_pass(channels, processors)) == 0


@dataclass(frozen=True)
class Choices:
    """What can be chosen of a placement beside the description.

    `input_offset` is where the network input begins, in bytes; with `deduplicate` AI85 stores equal kernels once.
    """

    input_offset: int = 0
    deduplicate: bool = True


def output_maps(device: Device, description: Description, network: Network) -> list[int]:
    """Output map of every layer of the network.

    By default the processors of the layer that reads it; where there is none, its lowest bits, as many as needed.
    `output_map` is the map of the last processed layer, also when processing stops early (11.1).
    """
    maps = []
    for layer, described in zip(network.layers, description.layers, strict=False):
        reader = description.reader(layer.index)
        count = layer.out_channels
        if device.max_passes > 1:
            count = channels_per_pass(count, device.processors)
        default = (1 << count) - 1 if reader is None else description.layers[reader].processors
        maps.append(described.output_processors or default)
    if description.output_map is not None:
        maps[-1] = description.output_map
    return maps


def groups_of(device: Device, maps: Iterable[int]) -> tuple[int, ...]:
    """The groups in which any of the maps has a bit."""
    union = 0
    for bitmap in maps:
        union |= bitmap
    return tuple(sorted({bit // device.group_processors for bit in set_bits(union)}))
