"""Power, reset and clock of MAX78000's accelerator: the registers outside of it (AI85 hardware reference 3.7, 8.2).

Their values after reset are not documented; here everything is off. Nor are the addresses of the two registers of the
GCR; they are those of Device/max78000/sdk/gcr_regs.h.
"""

from chip.errors import BusError

POWER, WEIGHT_POWER, ISOLATION, RESET = 0x40005800, 0x40005804, 0x40005808, 0x4000580C
CLOCK_DIVIDER, CLOCK_DISABLE = 0x40000018, 0x40000024
NAMES = {
    POWER: "GCFR.REG0", WEIGHT_POWER: "GCFR.REG1", ISOLATION: "GCFR.REG2", RESET: "GCFR.REG3",
    CLOCK_DIVIDER: "GCR.PCLKDIV", CLOCK_DISABLE: "GCR.PCLKDIS0",
}  # fmt: skip
START, SIZE = 0x40000000, 0x6000  # the window that holds them all

CNN_CLOCK_OFF = 1 << 25
DIVIDERS = {0: 2, 1: 4, 2: 8, 3: 16, 4: 1}  # of PCLKDIV bits 16 to 14
SOURCES_MHZ = (50, 60)  # PCLK and ISO, PCLKDIV bit 17
CORE_MHZ = 100
ALL = 0xF  # quadrants

QUADRANTS, QUADRANT_SIZE = 0x50100000, 0x400000  # AI85 hardware reference 2.1
WEIGHTS, WEIGHTS_SIZE = 0x80000, 0x40000  # in a quadrant


class Power:
    """The registers, and whether the accelerator answers."""

    def __init__(self) -> None:
        self._value = dict.fromkeys(NAMES, 0)
        self._value[ISOLATION] = ALL
        self._value[CLOCK_DISABLE] = CNN_CLOCK_OFF

    def read(self, address: int) -> int:
        """The value of a register; raises BusError if there is none."""
        self._check(address)
        return self._value[address]

    def write(self, address: int, value: int) -> bool:
        """Write a register; returns whether the accelerator loses what it holds.

        Raises BusError if there is no such register, or if the value is none for it at that time.
        """
        self._check(address)
        before = self._value[address]
        if address == POWER and value & ~before & ALL:
            self._check_power_up(value & ~before & ALL)
        if address == CLOCK_DIVIDER and value >> 14 & 7 not in DIVIDERS:
            raise BusError(f"{NAMES[address]}: the divider in bits 16 to 14 is 0 to 4; written: {value >> 14 & 7}")
        self._value[address] = value
        return (address == RESET and value & ALL != 0) or (address == POWER and before & ~value & ALL != 0)

    def obstacle(self, address: int) -> str:
        """Why the accelerator does not answer at one of its addresses; empty if it does."""
        if self._value[CLOCK_DISABLE] & CNN_CLOCK_OFF:
            return "its clock is off (GCR.PCLKDIS0 bit 25)"
        if address < QUADRANTS:
            return ""
        quadrant, offset = divmod(address - QUADRANTS, QUADRANT_SIZE)
        bit = 1 << quadrant
        for register, wrong, what in ((RESET, bit, "is held in reset"), (POWER, 0, "has no power"),
                                      (ISOLATION, bit, "is isolated")):  # fmt: skip
            if self._value[register] & bit == wrong:
                return f"quadrant {quadrant} {what} ({NAMES[register]} bit {quadrant})"
        if WEIGHTS <= offset < WEIGHTS + WEIGHTS_SIZE and not self._value[WEIGHT_POWER] & bit:
            return f"the weight memory of quadrant {quadrant} has no power (GCFR.REG1 bit {quadrant})"
        return ""

    def core_clocks(self, clocks: int) -> int:
        """Clocks of the processor core in which that many clocks of the accelerator pass."""
        register = self._value[CLOCK_DIVIDER]
        return clocks * DIVIDERS[register >> 14 & 7] * CORE_MHZ // SOURCES_MHZ[register >> 17 & 1]

    def _check(self, address: int) -> None:
        if address not in NAMES:
            known = ", ".join(f"{name} 0x{place:08X}" for place, name in NAMES.items())
            raise BusError(f"access to the system register at 0x{address:08X}; the emulator has {known}")

    def _check_power_up(self, quadrants: int) -> None:
        """The documented order: reset on, weight memory power on, power on."""
        if quadrants & ~self._value[RESET]:
            raise BusError("GCFR.REG0 switches quadrants on that are not held in reset; write 0xF to GCFR.REG3 first")
        if quadrants & ~self._value[WEIGHT_POWER]:
            raise BusError("GCFR.REG0 switches quadrants on whose weight memory has no power; write GCFR.REG1 first")
