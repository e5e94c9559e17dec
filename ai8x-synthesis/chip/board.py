"""The emulated microcontrollers as frozen data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Board:
    """Where everything is, in bytes. `controls` are the addresses of CTL of all quadrants.

    `interrupt` is the number of the accelerator's interrupt, None where only its registers tell of the completion.
    `powered` boards have the registers of chip/power.py, without which the accelerator does not answer. With
    `byte_writes` it takes 8-bit writes too.
    """

    name: str
    device: int
    flash: int
    flash_size: int
    ram: int
    ram_size: int
    accelerator: int
    accelerator_size: int
    controls: tuple[int, ...]
    interrupt: int | None
    powered: bool
    byte_writes: bool


# The AI84 hardware reference gives no memory map of the microcontroller; this is that of Device/link.ld.
AI84 = Board(
    name="AI84",
    device=84,
    flash=0x10000000,
    flash_size=512 * 1024,
    ram=0x20000000,
    ram_size=128 * 1024,
    accelerator=0x50100000,  # AI84 hardware reference 2.1
    accelerator_size=0x400000,
    controls=(0x50100000, 0x50200000, 0x50300000, 0x50400000),
    interrupt=None,
    powered=False,
    byte_writes=False,
)

# The AI85 hardware reference gives neither flash nor RAM: these are the sizes of the part, as in Device/link.ld.
MAX78000 = Board(
    name="MAX78000",
    device=85,
    flash=0x10000000,
    flash_size=512 * 1024,
    ram=0x20000000,
    ram_size=128 * 1024,
    accelerator=0x50000000,  # AI85 hardware reference 2.1, 2.2
    accelerator_size=0x1020000,
    controls=(0x50100000, 0x50500000, 0x50900000, 0x50D00000),
    interrupt=101,  # AI85 hardware reference 3.7
    powered=True,
    byte_writes=True,  # AI85 hardware reference 5.8
)
