"""A placement and how good it is."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..memory import input_region, output_region
from ..yamlcfg import Description
from .problem import Problem, filled


@dataclass(frozen=True)
class Solution:
    """The number of the window of every group, and the offset in words of every value by its source."""

    windows: tuple[int, ...]
    offsets: Mapping[int, int]


@dataclass(frozen=True)
class Measures:
    """What a placement takes: the fewer, the better, in this order.

    Attributes:
        columns: of weight memory, up to the last that a processor uses.
        memory: of every data memory instance, in bytes, up to the last that the network uses.
        clocks: of the accelerator in one run.
    """

    columns: int
    memory: int
    clocks: int


def completed(problem: Problem, solution: Solution) -> Description:
    """The description with everything that it left open."""
    maps, chw = {}, False
    for group, number in zip(problem.groups, solution.windows, strict=True):
        for value in group:
            maps[value.source] = value.windows[number].processors
            chw = chw or value.windows[number].chw
    return filled(problem.description, problem.network, maps, dict(solution.offsets), chw)


def measured(problem: Problem, description: Description) -> Measures:
    """What the placement takes that the generator makes of a completed description."""
    device, network = problem.device, problem.network
    placed = problem.target.place(device, description, network, problem.choices)
    columns = max(place.kernel_column + max(place.columns, default=-1) + 1 for place in placed.layers)
    ends = []
    for layer, place in zip(network.layers, placed.layers, strict=True):
        data_format = description.layers[0].data_format or "hwc" if layer.index == 0 else "hwc"
        ends += [output_region(layer, place).words.stop, input_region(layer, place, data_format).words.stop]
    clocks = device.startup_clocks + sum(each.total for each in problem.target.clocks(device, network, placed))
    return Measures(columns, 4 * max(ends), clocks)
