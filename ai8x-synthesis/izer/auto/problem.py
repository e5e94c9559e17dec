"""What there is to place, and where each part may go.

A *value* is what a layer delivers, or the network input. It lies in the data memories of the processors that read it:
its window. Choosing a window for every value gives all maps of processors. Where a description gives a map, that is the
only window; others are consecutive processors, from a multiple of four on or, on AI84, from any. Values that one layer
reads together, one after the other, make a group, whose windows are chosen together.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..device import Device
from ..errors import RuleError, Violation
from ..memory import input_region, output_region
from ..network import Layer, Network
from ..placement import Choices, LayerPlace, channels_per_pass, first_bit, masks_of, set_bits
from ..targets import Target
from ..yamlcfg import Description, LayerDescription
from ..yamlvalues import NETWORK_INPUT

LANES = 4  # processors that share a data memory instance


@dataclass(frozen=True)
class Maps:
    """A choice of maps for the values of a group; `chw` is the format of the network input."""

    maps: tuple[int, ...]
    chw: bool = False


@dataclass(frozen=True)
class Window:
    """Where a value may be.

    Attributes:
        processors: map of the processors that read it.
        instances: the data memory instances in which it takes space.
        words: how many words it takes in each, from its offset on; `ahead` are written before the offset.
        chw: whether it is the network input with four pixels of a channel in a word.
    """

    processors: int
    instances: frozenset[int]
    words: int
    ahead: int
    chw: bool


@dataclass(frozen=True)
class Value:
    """What a layer delivers, or the network input.

    Attributes:
        source: the layer, or NETWORK_INPUT.
        windows: where it may be; of all values of a group the same number is chosen.
        offset: its offset in words, where the description gives it.
        needed: the last layer that reads it; the answer is needed after the last layer.
    """

    source: int
    windows: tuple[Window, ...]
    offset: int | None
    needed: int


@dataclass(frozen=True)
class Problem:
    """All that can be chosen of a network's placement.

    Attributes:
        description: as it was given.
        network: its layers.
        groups: the values, in the order in which their first ones are written.
        least_columns: how many columns of weight memory every layer takes at least in each of its processors, when its
            output has the first window.
    """

    device: Device
    target: Target
    description: Description
    network: Network
    choices: Choices
    groups: tuple[tuple[Value, ...], ...]
    least_columns: tuple[int, ...]

    @property
    def in_order(self) -> bool:
        """Whether the columns of a layer lie behind those of the layers before it (AI84 hardware reference 4.3)."""
        return self.device.max_passes == 1

    @property
    def values(self) -> list[Value]:
        """All values in the order in which they are written."""
        return sorted((value for group in self.groups for value in group), key=lambda value: value.source)

    def group_of(self, source: int) -> int:
        """The number of a value's group."""
        return next(n for n, group in enumerate(self.groups) if source in [value.source for value in group])

    def value(self, source: int) -> Value:
        """A value by its source."""
        return next(value for value in self.values if value.source == source)

    def processors(self, layer: Layer, window: int) -> int:
        """The map of a layer's processors when its input has the window of this number."""
        return union(self.value(source).windows[window].processors for source in layer.sources)

    def lead(self, layer: Layer, window: int) -> int:
        """How many of a layer's first columns may lie over older kernels, when its output has this window.

        They are for the lanes in front of the output on AI84 (AI84 hardware reference 4.3).
        """
        output = self.value(layer.index).windows[window].processors
        return first_bit(output) % LANES if self.in_order else 0

    def columns(self, layer: Layer, window: int) -> int:
        """How many columns a layer takes at least, when its output has this window: on AI84 the lanes from the first
        quad on."""
        output = self.value(layer.index).windows[window].processors
        return masks_of(output)[-1] + 1 if self.in_order else self.least_columns[layer.index]

    def follows(self, layer: Layer, window: int, output: int) -> bool:
        """Whether a layer's output may have one window when its input has another.

        A layer without weights leaves every channel in its quadrant (AI85 hardware reference 4.3.5).
        """
        if layer.convolves:
            return True
        size = self.device.group_processors
        inputs, outputs = self.processors(layer, window), self.value(layer.index).windows[output].processors
        return all((inputs >> n & (1 << size) - 1).bit_count() == (outputs >> n & (1 << size) - 1).bit_count()
                   for n in range(0, self.device.processors, size))  # fmt: skip

    def in_first_group(self, group: int, window: int) -> bool:
        """Whether a window has a processor of group 0, which must take part (AI84 hardware reference 3.2)."""
        first = (1 << self.device.group_processors) - 1
        return any(value.windows[window].processors & first for value in self.groups[group])

    def rivals(self) -> Iterator[tuple[Value, Value]]:
        """The pairs of values of which the later one is written while the other is still needed."""
        values = self.values
        for number, later in enumerate(values):
            yield from ((earlier, later) for earlier in values[:number] if earlier.needed >= later.source)


def union(maps: Iterable[int]) -> int:
    """The map with the bits of all maps."""
    result = 0
    for bitmap in maps:
        result |= bitmap
    return result


