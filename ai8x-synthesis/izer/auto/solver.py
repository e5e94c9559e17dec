"""The best placement, and the proof that there is no better one, by constraint programming (CP-SAT).

First as few weight columns as possible, then with no more columns as little data memory, then with no more of both as
few clocks. Only the unused lanes in front of an output make a difference there, and on AI84 only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ortools.sat.python import cp_model

from ..network import Layer
from ..placement import set_bits
from .problem import LANES, Problem, Value
from .solution import Solution


@dataclass(frozen=True)
class Bound:
    """The least that is possible, as far as it is proven, in the units of Measures; `clocks` is what may be saved."""

    columns: int
    memory: int
    clocks: int


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
        columns: the last column of all layers.
        memory: the last word of all values.
        waste: clocks for the lanes in front of outputs.
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
        self.waste = self._add_waste()

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
        problem = self.problem
        layers = [layer for layer in problem.network.layers if problem.columns(layer, 0)]
        most = sum(problem.columns(layer, n) + 4 for layer in layers for n in (0, len(self._choice(layer.index)) - 1))
        top = self.model.new_int_var(0, most, "columns")
        begins, ends, used = {}, {}, {}
        for layer in layers:
            start = self.model.new_int_var(0, most // 4, "")
            ends[layer.index] = 4 * start + self._by_output(layer, problem.columns)
            begins[layer.index] = 4 * start + self._by_output(layer, problem.lead)
            used[layer.index] = self._elements(
                self.chosen[problem.group_of(layer.sources[0])],
                [frozenset(set_bits(problem.processors(layer, n)))
                 for n in range(len(self.chosen[problem.group_of(layer.sources[0])]))])  # fmt: skip
            self.model.add(ends[layer.index] <= top)
        everywhere = {layer.index for layer in layers if self._is_everywhere(layer)}
        order = sorted(ends, key=lambda n: (not problem.in_order and n not in everywhere, n))
        for one, other in combinations(order, 2):
            shared = self._shared(used[one], used[other])
            if problem.in_order or one in everywhere:
                self.model.add(ends[one] <= begins[other]).only_enforce_if(shared)
            else:
                first = self.model.new_bool_var("")
                self.model.add(ends[one] <= begins[other]).only_enforce_if(shared, first)
                self.model.add(ends[other] <= begins[one]).only_enforce_if(shared, ~first)
        return top

    def _choice(self, source: int) -> list[cp_model.IntVar]:
        """The windows of a value."""
        return self.chosen[self.problem.group_of(source)]

    def _by_output(self, layer: Layer, amount: Callable[[Layer, int], int]) -> Any:
        """What the chosen window of a layer's output makes of an amount."""
        choice = self._choice(layer.index)
        return weighted(choice, [amount(layer, window) for window in range(len(choice))])

    def _is_everywhere(self, layer: Layer) -> bool:
        """Whether a layer has all processors. AI85 puts its columns before all others (AI85 hardware reference 5.7)."""
        return self.problem.processors(layer, 0).bit_count() == self.problem.device.processors

    def _elements(self, choice: list[cp_model.IntVar], sets: list[frozenset[int]]) -> dict[int, cp_model.IntVar]:
        """For every processor, or instance, a truth value that is true where the chosen window has it."""
        found = {}
        for element in sorted(frozenset().union(*sets)):
            found[element] = self.model.new_bool_var("")
            for chosen, elements in zip(choice, sets, strict=True):
                if element in elements:
                    self.model.add_implication(chosen, found[element])
        return found

    def _shared(self, one: dict[int, cp_model.IntVar], other: dict[int, cp_model.IntVar]) -> cp_model.IntVar:
        """A truth value that is true where two chosen windows have something in common."""
        shared = self.model.new_bool_var("")
        for element in one.keys() & other.keys():
            self.model.add_bool_or(~one[element], ~other[element], shared)
        return shared

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
        used = {value.source: self._elements(self._choice(value.source), [window.instances for window in value.windows])
                for value in problem.values}  # fmt: skip
        for one, other in problem.rivals():
            shared, first = self._shared(used[one.source], used[other.source]), self.model.new_bool_var("")
            self.model.add(self._end(one) <= self._begin(other)).only_enforce_if(shared, first)
            self.model.add(self._end(other) <= self._begin(one)).only_enforce_if(shared, ~first)
        for group in problem.groups:  # what is read together begins at the same offset
            for value in group[1:]:
                self.model.add(self.offsets[value.source] == self.offsets[group[0].source])
        return top

    def _add_waste(self) -> cp_model.IntVar:
        """A clock for every lane and pixel."""
        layers = self.problem.network.layers
        pixels = [max(0, layer.out_height) * max(0, layer.out_width) for layer in layers]
        waste = self.model.new_int_var(0, LANES * sum(pixels), "waste")
        self.model.add(waste == sum(each * self._by_output(layer, self.problem.lead)
                                    for layer, each in zip(layers, pixels, strict=True)))  # fmt: skip
        return waste

    def _end(self, value: Value) -> Any:
        return self.offsets[value.source] + self._sum(value, [window.words for window in value.windows])

    def _begin(self, value: Value) -> Any:
        return self.offsets[value.source] + self._sum(value, [-window.ahead for window in value.windows])

    def _sum(self, value: Value, amounts: list[int]) -> Any:
        """What the chosen window of a value has."""
        return weighted(self._choice(value.source), amounts)

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


def weighted(choice: list[cp_model.IntVar], amounts: list[int]) -> Any:
    """The amount of the window that is chosen."""
    if len(set(amounts)) == 1:
        return amounts[0]
    return sum(amount * chosen for amount, chosen in zip(amounts, choice, strict=True))


def solve(problem: Problem, start: Solution, columns: int, seconds: float) -> Solved:
    """The best placement that is found from `start` on, which takes so many `columns`, and what is proven.

    `seconds` are counted by the solver's work, so that the result does not depend on how busy the computer is.
    """
    model = Model(problem)
    first = model.minimize(model.columns, start, columns, seconds / 3)
    model.model.add(model.columns <= first.goal)
    second = model.minimize(model.memory, first.solution, problem.device.instance_words, seconds / 3)
    model.model.add(model.memory <= second.goal)
    third = model.minimize(model.waste, second.solution, 0, seconds / 3)
    return Solved(third.solution, Bound(first.least, 4 * second.least, third.goal - third.least))
