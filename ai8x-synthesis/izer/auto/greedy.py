"""A placement at once: each value in turn goes where it adds least. What is left to prove is for the solver."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..placement import set_bits
from .problem import Problem, Value
from .solution import Solution


def solve(problem: Problem) -> Solution:
    """Windows group by group, then offsets value by value. It may need more than the device has."""
    windows = _windows(problem)
    return Solution(windows, _offsets(problem, windows))


def _windows(problem: Problem) -> tuple[int, ...]:
    """For every group the window in which the columns of its readers reach least far, the first of equal ones."""
    tops = np.zeros(problem.device.processors, np.int64)
    chosen: list[int] = []
    for number, group in enumerate(problem.groups):
        readers = [layer for layer in problem.network.layers if problem.group_of(layer.sources[0]) == number]
        trials = [_stacked(problem, tops, readers, window) for window in range(len(group[0].windows))]
        best = min((n for n in range(len(trials)) if _follows(problem, chosen, number, n)),
                   key=lambda n: int(trials[n].max()) if readers else 0, default=0)  # fmt: skip
        chosen.append(best)
        tops = trials[best]
    return tuple(chosen)


def _follows(problem: Problem, chosen: list[int], number: int, window: int) -> bool:
    """Whether the layers that write a group may do so in this window, after what was chosen for their inputs."""
    windows = [*chosen, window]
    layers = [problem.network.layers[value.source] for value in problem.groups[number] if value.source >= 0]
    inputs = [problem.group_of(layer.sources[0]) for layer in layers]
    return all(problem.follows(layer, windows[group], window) for layer, group in zip(layers, inputs, strict=True)
               if group <= number)  # fmt: skip


def _stacked(problem: Problem, tops: NDArray[np.int64], readers: list, window: int) -> NDArray[np.int64]:  # type: ignore[type-arg]
    """How far the columns reach in every processor when these layers' kernels lie on top of the others."""
    result = tops.copy()
    for layer in readers:
        rows = set_bits(problem.processors(layer, window))
        start = -(-int(result[rows].max()) // 4) * 4
        result[rows] = start + problem.columns(layer, 0) if problem.columns(layer, 0) else result[rows]
    return result


def _offsets(problem: Problem, windows: tuple[int, ...]) -> dict[int, int]:
    """For every value the lowest offset at which it lies over nothing that is still needed, nor what is given later."""
    offsets = {value.source: value.offset for value in problem.values if value.offset is not None}
    for group, number in zip(problem.groups, windows, strict=True):
        given = [value.offset for value in group if value.offset is not None]
        rivals = [_taken(problem, windows, offsets, value, number) for value in group]
        free = (offset for offset in sorted({value.windows[number].ahead for value in group}
                                            | {end + value.windows[number].ahead for value, each in
                                               zip(group, rivals, strict=True) for _, end in each})
                if all(_is_free(offset, value, number, each) for value, each in zip(group, rivals, strict=True)))
        first = given[0] if given else next(free)
        offsets.update({value.source: first for value in group if value.offset is None})
    return offsets


def _taken(
    problem: Problem, windows: tuple[int, ...], offsets: Mapping[int, int], value: Value, number: int
) -> list[tuple[int, int]]:
    """The ranges of words that other values take in the instances of a value, while both are needed."""
    ranges = []
    for one, other in problem.rivals():
        rival = other if one is value else one if other is value else None
        if rival is not None and rival.source in offsets:
            window = rival.windows[windows[problem.group_of(rival.source)]]
            if window.instances & value.windows[number].instances:
                offset = offsets[rival.source]
                ranges.append((offset - window.ahead, offset + window.words))
    return ranges


def _is_free(offset: int, value: Value, number: int, ranges: list[tuple[int, int]]) -> bool:
    window = value.windows[number]
    first, end = offset - window.ahead, offset + window.words
    return first >= 0 and all(end <= start or stop <= first for start, stop in ranges)