def build_problem(
    device: Device, target: Target, description: Description, network: Network, choices: Choices
) -> Problem:
    """The problem that a description leaves.

    Raises RuleError where the given maps contradict each other, or layers are joined in ways that cannot be described.
    """
    sources = _grouped_sources(network)
    maps = [_choices(device, description, network, group) for group in sources]
    first = {source: each[0].maps[n] for group, each in zip(sources, maps, strict=True)
             for n, source in enumerate(group)}  # fmt: skip
    trial = target.place(device, filled(description, network, first), network, choices).layers
    groups = tuple(
        tuple(_value(description, network, trial, choices, source, [(each.maps[n], each.chw) for each in possible])
              for n, source in enumerate(group)) for group, possible in zip(sources, maps, strict=True))  # fmt: skip
    columns = tuple(0 if _may_share(device, network, choices, layer) else max(place.columns, default=-1) + 1
                    for layer, place in zip(network.layers, trial, strict=True))  # fmt: skip
    return Problem(device, target, description, network, choices, groups, columns)


def _may_share(device: Device, network: Network, choices: Choices, layer: Layer) -> bool:
    """Whether an earlier layer has the same kernels, which are then stored once in the same processors.

    AI85 hardware reference 4.3.7. Whether they are depends on the maps, so that such a layer may need no columns.
    """
    return device.max_passes > 1 and choices.deduplicate and any(
        other.convolves and other.weight_bits == layer.weight_bits and other.flatten == layer.flatten
        and np.array_equal(other.weight, layer.weight) for other in network.layers[: layer.index])  # fmt: skip


def _grouped_sources(network: Network) -> list[tuple[int, ...]]:
    """The values that are read together, and those that are read alone, in the order of their first ones."""
    groups: list[tuple[int, ...]] = []
    for layer in network.layers:
        if len(layer.sources) > 1 and layer.sources not in groups:
            if clash := {source for group in groups for source in group} & set(layer.sources):
                raise RuleError([Violation(
                    "auto-join", "Automatic placement joins an output with others in one way only.",
                    f"{_name(min(clash))} is joined again", "Give the `processors` of all layers.", layer.index,
                    network.path)])  # fmt: skip
            groups.append(layer.sources)
    grouped = {source for group in groups for source in group}
    groups += [(n,) for n in range(NETWORK_INPUT, len(network.layers)) if n not in grouped]
    return sorted(groups, key=min)


def _choices(device: Device, description: Description, network: Network, group: tuple[int, ...]) -> list[Maps]:
    """All choices of maps for a group. Raises RuleError if the given maps contradict each other."""
    counts = [channels_per_pass(network.delivered(source)[0], device.processors) for source in group]
    given = [_given(description, network, source) for source in group]
    whole = next((description.layers[layer.index].processors for layer in network.layers
                  if layer.sources == group and description.layers[layer.index].processors), 0)  # fmt: skip
    if group == (NETWORK_INPUT,):
        return _input_choices(device, description, network, given[0], counts[0])
    if len(group) == 1 and given[0]:
        return [Maps((given[0],))]
    step = 1 if device.max_passes == 1 and len(group) == 1 else LANES
    cut = [_cut(whole, counts)] if whole else list(_runs(device, counts, step))
    fitting = [Maps(maps) for maps in cut
               if all(wanted in (0, found) for wanted, found in zip(given, maps, strict=True))]  # fmt: skip
    if not fitting:
        raise RuleError([Violation(
            "auto-maps", "The given maps of processors must leave a place for every layer.",
            f"{sum(counts)} channels of {', '.join(_name(source) for source in group)}, read together",
            "Give all of their maps, or none.", None, network.path)])  # fmt: skip
    return fitting


