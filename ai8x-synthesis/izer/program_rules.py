"""What the checks of finished programs have in common: a check is a function whose docstring says what must hold."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .device import Device
from .errors import Violation
from .network import Network

HINT = "The network is legal, but the program made for it is wrong: a defect of the generator."

EvidenceType = TypeVar("EvidenceType")


@dataclass(frozen=True)
class Finding:
    """What a check found: layer index (None: the whole program) and what is there."""

    layer: int | None
    given: str


@dataclass(frozen=True)
class ProgramRule(Generic[EvidenceType]):
    """A check's id, its text, the sections that it comes from, and the function that finds violations."""

    id: str
    text: str
    sections: str
    check: Callable[[EvidenceType], Iterator[Finding]]


def program_rule(
    identifier: str, sections: str, into: list[ProgramRule[EvidenceType]]
) -> Callable[[Callable[[EvidenceType], Iterator[Finding]]], Callable[[EvidenceType], Iterator[Finding]]]:
    """Register a function as a check of programs in a list of checks."""

    def register(check: Callable[[EvidenceType], Iterator[Finding]]) -> Callable[[EvidenceType], Iterator[Finding]]:
        into.append(ProgramRule(identifier, " ".join((check.__doc__ or "").split()), sections, check))
        return check

    return register


def violations(
    network: Network, rules: Sequence[ProgramRule[EvidenceType]], evidence: EvidenceType
) -> list[Violation]:
    """Everything that the checks find, in the order of the checks."""
    return [_violation(network, rule, finding) for rule in rules for finding in rule.check(evidence)]


def _violation(network: Network, rule: ProgramRule[EvidenceType], finding: Finding) -> Violation:
    line = "" if finding.layer is None else f":{network.layers[finding.layer].line}"
    return Violation(rule.id, rule.text, finding.given, HINT, finding.layer, network.path + line)


def first_of(addresses: Sequence[int], what: str) -> Iterator[Finding]:
    """One finding for many addresses."""
    if addresses:
        more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
        yield Finding(None, f"{what} 0x{addresses[0]:08x}{more}")


def word_name(device: Device, word: int) -> str:
    """A global word address in words."""
    instance, offset = divmod(word, device.instance_words)
    return f"word {offset} of instance {instance}"
