"""The memories as pictures: which layer's kernels lie where, and whose data lives where while which layer runs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from ..device import Device
from ..memory import Region, input_region, output_region
from ..network import Network
from ..placement import Placement, set_bits
from ..yamlvalues import NETWORK_INPUT

MANY = 16  # layers: with more, a box of the timeline is too narrow for a label on a phone
THIN = 1.5  # percent of an instance: the smallest height of a box of the timeline, so that it can be seen


@dataclass(frozen=True)
class Box:
    """A rectangle of a picture in percent of its width and height, from the top left; `layer` gives it its colour.

    `state` is "written", "read" or "waiting" in the timeline. A box with a `label` is large enough for it.
    """

    layer: int
    x: float
    y: float
    width: float
    height: float
    title: str
    label: str = ""
    state: str = ""


@dataclass(frozen=True)
class Life:
    """The words that hold the output of a layer, or the network input, from the time at which layer `born` runs.

    Those who read it are `readers`; it lives until the last of them has run, and the output of the network to the end.
    """

    layer: int
    region: Region
    born: int
    readers: tuple[int, ...]
    until: int

    def state(self, running: int) -> str:
        """What happens to it while a layer is running."""
        if running == self.layer:
            return "written"
        return "read" if running in self.readers else "waiting"


@dataclass(frozen=True)
class Panel:
    """The timeline of instances in which the same happens."""

    instances: tuple[int, ...]
    boxes: tuple[Box, ...]


def runs(numbers: Iterable[int]) -> list[range]:
    """Ascending numbers as ranges of consecutive ones."""
    grouped = groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    found = [[number for _, number in group] for _, group in grouped]
    return [range(numbers[0], numbers[-1] + 1) for numbers in found]


def ranges_text(numbers: Iterable[int]) -> str:
    """Ascending numbers as text, such as "0, 4 to 15"."""
    return ", ".join(str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}" for found in runs(numbers))


def kernel_boxes(device: Device, network: Network, placement: Placement) -> Iterator[Box]:
    """The columns of the mask RAMs by processor, one box for what lies together; shared kernels are drawn once."""
    for layer, place in zip(network.layers, placement.layers, strict=True):
        for columns in runs(place.kernel_column + n for n in place.columns) if place.stored else ():
            for processors in runs(set_bits(place.processors)):
                width, height = len(columns) / device.mask_columns, len(processors) / device.processors
                title = (f"layer {layer.index} ({layer.name}): processors {ranges_text(processors)}, "
                         f"columns {ranges_text(columns)}")
                label = str(layer.index) if width > 0.05 and height > 0.06 else ""
                yield Box(layer.index, 100 * columns[0] / device.mask_columns, 100 * processors[0] / device.processors,
                          100 * width, 100 * height, title, label)  # fmt: skip


def lives(network: Network, placement: Placement) -> tuple[Life, ...]:
    """Whose data lives where, and how long: the network input first, then the output of every layer."""
    regions = {NETWORK_INPUT: input_region(network.layers[0], placement.layers[0], network.data_format)}
    for layer, place in zip(network.layers, placement.layers, strict=True):
        regions[layer.index] = output_region(layer, place)
    found = []
    for index, region in regions.items():
        readers = tuple(layer.index for layer in network.layers if index in layer.sources)
        until = max(readers, default=index)
        if index == network.layers[-1].index:
            until = len(network.layers)
        found.append(Life(index, region, max(0, index), readers, until))
    return tuple(found)


def live_bytes(found: Iterable[Life], running: int) -> int:
    """Bytes of data memory that are in use while a layer runs."""
    return sum(4 * len(life.region.words) * len(life.region.instances)
               for life in found if life.born <= running <= life.until)  # fmt: skip


def panels(device: Device, network: Network, placement: Placement) -> list[Panel]:
    """The timelines of all instances, those in which the same happens together, in the order of the first one."""
    found = lives(network, placement)
    same: dict[tuple[int, ...], list[int]] = {}
    for instance in range(device.processors // 4):
        residents = tuple(life.layer for life in found if instance in life.region.instances)
        same.setdefault(residents, []).append(instance)
    steps = len(network.layers)
    return [Panel(tuple(instances), tuple(box for life in found if life.layer in residents
                                          for box in _life_boxes(device, life, steps)))
            for residents, instances in same.items()]  # fmt: skip


def _life_boxes(device: Device, life: Life, steps: int) -> Iterator[Box]:
    """A box for every layer that runs while the data lives."""
    words = life.region.words
    y, height = 100 * words.start / device.instance_words, max(THIN, 100 * len(words) / device.instance_words)
    name = "network input" if life.layer == NETWORK_INPUT else f"output of layer {life.layer}"
    for running in range(life.born, min(life.until, steps - 1) + 1):
        state = life.state(running)
        title = f"{name}, bytes {4 * words.start} to {4 * words.stop - 1}: layer {running} runs, {state}"
        name_it = running == life.born and steps <= MANY
        label = ("in" if life.layer == NETWORK_INPUT else str(life.layer)) if name_it else ""
        yield Box(life.layer, 100 * running / steps, y, 100 / steps, height, title, label, state)
