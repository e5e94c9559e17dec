"""The accelerator model in C, its Python binding, and the Cortex-M4 emulator around it."""

from chip.binding import Chip
from chip.errors import BuildError, ChipError, ChipFault, EmulationFault, FirmwareError

__all__ = ["BuildError", "Chip", "ChipError", "ChipFault", "EmulationFault", "FirmwareError"]
