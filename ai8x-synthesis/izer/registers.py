"""Values of layer registers, and of control registers as far as all devices have them alike."""

from dataclasses import dataclass

ENABLE = 0x001  # CTL: run
SLAVE = 0x800  # CTL: synchronised by another group
DONE = 0x1000  # CTL: completion flag
SRAM_CONTROL = 0x40E  # timing of the SRAM macros, without effect on results (AI84 hardware reference 3.1)


@dataclass(frozen=True)
class RegisterValue:
    """A layer register with its value; `number` is the register's index (3.2)."""

    group: int
    layer: int
    number: int
    name: str
    value: int
    meaning: str
