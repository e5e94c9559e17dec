"""The best placement, and the proof that there is no better one, by constraint programming (CP-SAT).

First as few weight columns as possible, then as little data memory, with no more columns. How long a run takes is the
same for all of these placements, since every layer begins at a processor that is a multiple of four.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

from ortools.sat.python import cp_model

from .problem import Problem, Value
from .solution import Solution


@dataclass(frozen=True)
class Bound:
    """The least that is possible, as far as it is proven, in the units of Measures."""

    columns: int
    memory: int


@dataclass(frozen=True)
class Solved:
    """The best placement that was found, and what is proven."""

    solution: Solution
    bound: Bound


@dataclass(frozen=True)
class Step:
    """The best solution for one goal, what it reaches, and what is proven to be the least."""

    solution: Solution
    goal: int
    least: int


class Model:
    """The variables of a problem.

    Attributes:
        chosen: for every group a truth value for each of its windows.
        offsets: of every value by its source, in words.
        columns: the last column of all layers; in units of four up to its layer's start.
        memory: the last word of all values.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.model = problem, cp_model.CpModel()
        self.chosen = [[self.model.new_bool_var("") for _ in group[0].windows] for group in problem.groups]
        for choice in self.chosen:
            self.model.add_exactly_one(choice)
        self._add_groups()
        self.columns = self._add_columns()
        self.offsets: dict[int, Any] = {value.source: self._add_offset(value) for value in problem.values}
        self.memory = self._add_memory()

    def _add_groups(self) -> None:
        """Group 0 takes part, and layers without weights leave their channels in their groups."""
        problem = self.problem
        self.model.add_bool_or(
            variable for n, choice in enumerate(self.chosen) for window, variable in enumerate(choice)
            if problem.in_first_group(n, window))  # fmt: skip
        for layer in problem.network.layers:
            inputs, outputs = problem.group_of(layer.sources[0]), problem.group_of(layer.index)
            for a, first in enumerate(self.chosen[inputs]):
                for b, second in enumerate(self.chosen[outputs]):
                    if not problem.follows(layer, a, b):
                        self.model.add_bool_or(~first, ~second)

    def _add_columns(self) -> cp_model.IntVar:
        """Layers that share a processor lie in other columns, each from a multiple of four on."""
        problem, heights = self.problem, self.problem.columns
        most = sum(height + 4 for height in heights)
        top = self.model.new_int_var(0, most, "columns")
        starts = {}
        for layer in problem.network.layers:
            if heights[layer.index]:
                starts[layer.index] = self.model.new_int_var(0, most // 4, "")
                self.model.add(4 * starts[layer.index] + heights[layer.index] <= top)
        everywhere = {n for n in starts if self._is_everywhere(n)}
        order = sorted(starts, key=lambda n: (not problem.in_order and n not in everywhere, n))
        for one, other in combinations(order, 2):
            shared = self._shares_processors(one, other)
            behind = 4 * starts[one] + heights[one] <= 4 * starts[other]
            if problem.in_order or one in everywhere:
                self.model.add(behind).only_enforce_if(shared)
            else:
                first = self.model.new_bool_var("")
                self.model.add(behind).only_enforce_if(shared, first)
                ahead = 4 * starts[other] + heights[other] <= 4 * starts[one]
                self.model.add(ahead).only_enforce_if(shared, ~first)
        return top

    def _is_everywhere(self, layer: int) -> bool:
        """Whether a layer has all processors. AI85 puts its columns before all others (AI85 hardware reference 5.7)."""
        processors = self.problem.processors(self.problem.network.layers[layer], 0)
        return processors.bit_count() == self.problem.device.processors

    def _shares_processors(self, one: int, other: int) -> cp_model.IntVar:
        """Whether two layers have a processor in common."""
        layers, problem = self.problem.network.layers, self.problem
        groups = [problem.group_of(layers[n].sources[0]) for n in (one, other)]
        maps = [[problem.processors(layers[n], window) for window in range(len(self.chosen[group]))]
                for n, group in zip((one, other), groups, strict=True)]  # fmt: skip
        return self._implied(groups[0], groups[1], lambda a, b: bool(maps[0][a] & maps[1][b]))

    def _implied(self, one: int, other: int, holds: Callable[[int, int], bool]) -> cp_model.IntVar:
        """A truth value that is true whenever the chosen windows of two groups are of a pair for which `holds`."""
        true = self.model.new_bool_var("")
        if one == other:
            for n, chosen in enumerate(self.chosen[one]):
                if holds(n, n):
                    self.model.add_implication(chosen, true)
            return true
        for a, first in enumerate(self.chosen[one]):
            for b, second in enumerate(self.chosen[other]):
                if holds(a, b):
                    self.model.add_bool_or(~first, ~second, true)
        return true

    def _add_offset(self, value: Value) -> cp_model.IntVar:
        """An offset that leaves room for the words ahead."""
        if value.offset is not None:
            return self.model.new_constant(value.offset)
        most = sum(max(window.words + window.ahead for window in each.windows) for each in self.problem.values)
        ahead = max(window.ahead for window in value.windows)
        return self.model.new_int_var(ahead, ahead + most, "")

    def _add_memory(self) -> cp_model.IntVar:
        """Values that are needed at the same time in the same instance lie in other words."""
        problem = self.problem
        most = 4 * sum(max(window.words + window.ahead for window in each.windows) for each in problem.values)
        top = self.model.new_int_var(0, most + 4 * problem.device.instance_words, "memory")
        for value in problem.values:
            self.model.add(self._end(value) <= top)
        for one, other in problem.rivals():
            groups = problem.group_of(one.source), problem.group_of(other.source)
            shared = self._implied(*groups, partial(_meet, one, other))
            first = self.model.new_bool_var("")
            self.model.add(self._end(one) <= self._begin(other)).only_enforce_if(shared, first)
            self.model.add(self._end(other) <= self._begin(one)).only_enforce_if(shared, ~first)
        for group in problem.groups:  # what is read together begins at the same offset
            for value in group[1:]:
                self.model.add(self.offsets[value.source] == self.offsets[group[0].source])
        return top

    def _end(self, value: Value) -> Any:
        return self.offsets[value.source] + self._sum(value, [window.words for window in value.windows])

    def _begin(self, value: Value) -> Any:
        return self.offsets[value.source] + self._sum(value, [-window.ahead for window in value.windows])

    def _sum(self, value: Value, amounts: list[int]) -> Any:
        """What the chosen window of a value has."""
        if len(set(amounts)) == 1:
            return amounts[0]
        return sum(a * chosen for a, chosen in zip(amounts, self.chosen[self.problem.group_of(value.source)],
                                                   strict=True))  # fmt: skip

    def hint(self, solution: Solution) -> None:
        """Begin the search here."""
        self.model.clear_hints()  # type: ignore[no-untyped-call]
        for choice, number in zip(self.chosen, solution.windows, strict=True):
            for n, variable in enumerate(choice):
                self.model.add_hint(variable, n == number)
        for source, offset in solution.offsets.items():
            if self.problem.value(source).offset is None:
                self.model.add_hint(self.offsets[source], offset)

    def minimize(self, goal: cp_model.IntVar, start: Solution, reached: int, seconds: float) -> Step:
        """The best that is found in so many seconds from `start` on, which has reached a value of the goal."""
        self.hint(start)
        self.model.minimize(goal)
        solver = cp_model.CpSolver()
        solver.parameters.max_deterministic_time = seconds
        solver.parameters.num_workers = 1
        status = solver.solve(self.model)
        least = max(0, round(solver.best_objective_bound))
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return Step(start, reached, least)
        windows = tuple(next(n for n, each in enumerate(choice) if solver.boolean_value(each))
                        for choice in self.chosen)  # fmt: skip
        offsets = {source: solver.value(offset) for source, offset in self.offsets.items()}
        return Step(Solution(windows, offsets), solver.value(goal), least)


def _meet(one: Value, other: Value, a: int, b: int) -> bool:
    """Whether two values share an instance in the windows of these numbers."""
    return bool(one.windows[a].instances & other.windows[b].instances)


def solve(problem: Problem, start: Solution, columns: int, seconds: float) -> Solved:
    """The best placement that is found from `start` on, which takes so many `columns`, and what is proven.

    `seconds` are counted by the solver's work, so that the result does not depend on how busy the computer is.
    """
    model = Model(problem)
    first = model.minimize(model.columns, start, columns, seconds / 2)
    model.model.add(model.columns <= first.goal)
    second = model.minimize(model.memory, first.solution, first.goal, seconds / 2)
    return Solved(second.solution, Bound(first.least, 4 * second.least))
