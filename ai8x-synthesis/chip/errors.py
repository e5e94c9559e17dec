"""The exceptions of the chip model and of the emulator."""


class ChipError(Exception):
    """Base of all; the text is one clear message for the user."""


class BuildError(ChipError):
    """The C compiler is missing or refused its input."""


class FirmwareError(ChipError):
    """The firmware file is not what the emulator can run, or has no such function or object."""


class ChipFault(ChipError):
    """Software did something that the accelerator cannot do; `address` is on the bus, `text` says what and why."""

    def __init__(self, address: int, text: str) -> None:
        super().__init__(f"accelerator fault at address 0x{address:08X}: {text}")
        self.address = address
        self.text = text


class BusError(ChipError):
    """Software accessed something on the bus, outside or in front of the accelerator, in a way that is not possible."""


class EmulationFault(ChipError):
    """The firmware was stopped; `address` is what it accessed (or the instruction), `pc` the instruction's address.

    `place` is the function with the offset in it and, where the ELF file has line numbers, the source line.
    """

    def __init__(self, text: str, address: int, pc: int, place: str) -> None:
        super().__init__(f"firmware stopped: {text} (pc 0x{pc:08X} in {place})")
        self.text = text
        self.address = address
        self.pc = pc
        self.place = place
