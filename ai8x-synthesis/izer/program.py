"""What the programs of all devices have in common: the order of their sections, and what can be chosen of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from .device import Device
from .operations import Check, Operation, Program, Section, Unload, Wait, Write
from .registers import DONE

LOAD_SECTIONS = ("cnn_init", "load_kernels", "load_bias", "cnn_configure", "load_input", "cnn_start")


@dataclass(frozen=True)
class Options:
    """What can be chosen of a program; nothing of it changes what the network computes.

    `ready_sel` (0 to 3; None: as the device wants) are the wait states of the bus, `max_checks` limits the words that
    are compared (None: all), `verify` names the load sections that read back what they wrote. With `average_rounding`,
    which the network must be built for too, hardware rounds averages.
    """

    ready_sel: int | None = None
    init_tram: bool = False
    zero_unused: bool = False
    max_checks: int | None = None
    verify: frozenset[str] = frozenset()
    average_rounding: bool = False

    def wait_states(self, device: Device) -> int:
        """The wait states of the bus, 0 to 3."""
        return device.ready_sel if self.ready_sel is None else self.ready_sel


Load = Sequence[tuple[str, str, Iterable[Operation]]]


def assemble(
    device: Device, load: Load, checks: Iterable[Check], stop: Iterable[Write], unload: Iterable[Unload],
    options: Options,
) -> Program:
    """The program for one run, before anything is read back, from its load sections (name, reason, operations).

    `checks` compare the output with the known answer, `stop` stops all groups.
    """
    return Program(
        load=tuple(Section(name, why, tuple(operations)) for name, why, operations in load),
        wait=Section("cnn_wait", "Wait until the last layer has finished",
                     (Wait(device.group(0), DONE, DONE, "completion flag"),)),
        check=Section("cnn_check", "Compare the output of the last layer with the known answer",
                      tuple(islice(checks, options.max_checks))),
        stop=Section("cnn_stop", "Stop all groups, which clears the completion flag", tuple(stop)),
        unload=tuple(unload),
    )  # fmt: skip


def layer_section(layer: int, checks: Iterable[Check]) -> Section:
    """The output of a layer where that layer writes it; a later layer may overwrite it."""
    return Section(f"check_{layer}", f"Output of layer {layer}", tuple(checks))