def _input_choices(
    device: Device, description: Description, network: Network, given: int, count: int
) -> list[Maps]:
    """The choices for a network input that is read alone, HWC first; those that do not fit are left out."""
    written, first = description.layers[0].data_format, network.layers[0]
    runs = [given] if given else [maps[0] for maps in _runs(device, [count], LANES)]
    wanted = [Maps((bitmap,)) for bitmap in runs if written != "chw"]
    readers = [layer for layer in network.layers if NETWORK_INPUT in layer.sources]
    if written == "chw" or (written is None and _allows_chw(device, readers)):
        spread = [given] if given else _spread(device, count)
        wanted += [Maps((bitmap,), True) for bitmap in spread if len(_instances(bitmap)) == bitmap.bit_count()]
    pixels = first.height * first.width
    fitting = [each for each in wanted if ((pixels + 3) // 4 if each.chw else pixels) <= device.instance_words]
    return fitting or wanted


def _allows_chw(device: Device, readers: list[Layer]) -> bool:
    """Whether the network input can be in CHW format: the first layer alone reads it, in one pass."""
    first = readers[0]
    return len(readers) == 1 and first.index == 0 and first.in_channels <= device.processors // LANES and (
        not first.flatten)  # fmt: skip


def _name(source: int) -> str:
    return "the network input" if source == NETWORK_INPUT else f"the output of layer {source}"


def _given(description: Description, network: Network, source: int) -> int:
    """The map of a value that the description gives; 0 where it gives none."""
    if source == len(network.layers) - 1 and description.output_map:
        return description.output_map
    if source != NETWORK_INPUT and description.layers[source].output_processors:
        return description.layers[source].output_processors or 0
    return next((description.layers[layer.index].processors for layer in network.layers
                 if layer.sources == (source,) and description.layers[layer.index].processors), 0)  # fmt: skip


def _runs(device: Device, counts: list[int], step: int) -> Iterator[tuple[int, ...]]:
    """All maps of so many consecutive processors, one behind the other: those from a multiple of four on come first.

    No two of them share an instance, where hardware writes whole words.
    """
    sizes = [-(-count // LANES) * LANES for count in counts[:-1]] + counts[-1:]
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    for first in sorted(range(0, max(1, device.processors - sum(sizes) + 1), step), key=lambda n: (n % LANES > 0, n)):
        yield tuple(((1 << count) - 1) << first + start for count, start in zip(counts, starts, strict=True))


def _spread(device: Device, count: int) -> list[int]:
    """All maps of the first processors of so many consecutive instances."""
    run = union(1 << LANES * n for n in range(count))
    return [run << first for first in range(0, device.processors - LANES * (count - 1), LANES)]


def _cut(bitmap: int, counts: list[int]) -> tuple[int, ...]:
    """A map, cut into maps of so many bits each."""
    bits, maps = set_bits(bitmap), []
    for count in counts:
        maps.append(union(1 << bit for bit in bits[:count]))
        bits = bits[count:]
    return tuple(maps)


def _instances(bitmap: int) -> frozenset[int]:
    return frozenset(bit // LANES for bit in set_bits(bitmap))


def _value(
    description: Description, network: Network, places: tuple[LayerPlace, ...], choices: Choices, source: int,
    maps: list[tuple[int, bool]],
) -> Value:
    """A value with its windows."""
    readers = [layer for layer in network.layers if source in layer.sources]
    needed = len(network.layers) if source == len(network.layers) - 1 else max(
        (layer.index for layer in readers), default=source)  # fmt: skip
    windows = tuple(_window(network, places, source, bitmap, readers, chw) for bitmap, chw in maps)
    return Value(source, windows, _offset(description, choices, source), needed)


def _offset(description: Description, choices: Choices, source: int) -> int | None:
    """The offset in words that is given."""
    layer, key = (0, "in_offset") if source == NETWORK_INPUT else (source, "out_offset")
    written = description.layers[layer]
    if key in written.lines:
        return int(getattr(written, key)) // 4
    return choices.input_offset // 4 if source == NETWORK_INPUT and choices.input_offset else None


def _window(
    network: Network, places: tuple[LayerPlace, ...], source: int, bitmap: int, readers: list[Layer], chw: bool
) -> Window:
    """What a value takes when it has this map."""
    words, ahead, instances = 0, 0, _instances(bitmap)
    for layer in readers:
        place = replace(places[layer.index], in_offset=0)
        words = max(words, input_region(layer, place, "chw" if chw else "hwc").words.stop)
    if source != NETWORK_INPUT:
        region = output_region(network.layers[source], replace(places[source], output_map=bitmap, out_offset=0))
        words, ahead, instances = max(words, region.words.stop), -region.words.start, region.instances
    return Window(bitmap, instances, words, ahead, chw)


def filled(
    description: Description, network: Network, maps: dict[int, int], offsets: dict[int, int] | None = None,
    chw: bool = False,
) -> Description:
    """The description with all maps, and all offsets in words, of the values by their sources; what it gives stays."""
    layers = [_filled_layer(description, network, layer, maps, offsets or {}) for layer in network.layers]
    if layers[0].data_format is None and chw:
        layers[0] = replace(layers[0], data_format="chw")
    return replace(description, layers=(*layers, *description.layers[len(layers) :]))


def _filled_layer(
    description: Description, network: Network, layer: Layer, maps: dict[int, int], offsets: dict[int, int]
) -> LayerDescription:
    written = description.layers[layer.index]
    readers = [other for other in network.layers if layer.index in other.sources]
    explicit = not readers or any(len(other.sources) > 1 for other in readers)
    if layer.index == len(network.layers) - 1 and description.output_map:
        explicit = False
    changes: dict[str, int | None] = {"processors": written.processors or union(maps[n] for n in layer.sources)}
    if explicit:
        changes["output_processors"] = written.output_processors or maps[layer.index]
    if "out_offset" not in written.lines:
        changes["out_offset"] = 4 * offsets.get(layer.index, 0)
    if layer.index == 0 and "in_offset" not in written.lines and offsets.get(NETWORK_INPUT):
        changes["in_offset"] = 4 * offsets[NETWORK_INPUT]
    return replace(written, **changes)  # type: ignore[arg-type]
