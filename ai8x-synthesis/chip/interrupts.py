"""Interrupts of an emulated Cortex-M4: the registers of the interrupt controller, exception entry and return.

Unicorn has neither. There is one priority: a handler is not interrupted. IPSR stays 0 in handlers.
"""

import struct
from typing import Any

from unicorn import arm_const as arm

ENABLE, DISABLE = 0xE000E100, 0xE000E180  # NVIC_ISER and NVIC_ICER (Armv7-M, B3.4)
VECTORS, SLEEP = 0xE000ED08, 0xE000ED10  # VTOR and SCR (B3.2)
WORDS = 8  # 240 interrupts

EXTERNAL = 16  # number of the first interrupt among the exceptions (B1.5.2)
RETURN, RETURN_FLOAT = 0xFFFFFFF9, 0xFFFFFFE9  # LR in a handler: to thread mode and the main stack (B1.5.8)
FLOAT_ACTIVE = 4  # in CONTROL
ALIGNED = 1 << 9  # in the stacked xPSR: a word was skipped to align the stack to 8 bytes (B1.5.7)
FLOAT_WORDS = 18  # S0 to S15, FPSCR, one reserved

STACKED = (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3, arm.UC_ARM_REG_R12,
           arm.UC_ARM_REG_LR, arm.UC_ARM_REG_PC, arm.UC_ARM_REG_XPSR)  # fmt: skip
FLOAT_STACKED = (*(arm.UC_ARM_REG_S0 + n for n in range(16)), arm.UC_ARM_REG_FPSCR)


class Interrupts:
    """The state of the interrupt controller of `cpu`; the vector table is at `vectors` after reset."""

    def __init__(self, cpu: Any, vectors: int) -> None:
        self._cpu = cpu
        self._enabled = [0] * WORDS
        self._vectors = vectors
        self._sleep = 0
        self.handling = False

    def has(self, address: int) -> bool:
        """Whether there is a register at an address."""
        words = range(0, 4 * WORDS, 4)
        return address in (VECTORS, SLEEP) or address - ENABLE in words or address - DISABLE in words

    def read(self, address: int) -> int:
        """The value of one of these registers."""
        if address in (VECTORS, SLEEP):
            return self._vectors if address == VECTORS else self._sleep
        return self._enabled[address % 0x80 // 4]

    def write(self, address: int, value: int) -> None:
        """Write one of these registers."""
        word = address % 0x80 // 4
        if address == VECTORS:
            self._vectors = value
        elif address == SLEEP:
            self._sleep = value
        elif address < DISABLE:
            self._enabled[word] |= value
        else:
            self._enabled[word] &= ~value

    def enabled(self, number: int) -> bool:
        """Whether an interrupt is enabled in the controller."""
        return bool(self._enabled[number // 32] >> number % 32 & 1)

    def masked(self) -> bool:
        """Whether the processor takes no interrupt now: it is in a handler, or PRIMASK is set."""
        return self.handling or bool(self._cpu.reg_read(arm.UC_ARM_REG_PRIMASK))

    def enter(self, number: int) -> int:
        """Stack the registers (B1.5.6 to B1.5.8); returns the address of the handler."""
        cpu = self._cpu
        words = [int(cpu.reg_read(register)) for register in STACKED]
        floats = bool(cpu.reg_read(arm.UC_ARM_REG_CONTROL) & FLOAT_ACTIVE)
        if floats:
            words += [*(int(cpu.reg_read(register)) for register in FLOAT_STACKED), 0]
        stack = int(cpu.reg_read(arm.UC_ARM_REG_SP))
        if stack % 8:
            words[7] |= ALIGNED
        stack = (stack & ~7) - 4 * len(words)
        cpu.mem_write(stack, struct.pack(f"<{len(words)}I", *words))
        cpu.reg_write(arm.UC_ARM_REG_SP, stack)
        cpu.reg_write(arm.UC_ARM_REG_LR, RETURN_FLOAT if floats else RETURN)
        self._set_float_active(False)
        self.handling = True
        return int(struct.unpack("<I", cpu.mem_read(self._vectors + 4 * (EXTERNAL + number), 4))[0])

    def leave(self, floats: bool) -> int:
        """Take the registers from the stack again (B1.5.8); returns where the program goes on."""
        cpu = self._cpu
        count = len(STACKED) + (FLOAT_WORDS if floats else 0)
        stack = int(cpu.reg_read(arm.UC_ARM_REG_SP))
        words = struct.unpack(f"<{count}I", cpu.mem_read(stack, 4 * count))
        for register, word in zip(STACKED, words[:8], strict=True):
            cpu.reg_write(register, word & ~ALIGNED if register == arm.UC_ARM_REG_XPSR else word)
        for register, word in zip(FLOAT_STACKED, words[8:-1], strict=False):
            cpu.reg_write(register, word)
        cpu.reg_write(arm.UC_ARM_REG_SP, stack + 4 * count + (4 if words[7] & ALIGNED else 0))
        self._set_float_active(floats)
        self.handling = False
        return int(words[6])

    def _set_float_active(self, active: bool) -> None:
        control = int(self._cpu.reg_read(arm.UC_ARM_REG_CONTROL)) & ~FLOAT_ACTIVE
        self._cpu.reg_write(arm.UC_ARM_REG_CONTROL, control | FLOAT_ACTIVE if active else control)
