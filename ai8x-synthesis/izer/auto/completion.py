"""Fills in what a description leaves open, and says how good that is, or why nothing fits."""

from dataclasses import dataclass

from ..device import Device
from ..errors import RuleError, Violation
from ..network import Network
from ..placement import Choices
from ..targets import Target
from ..yamlcfg import Description
from ..yamlvalues import NETWORK_INPUT
from . import greedy
from .problem import Problem, Window, build_problem
from .solution import Measures, completed, measured

AMONG = "among consecutive processors"
"""The placements that are tried; a value that is spread may need less where maps are given."""


@dataclass(frozen=True)
class Verdict:
    """How good a placement is: what it takes, and what is proven to be the least; None where nothing was proven."""

    measures: Measures
    columns: int | None = None
    memory: int | None = None
    clocks: int | None = None

    @property
    def proven(self) -> bool:
        """Whether no placement takes fewer columns, or as many and less memory, or as much of both and fewer clocks.

        Of placements whose values lie in consecutive processors, or where given maps say: a map that is split around
        a given one may take less.
        """
        return (self.columns, self.memory, self.clocks) == (
            self.measures.columns, self.measures.memory, self.measures.clocks)  # fmt: skip

    def __str__(self) -> str:
        taken = (f"{self.measures.columns} weight columns, {self.measures.memory} bytes of every data memory instance, "
                 f"{self.measures.clocks:,} clocks")  # fmt: skip
        if self.columns is None:
            return f"Automatic placement: {taken}; not proven to be the best (--auto-time 0)."
        if self.proven:
            return f"Automatic placement: {taken}; proven optimal {AMONG}."
        return (f"Automatic placement: {taken}; not proven optimal: at least {self.columns} columns and, with that, "
                f"{self.memory} bytes and {self.clocks:,} clocks are needed.")  # fmt: skip


def complete(
    device: Device, target: Target, description: Description, network: Network, choices: Choices, seconds: float
) -> tuple[Description, Verdict]:
    """The description with all maps and offsets, and what is known of it.

    With `seconds` of 0 there is no proof. Raises RuleError with the reason where the network fits nowhere.
    """
    problem = build_problem(device, target, description, network, choices)
    _check_sizes(problem)
    start = greedy.solve(problem)
    found = completed(problem, start)
    verdict = Verdict(measured(problem, found))
    if seconds > 0:
        from . import solver  # importing it takes longer than all the rest

        solved = solver.solve(problem, start, verdict.measures.columns, seconds)
        better = completed(problem, solved.solution)
        best = min((found, better), key=lambda each: _order(measured(problem, each)))
        taken, bound = measured(problem, best), solved.bound
        found, verdict = best, Verdict(taken, bound.columns, bound.memory, taken.clocks - bound.clocks)
    _check_result(problem, verdict)
    return found, verdict


def _order(measures: Measures) -> tuple[int, int, int]:
    return measures.columns, measures.memory, measures.clocks


def _check_sizes(problem: Problem) -> None:
    """RuleError for everything that is too large wherever it is."""
    device, violations = problem.device, []
    for value in problem.values:
        least = min(value.windows, key=lambda window: window.words)
        if least.words + least.ahead > device.instance_words:
            violations.append(_too_large(problem, value.source, least))
    total = sum(_kernels(problem))
    capacity = device.processors * device.mask_columns
    if total > capacity:
        violations.append(Violation(
            "auto-weights", f"All kernels together fit the {capacity:,} columns of weight memory.",
            f"{total:,} columns, {total - capacity:,} too many; layer {_largest(problem)} has most of them",
            "Train with fewer channels or layers.", None, problem.network.path))  # fmt: skip
    if violations:
        raise RuleError(violations)


def _too_large(problem: Problem, source: int, window: Window) -> Violation:
    what = "the network input" if source == NETWORK_INPUT else f"the output of layer {source}"
    limit = problem.device.instance_bytes
    return Violation(
        "auto-data", f"Every value fits the {limit} bytes of a data memory instance, four for each pixel.",
        f"{what} takes {4 * (window.words + window.ahead)} bytes, {4 * (window.words + window.ahead) - limit} too many",
        "Pool earlier, or use smaller images.", max(source, 0), problem.network.path)  # fmt: skip


def _kernels(problem: Problem) -> list[int]:
    """How many columns every layer takes at least, in all of its processors together."""
    return [problem.columns(layer, 0) * problem.processors(layer, 0).bit_count() for layer in problem.network.layers]


def _largest(problem: Problem) -> int:
    sizes = _kernels(problem)
    return sizes.index(max(sizes))


def _check_result(problem: Problem, verdict: Verdict) -> None:
    """RuleError where the best placement takes more than there is."""
    device, taken, violations = problem.device, verdict.measures, []
    proof = f"proven to be the best {AMONG}" if verdict.proven else "the best that was found"
    if taken.columns > device.mask_columns:
        violations.append(Violation(
            "auto-columns", f"A processor has {device.mask_columns} columns of weight memory.",
            f"{taken.columns} columns in the placement that is {proof}, {taken.columns - device.mask_columns} too "
            f"many; layer {_largest(problem)} has most kernels",
            "Train with fewer channels, or layers of at most half of the processors, two of which can share columns.",
            None, problem.network.path))  # fmt: skip
    if taken.memory > device.instance_bytes:
        violations.append(Violation(
            "auto-memory", f"A data memory instance has {device.instance_bytes} bytes.",
            f"{taken.memory} bytes in the placement that is {proof}, {taken.memory - device.instance_bytes} too many",
            "Pool earlier, use smaller images, or fewer channels, so that a layer's input and output are not in the "
            "same instances.", None, problem.network.path))  # fmt: skip
    if violations:
        raise RuleError(violations)
