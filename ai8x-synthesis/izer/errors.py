"""The exceptions that everything below the command lines raises."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One broken rule.

    `rule` is the rule's id, `must_hold` its text, `given` what was found, `hint` what to do. `layer` is the position in
    the processing order from 0 (None: the whole network), `place` the file, with `:line` where the line is known.
    """

    rule: str
    must_hold: str
    given: str
    hint: str = ""
    layer: int | None = None
    place: str = ""

    def __str__(self) -> str:
        where = ", ".join(filter(None, [self.place, "" if self.layer is None else f"layer {self.layer}"]))
        hint = f" {self.hint}" if self.hint else ""
        return f"{where + ': ' if where else ''}rule {self.rule}: {self.must_hold} Given: {self.given}.{hint}"


class IzerError(Exception):
    """Unusable input or output; the text is one clear message for the user."""


class RuleError(IzerError):
    """One or more broken rules, all of those that were found."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("\n".join(str(violation) for violation in violations))
        self.violations = tuple(violations)
