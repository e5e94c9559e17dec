"""An emulated microcontroller: a Cortex-M4, memory, a console, and the accelerator model behind its bus.

Where everything is, a Board says. Console and exit are Arm semihosting (BKPT 0xAB). Time is an approximation: the cycle
counter of the debug unit (DWT CYCCNT) shows executed instructions plus the clocks of the accelerator in completed runs,
two of the core each at its usual half of the system clock; they pass when the program sees the completion. An interrupt
that tells of it comes when the core sleeps (WFI), or after some blocks of instructions.

Instructions are counted per basic block, by the lengths of the instructions in it, when the block is entered; one that
is left early (at a fault) counts whole.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import unicorn
from unicorn import arm_const as arm

from chip.attachment import Attachment
from chip.binding import Chip
from chip.board import AI84, Board
from chip.elf import read_firmware
from chip.errors import BusError, ChipFault, EmulationFault, FirmwareError
from chip.interrupts import RETURN_FLOAT, Interrupts
from chip.power import SIZE as SYSTEM_SIZE
from chip.power import START as SYSTEM

uc: Any = unicorn  # without types: its own are incomplete

CORE, CORE_SIZE = 0xE0000000, 0x10000  # the processor's own registers (Armv7-M, B3.1)
CYCCNT = 0xE0001004
CORE_REGISTERS = {0xE0001000: "DWT_CTRL", CYCCNT: "DWT_CYCCNT", 0xE000ED88: "CPACR", 0xE000EDFC: "DEMCR"}

IT_STATE = 0x0600FC00  # of XPSR (Armv7-M, B1.4.2)
BREAKPOINT, LEAVE_HANDLER = 7, 8  # unicorn's numbers of what BKPT and a handler's return cause
PATIENCE = 64  # blocks of instructions between two looks at the interrupt line
SEMIHOSTING = 0xBEAB  # BKPT 0xAB
SYS_WRITEC, SYS_WRITE0, SYS_EXIT, SYS_EXIT_EXTENDED = 0x03, 0x04, 0x18, 0x20
APPLICATION_EXIT = 0x20026  # the reason that means "ended by itself"

UNMAPPED = {
    uc.UC_MEM_READ_UNMAPPED: "read of unmapped memory", uc.UC_MEM_WRITE_UNMAPPED: "write to unmapped memory",
    uc.UC_MEM_FETCH_UNMAPPED: "jump to unmapped memory", uc.UC_MEM_WRITE_PROT: "write to read-only memory",
    uc.UC_MEM_READ_PROT: "read of protected memory", uc.UC_MEM_FETCH_PROT: "jump to memory that holds no code",
}
FETCHES = (uc.UC_MEM_FETCH_UNMAPPED, uc.UC_MEM_FETCH_PROT)


@dataclass(frozen=True)
class Result:
    """A run from reset to exit. `cycles` are the accelerator clocks of the last inference, see Chip.cycles()."""

    status: int
    console: str
    instructions: int
    cycles: int


@dataclass(frozen=True)
class Read:
    """A word that the program read from the accelerator; `line` is the source line, such as `main.c:12`, or empty."""

    address: int
    value: int
    line: str


class Mcu:
    """The microcontroller of `board` with the program in `elf` in its flash, and `chip` on its bus.

    Raises FirmwareError if the file is not a program for this memory map.
    """

    def __init__(self, elf: Path, chip: Chip, board: Board = AI84) -> None:
        self.firmware = read_firmware(elf)
        self.instructions = 0
        self._board = board
        # a called function returns here: behind every program, never executed
        self._return = board.flash + board.flash_size - 2
        self._last_read: tuple[int, int, int] | None = None  # address, value, program counter
        self._on_write: Callable[[int, int, int], None] | None = None
        self._attachment = Attachment(chip, board)
        self._console = ""
        self._status: int | None = None  # set by the program's exit
        self._invalid: EmulationFault | None = None  # unicorn reports such accesses without saying where
        self._budget = self._limit = 0
        self._block_lengths: dict[tuple[int, int], int] = {}
        self._blocks = 0  # since the last look at the interrupt line
        self._interrupting = False
        self._leaving: int | None = None  # what a handler jumped to, to return
        self._cpu: Any = uc.Uc(uc.UC_ARCH_ARM, uc.UC_MODE_THUMB | uc.UC_MODE_MCLASS)
        self._cpu.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        self._interrupts = None if board.interrupt is None else Interrupts(self._cpu, board.flash)
        self._map_memory()
        self._load()
        self._add_hooks()

    def run(self, limit: int = 100_000_000) -> Result:
        """Run from reset until the program exits.

        Raises EmulationFault if the program does something that hardware could not do, or executes more than `limit`
        instructions.
        """
        self._console = ""
        stack, entry = struct.unpack("<II", self._cpu.mem_read(self._board.flash, 8))
        self._cpu.reg_write(arm.UC_ARM_REG_SP, stack)
        status = self._execute(entry, limit)
        if status is None:
            raise self._fault("returned from its reset handler instead of exiting", self._return)
        return Result(status, self._console, self.instructions, self._attachment.cycles())

    def call(self, function: str, *arguments: int, limit: int = 1_000_000_000) -> int:
        """Call a function with up to four 32-bit arguments on an empty stack; returns register r0, unsigned.

        Memory is what run() and earlier calls left. Raises EmulationFault as run() does, and if the program exits.
        """
        if len(arguments) > 4:
            raise ValueError(f"{function}: at most 4 arguments, given {len(arguments)}")
        entry = self.firmware.function(function).address
        for number, argument in enumerate(arguments):
            self._cpu.reg_write(arm.UC_ARM_REG_R0 + number, argument & 0xFFFFFFFF)
        self._cpu.reg_write(arm.UC_ARM_REG_SP, struct.unpack("<I", self._cpu.mem_read(self._board.flash, 4))[0])
        status = self._execute(entry, limit)
        if status is not None:
            raise self._fault(f"exited with status {status} inside {function}()", entry)
        return int(self._cpu.reg_read(arm.UC_ARM_REG_R0))

    def read_symbol(self, name: str) -> bytes:
        """The content of a global object; raises FirmwareError if there is none of that name."""
        symbol = self.firmware.object(name)
        return bytes(self._cpu.mem_read(symbol.address, symbol.size))

    def write_symbol(self, name: str, content: bytes) -> None:
        """Replace the whole content of a global object, in flash too, as a debugger would.

        Raises FirmwareError if there is no such object, ValueError if its size differs.
        """
        symbol = self.firmware.object(name)
        if len(content) != symbol.size:
            raise ValueError(f"{name} has {symbol.size} bytes, given {len(content)}")
        self._cpu.mem_write(symbol.address, content)

    def watch_writes(self, on_write: Callable[[int, int, int], None]) -> None:
        """Call `on_write` before every write to the accelerator, with address, value and program counter."""
        self._on_write = on_write

    def reads(self, name: str, function: str, *arguments: int) -> bool:
        """Call a function as call() does, and tell whether it reads every byte of a global object.

        It does not where the compiler has put the object's initial content into the code; then write_symbol() has no
        effect on that function. Raises what call() and read_symbol() raise.
        """
        symbol = self.firmware.object(name)
        seen: set[int] = set()

        def on_read(cpu: Any, access: int, address: int, size: int, value: int, _: Any) -> None:
            seen.update(range(address, address + size))

        hook = self._cpu.hook_add(uc.UC_HOOK_MEM_READ, on_read, None, symbol.address, symbol.address + symbol.size - 1)
        self.call(function, *arguments)
        self._cpu.hook_del(hook)
        return seen.issuperset(range(symbol.address, symbol.address + symbol.size))

    @property
    def console(self) -> str:
        """What the program has printed since run() began."""
        return self._console

    @property
    def last_read(self) -> Read | None:
        """The last word that the program read from the accelerator."""
        if self._last_read is None:
            return None
        address, value, pc = self._last_read
        return Read(address, value, self.firmware.line(pc))

    def _map_memory(self) -> None:
        board = self._board
        self._cpu.mem_map(board.flash, board.flash_size, uc.UC_PROT_READ | uc.UC_PROT_EXEC)
        self._cpu.mem_map(board.ram, board.ram_size, uc.UC_PROT_READ | uc.UC_PROT_WRITE)
        # Plain memory behind the register windows: the access hook runs before each access and puts there what a read
        # must find. Only such hooks see the address, the width and the exact program counter.
        for start, size, on_access in self._windows():
            self._cpu.mem_map(start, size, uc.UC_PROT_READ | uc.UC_PROT_WRITE)
            self._cpu.hook_add(uc.UC_HOOK_MEM_READ | uc.UC_HOOK_MEM_WRITE, on_access, None, start, start + size - 1)

    def _windows(self) -> Iterator[tuple[int, int, Any]]:
        """Address, size and access hook of the register windows."""
        yield self._board.accelerator, self._board.accelerator_size, self._on_accelerator
        yield CORE, CORE_SIZE, self._on_core
        if self._board.powered:
            yield SYSTEM, SYSTEM_SIZE, self._on_system

    def _load(self) -> None:
        path, flash = self.firmware.path, self._board.flash
        for address, content in self.firmware.segments:
            if address < flash or address + len(content) > self._return:
                raise FirmwareError(f"{path}: a segment of {len(content)} bytes at 0x{address:08X} is not within flash "
                                    f"(0x{flash:08X} to 0x{self._return - 1:08X}); link it with link.ld")
            self._cpu.mem_write(address, content)
        if not any(address == flash for address, _ in self.firmware.segments):
            raise FirmwareError(f"{path}: has no vector table at 0x{flash:08X}; link it with link.ld")

    def _add_hooks(self) -> None:
        self._cpu.hook_add(uc.UC_HOOK_BLOCK, self._on_interruptible_block if self._interrupts else self._on_block)
        self._cpu.hook_add(uc.UC_HOOK_INTR, self._on_exception)
        self._cpu.hook_add(uc.UC_HOOK_MEM_INVALID, self._on_invalid)

    def _execute(self, entry: int, limit: int) -> int | None:
        """Run until the entry returns (None) or the exit (its status). What a hook raises, emu_start raises."""
        self._status = self._invalid = None
        self._budget, self._limit = limit, self.instructions + limit
        self._cpu.reg_write(arm.UC_ARM_REG_LR, self._return | 1)
        place: int | None = entry
        while place is not None:
            self._start(place)
            place = self._next()
        return self._status

    def _start(self, place: int) -> None:
        """Let unicorn run from a place until it stops: at the end, or where _next() has something to do."""
        try:
            self._cpu.emu_start(place | 1, self._return)
        except uc.UcError as error:
            if self._invalid:
                raise self._invalid from error
            undefined = error.errno == uc.UC_ERR_INSN_INVALID
            raise self._fault("undefined instruction" if undefined else str(error), self._pc()) from error

    def _next(self) -> int | None:
        """Where the program goes on after unicorn has stopped; None at its end."""
        if self._interrupts is None or self._status is not None:
            return None
        if self._leaving is not None:
            floats, self._leaving = self._leaving & ~1 == RETURN_FLOAT & ~1, None
            return self._interrupts.leave(floats)
        if self._interrupting:
            self._interrupting = False
            return self._enter()
        return None if self._pc() == self._return else self._sleep(self._interrupts)

    def _sleep(self, interrupts: Interrupts) -> int:
        """The core has executed WFI: the interrupt ends the sleep, also where it is masked (Armv7-M, B1.5.19)."""
        if not self._enabled() or not self._attachment.sleep():
            raise self._fault("sleeps (WFI), and nothing will wake it: the accelerator was not started, or its "
                              "interrupt is not enabled", self._pc())
        return self._pc() if interrupts.masked() else self._enter()

    def _enabled(self) -> bool:
        return self._interrupts is not None and self._interrupts.enabled(self._board.interrupt or 0)

    def _enter(self) -> int:
        """Call the handler of the accelerator's interrupt."""
        assert self._interrupts is not None and self._board.interrupt is not None
        return self._interrupts.enter(self._board.interrupt)

    def _pc(self) -> int:
        return int(self._cpu.reg_read(arm.UC_ARM_REG_PC))

    def _fault(self, text: str, address: int, pc: int | None = None) -> EmulationFault:
        pc = self._pc() if pc is None else pc
        return EmulationFault(text, address, pc, self.firmware.place(pc))

    def _on_block(self, cpu: Any, address: int, size: int, _: Any) -> None:
        length = self._block_lengths.get((address, size))
        if length is None:
            length = self._block_lengths[address, size] = count_instructions(bytes(cpu.mem_read(address, size)))
        self.instructions += length
        if self.instructions > self._limit:
            raise self._fault(f"still running after {self._budget} instructions", address, address)

    def _on_interruptible_block(self, cpu: Any, address: int, size: int, data: Any) -> None:
        self._on_block(cpu, address, size, data)
        if self._interrupt_comes():
            self.instructions -= self._block_lengths[address, size]  # it is counted when the handler has returned
            self._interrupting = True
            cpu.emu_stop()

    def _interrupt_comes(self) -> bool:
        attachment, interrupts = self._attachment, self._interrupts
        if interrupts is None or not (attachment.line or attachment.running):
            return False
        if not self._enabled() or interrupts.masked():
            return False
        self._blocks += 1
        return attachment.line or (self._blocks % PATIENCE == 0 and attachment.ask())

    def _leave_it_block(self, cpu: Any) -> None:
        """Undo what unicorn leaves behind when an access inside an IT block is hooked.

        It stores the IT state of that instruction in XPSR, but translated code expects it to be 0 there; instructions
        after the block would then execute conditionally, or be undefined.
        """
        status = int(cpu.reg_read(arm.UC_ARM_REG_XPSR))
        if status & IT_STATE:
            cpu.reg_write(arm.UC_ARM_REG_XPSR, status & ~IT_STATE)

    def _on_accelerator(self, cpu: Any, access: int, address: int, size: int, value: int, _: Any) -> None:
        self._leave_it_block(cpu)
        try:
            if access == uc.UC_MEM_WRITE:
                if self._on_write:
                    self._on_write(address, value & 0xFFFFFFFF, self._pc())
                self._attachment.write(address, size, value & 0xFFFFFFFF)
            else:
                content = self._attachment.read(address, size)
                self._last_read = address, content, self._pc()
                cpu.mem_write(address, content.to_bytes(4, "little"))
        except (BusError, ChipFault) as fault:
            raise self._fault(str(fault), address) from fault

    def _on_system(self, cpu: Any, access: int, address: int, size: int, value: int, _: Any) -> None:
        self._leave_it_block(cpu)
        power = self._attachment.power
        assert power is not None
        try:
            if access == uc.UC_MEM_WRITE:
                self._attachment.write_power(address, size, value & 0xFFFFFFFF)
            else:
                cpu.mem_write(address, power.read(address).to_bytes(4, "little"))
        except BusError as fault:
            raise self._fault(str(fault), address) from fault

    def _on_core(self, cpu: Any, access: int, address: int, size: int, value: int, _: Any) -> None:
        self._leave_it_block(cpu)
        interrupts = self._interrupts
        if interrupts is not None and interrupts.has(address) and size == 4:
            if access == uc.UC_MEM_WRITE:
                interrupts.write(address, value & 0xFFFFFFFF)
            else:
                cpu.mem_write(address, interrupts.read(address).to_bytes(4, "little"))
        elif address not in CORE_REGISTERS or size != 4:
            known = ", ".join(f"{name} 0x{place:08X}" for place, name in CORE_REGISTERS.items())
            raise self._fault(f"access to the processor register at 0x{address:08X}; the emulator has {known}", address)
        elif address == CYCCNT and access == uc.UC_MEM_READ:
            cycles = self.instructions + self._attachment.core_clocks()
            cpu.mem_write(CYCCNT, (cycles & 0xFFFFFFFF).to_bytes(4, "little"))

    def _on_invalid(self, cpu: Any, access: int, address: int, size: int, value: int, _: Any) -> bool:
        text = f"{UNMAPPED.get(access, 'bad access to memory')} at 0x{address:08X}"
        pc = None
        if access in FETCHES:  # the pc is the bad address itself; the halfword before the return address is in the call
            pc = (int(cpu.reg_read(arm.UC_ARM_REG_LR)) & ~1) - 2
        self._invalid = self._fault(text, address, pc)
        return False

    def _on_exception(self, cpu: Any, number: int, _: Any) -> None:
        pc = self._pc()
        if number == LEAVE_HANDLER and self._interrupts is not None and self._interrupts.handling:
            self._leaving = pc
            cpu.emu_stop()
            return
        if number != BREAKPOINT or struct.unpack("<H", cpu.mem_read(pc, 2))[0] != SEMIHOSTING:
            raise self._fault(f"processor exception {number}", pc)
        self._semihosting(cpu.reg_read(arm.UC_ARM_REG_R0), cpu.reg_read(arm.UC_ARM_REG_R1))
        cpu.reg_write(arm.UC_ARM_REG_PC, (pc + 2) | 1)

    def _semihosting(self, operation: int, argument: int) -> None:
        """Arm semihosting for AArch32; `argument` is the content of r1."""
        if operation == SYS_WRITEC:
            self._console += chr(self._cpu.mem_read(argument, 1)[0])
        elif operation == SYS_WRITE0:
            self._console += self._string(argument)
        elif operation == SYS_EXIT:
            self._exit(argument, 0 if argument == APPLICATION_EXIT else 1)
        elif operation == SYS_EXIT_EXTENDED:
            reason, status = struct.unpack("<II", self._cpu.mem_read(argument, 8))
            self._exit(reason, status)
        else:
            raise self._fault(f"semihosting operation 0x{operation:X} is not supported", self._pc())

    def _exit(self, reason: int, status: int) -> None:
        self._status = status if reason == APPLICATION_EXIT else 1
        self._cpu.emu_stop()

    def _string(self, address: int) -> str:
        """A zero-terminated string; one that runs out of memory ends there."""
        content = bytearray()
        while byte := self._cpu.mem_read(address + len(content), 1)[0]:
            content.append(byte)
        return content.decode("utf-8", errors="replace")


def count_instructions(code: bytes) -> int:
    """Number of Thumb instructions: a halfword that starts with 0b11101, 0b11110 or 0b11111 is the first of two."""
    halfwords = struct.unpack(f"<{len(code) // 2}H", code)
    count = index = 0
    while index < len(halfwords):
        index += 2 if halfwords[index] >> 11 >= 0b11101 else 1
        count += 1
    return count
