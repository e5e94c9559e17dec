"""Verifies a finished program for AI85: a check is a small function whose docstring says what must hold.

Everything is decoded from the bus operations with the AI85 hardware reference, whose sections stand beside a check's
id; nothing is taken from the code that placed the network. Values that the network computes are not looked at. Checks
of layers and of data memory are in layer_checks.py and data_checks.py.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..errors import Violation
from ..network import Network
from ..operations import Program
from ..program_rules import Finding, ProgramRule, first_of, program_rule, violations
from .busimage import CTL_ENABLE, CTL_PACKED, load_image
from .data_checks import DATA_CHECKS
from .evidence import Evidence
from .layer_checks import LAYER_CHECKS

READY = 0x006  # CTL: wait states (3.3)
CLOCK = 1 << 3
SLAVE = 1 << 11
DONE = 1 << 12
ROUNDING = 1 << 13
SRAM_CONTROL = 0x40E

BUS_CHECKS: list[ProgramRule[Evidence]] = []


def check_program(device: Device, network: Network, data: NDArray[np.int8], program: Program) -> list[Violation]:
    """Everything that is wrong with a program that runs `network` on the input `data`, int8 [C, H, W]."""
    evidence = Evidence(device, network, data, program, load_image(device, program))
    return violations(network, PROGRAM_CHECKS, evidence)


@program_rule("program-address", "2.1, 3.1", BUS_CHECKS)
def address(evidence: Evidence) -> Iterator[Finding]:
    """
    Every access is to AON_CTL, a control or layer register or a memory, 32 bits wide; a run of packed weights begins
    with a byte.
    """
    yield from first_of(evidence.image.unknown, "access to")


@program_rule("program-packed", "5.8", BUS_CHECKS)
def packed(evidence: Evidence) -> Iterator[Finding]:
    """
    Weights are written in runs: a byte of 1 at the first column's address code plus 1, then the words of whole columns
    and zeros up to the last word's end, from the address code on.
    """
    yield from first_of(evidence.image.columns.broken, "run at")


@program_rule("program-packed-mode", "3.3, 5.8", BUS_CHECKS)
def packed_mode(evidence: Evidence) -> Iterator[Finding]:
    """CTL of a quadrant switches packed loading on before its weights are written."""
    yield from first_of(evidence.image.unpacked, "run at")


@program_rule("program-late", "8.2", BUS_CHECKS)
def late(evidence: Evidence) -> Iterator[Finding]:
    """After the first quadrant is enabled, nothing but CTL is accessed before the end of the run."""
    yield from first_of(evidence.image.late, "access to")


@program_rule("program-once", "2.1", BUS_CHECKS)
def once(evidence: Evidence) -> Iterator[Finding]:
    """No word but CTL, and no weight, is written twice with different values before the start."""
    yield from first_of(evidence.image.replaced, "first value lost at")


@program_rule("program-width", "2.1, 6", BUS_CHECKS)
def width(evidence: Evidence) -> Iterator[Finding]:
    """A bias has 8 bits, a TRAM entry 16; all other bits are 0."""
    image = evidence.image
    if (image.biases(image.words) > 0xFF).any():
        yield Finding(None, "a bias")
    if (image.tram(image.words) > 0xFFFF).any():
        yield Finding(None, "a TRAM entry")


@program_rule("program-read-back", "5.11, 8.4", BUS_CHECKS)
def read_back(evidence: Evidence) -> Iterator[Finding]:
    """What is read back is compared with what was written."""
    yield from first_of(evidence.image.unequal, "other value at")


@program_rule("program-always-on", "3.2, 4.7", BUS_CHECKS)
def always_on(evidence: Evidence) -> Iterator[Finding]:
    """AON_CTL is written: wait states, and no memory sleeps."""
    value = evidence.image.always_on
    if value is None or value & ~3:
        yield Finding(None, "not written" if value is None else f"0x{value:x}")


@program_rule("program-start", "3.3, 4.7", BUS_CHECKS)
def start(evidence: Evidence) -> Iterator[Finding]:
    """
    CTL of every started quadrant switches clock and packed loading on once; then quadrant 0 waits for itself, the
    others, each once, are enabled and wait for it, and last it starts as their master. CTL of others is not written.
    """
    control, others = evidence.image.control, list(evidence.groups[1:])
    begin = len(control) - len(evidence.groups) - 1
    if not evidence.groups or begin < 0:
        yield Finding(None, "no quadrant is started" if not evidence.groups else f"{len(control)} writes to CTL")
        return
    go = control[-1][1] & (READY | ROUNDING) | CLOCK | CTL_PACKED | CTL_ENABLE
    stopped, waiting = go & ~ROUNDING & ~CTL_ENABLE, go & ~CTL_ENABLE | SLAVE
    due = [(0, stopped), *((group, stopped) for group in others), (0, waiting),
           *((group, waiting | CTL_ENABLE) for group in others), (0, go)]  # fmt: skip
    given = [*sorted(control[:begin]), control[begin], *sorted(control[begin + 1 : -1]), control[-1]]
    for (g, value), (wanted, right) in zip(given, due, strict=False):
        if (g, value) != (wanted, right):
            yield Finding(None, f"quadrant {g} with 0x{value:x}, where quadrant {wanted} with 0x{right:x} is due")
            return
    if len(given) != len(due):
        yield Finding(None, f"{len(given)} writes to CTL, {len(due)} are due")


@program_rule("program-rounding", "1.4, 3.3, findings 1", BUS_CHECKS)
def rounding(evidence: Evidence) -> Iterator[Finding]:
    """Bit 13 of CTL is set at the start where the network rounds averages, and clear where it does not."""
    control = evidence.image.control[-1:]
    rounds = any(value & ROUNDING for _, value in control)
    for layer in evidence.network.layers:
        if layer.pool == "avg" and layer.op != "conv1d" and layer.rounded != rounds:
            yield Finding(layer.index, f"bit 13 is {int(rounds)}")


@program_rule("program-groups", "3.3, 4.4", BUS_CHECKS)
def groups(evidence: Evidence) -> Iterator[Finding]:
    """Every quadrant with enabled processors is started; SRAM is 0x40e and LCNT_MAX the layers - 1 in each."""
    enabled = {group for run in evidence.runs for group in run.groups}
    for group in sorted(enabled - set(evidence.groups)):
        yield Finding(None, f"quadrant {group} is not started")
    last = len(evidence.network.layers) - 1
    for group in evidence.groups:
        control, count = evidence.image.register(group, 4), evidence.image.register(group, 8)
        if (control, count) != (SRAM_CONTROL, last):
            yield Finding(None, f"quadrant {group} has SRAM 0x{control:x}, LCNT_MAX {count}")


@program_rule("program-wait", "8.2, 8.3", BUS_CHECKS)
def wait(evidence: Evidence) -> Iterator[Finding]:
    """
    The program waits until bit 12 of CTL of quadrant 0 is 1, then it stops every started quadrant for another run.
    """
    ctl = evidence.device.group(0)
    polls = list(evidence.program.wait.accesses())
    if polls != [("P", ctl, DONE, DONE)]:
        yield Finding(None, "waiting as " + ", ".join(f"0x{a:08x} & 0x{m:x} == 0x{v:x}" for _, a, m, v in polls))
    last = evidence.image.control[-1][1] if evidence.image.control else 0
    stops = [(access.kind, access.address, access.value) for access in evidence.program.stop.accesses()]
    if sorted(stops) != [("W", evidence.device.group(group), last & ~CTL_ENABLE) for group in evidence.groups]:
        yield Finding(None, "stopping with " + ", ".join(f"0x{a:08x} = 0x{v:x}" for _, a, v in stops))


PROGRAM_CHECKS = BUS_CHECKS + LAYER_CHECKS + DATA_CHECKS
