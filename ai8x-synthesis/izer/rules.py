"""What is allowed: a rule is a small function whose docstring is the rule.

The rules are in layer_rules.py, placement_rules.py and cmsis_rules.py, those of AI85 alone in ai85/.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Checkpoint
from .device import Device
from .errors import Violation
from .network import Layer, Network
from .placement import LayerPlace, Placement
from .yamlcfg import Description


@dataclass(frozen=True)
class Described:
    """What a rule may look at that only concerns the description."""

    description: Description


@dataclass(frozen=True)
class Subject(Described):
    """Everything that a rule may look at."""

    device: Device
    checkpoint: Checkpoint
    fc_layer: bool
    network: Network
    placement: Placement
    sample: NDArray[np.int64]

    @property
    def places(self) -> Iterator[tuple[Layer, LayerPlace]]:
        """Layers with their places, in processing order."""
        return zip(self.network.layers, self.placement.layers, strict=True)

    def data_format(self, layer: Layer) -> str:
        """Format of a layer's input: only the network input can be CHW."""
        return self.network.data_format if layer.index == 0 else "hwc"


@dataclass(frozen=True)
class Finding:
    """What a rule found: layer index (None: the network), YAML key, the offending value, and what to do."""

    layer: int | None
    key: str
    given: str
    hint: str = ""


SubjectType = TypeVar("SubjectType", bound=Described)


@dataclass(frozen=True)
class Rule(Generic[SubjectType]):
    """A rule's id, its text, the sections that it comes from, and the function that finds violations."""

    id: str
    text: str
    sections: str
    check: Callable[[SubjectType], Iterator[Finding]]


def rule(
    identifier: str, sections: str, into: list[Rule[SubjectType]]
) -> Callable[[Callable[[SubjectType], Iterator[Finding]]], Callable[[SubjectType], Iterator[Finding]]]:
    """Register a function as a rule in a list of rules."""

    def register(check: Callable[[SubjectType], Iterator[Finding]]) -> Callable[[SubjectType], Iterator[Finding]]:
        into.append(Rule(identifier, " ".join((check.__doc__ or "").split()), sections, check))
        return check

    return register


def check(
    subject: SubjectType, rules: Sequence[Rule[SubjectType]], waived: frozenset[str] = frozenset()
) -> list[Violation]:
    """All violations of all rules except the waived ones, in the order of the rules."""
    found = []
    for entry in rules:
        if entry.id not in waived:
            found += [_violation(subject.description, entry, finding) for finding in entry.check(subject)]
    return found


def _violation(description: Description, entry: Rule[SubjectType], finding: Finding) -> Violation:
    if finding.layer is None or finding.key in description.lines:
        line = description.lines.get(finding.key, 1)
    else:
        line = description.layers[finding.layer].line_of(finding.key)
    return Violation(entry.id, entry.text, finding.given, finding.hint, finding.layer, f"{description.path}:{line}")
