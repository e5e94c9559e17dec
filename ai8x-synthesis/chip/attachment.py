"""The accelerator as the processor core sees it: behind its power switches, with its clock and its interrupt line."""

from chip.binding import Chip
from chip.board import Board
from chip.errors import BusError
from chip.power import Power

RUN = 1  # bit of CTL that starts
POLLS = 3  # a run that never seems to end is not asked about more often while the core sleeps


class Attachment:
    """A chip on the bus of a board. Accesses raise BusError or ChipFault."""

    def __init__(self, chip: Chip, board: Board) -> None:
        self.power = Power() if board.powered else None
        self.running = False  # started, and the completion not yet seen by the interrupt line
        self.line = False  # the interrupt
        self._chip = chip
        self._board = board
        self._cycles = self._earlier_cycles = 0  # the chip forgets its own when it loses power

    def write(self, address: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes."""
        self._check_power(address)
        if size == 4:
            self._chip.write32(address, value)
            if self._board.interrupt is not None and address in self._board.controls:
                self._follow(value)
        elif size == 1 and self._board.byte_writes:
            self._chip.write8(address, value)
        else:
            raise BusError(_wrong_width(address, size))

    def read(self, address: int, size: int) -> int:
        """Read a word."""
        self._check_power(address)
        if size != 4:
            raise BusError(_wrong_width(address, size))
        return self._chip.read32(address)

    def write_power(self, address: int, size: int, value: int) -> None:
        """Write a register of chip/power.py."""
        assert self.power is not None
        if size != 4:
            raise BusError(_wrong_width(address, size, "system register"))
        if self.power.write(address, value):
            self._cycles, self._earlier_cycles = self.cycles(), self.total_cycles()
            self._chip.reset()
            self.running = self.line = False

    def ask(self) -> bool:
        """The interrupt line; asking lets time pass in the chip."""
        if self.running and self._chip.irq():
            self.running, self.line = False, True
        return self.line

    def sleep(self) -> bool:
        """Let time pass until the interrupt line rises; returns whether it does."""
        return any(self.ask() for _ in range(POLLS))

    def cycles(self) -> int:
        """Accelerator clocks of the last completed run."""
        return self._chip.cycles() or self._cycles

    def total_cycles(self) -> int:
        """Accelerator clocks of all completed runs."""
        return self._earlier_cycles + self._chip.total_cycles()

    def core_clocks(self) -> int:
        """The same in clocks of the core. AI84: two each (AI84 hardware reference, appendix D)."""
        return self.power.core_clocks(self.total_cycles()) if self.power else 2 * self.total_cycles()

    def _follow(self, value: int) -> None:
        """A write to CTL may start a run, and clear or set the flag that is the interrupt line."""
        if value & RUN:
            self.running = True
        elif not self.running:
            self.line = self._chip.irq()

    def _check_power(self, address: int) -> None:
        if self.power and (obstacle := self.power.obstacle(address)):
            raise BusError(f"the accelerator does not answer at 0x{address:08X}: {obstacle}")


def _wrong_width(address: int, size: int, what: str = "accelerator") -> str:
    return f"{8 * size}-bit access to the {what} at 0x{address:08X}: only 32 bits are possible"
