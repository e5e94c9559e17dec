"""The model's bus interface in Python, of the same shape as chip.h."""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from chip.errors import ChipError, ChipFault
from chip.library import library

Words = npt.NDArray[np.uint32]
WordsLike = Words | Sequence[int]


class _Fault(ctypes.Structure):
    """struct chip_fault"""

    _fields_ = (("code", ctypes.c_int32), ("address", ctypes.c_uint32), ("text", ctypes.c_char * 256))


_OBSERVER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64)


@cache
def _functions() -> ctypes.CDLL:
    """The compiled model with the types of its functions declared."""
    c = ctypes.CDLL(str(library()))
    words = np.ctypeslib.ndpointer(np.uint32, ndim=1, flags="C_CONTIGUOUS")
    chip, u32 = ctypes.c_void_p, ctypes.c_uint32
    prototypes = {
        "chip_create": (chip, [u32]),
        "chip_destroy": (None, [chip]),
        "chip_write32": (ctypes.c_int32, [chip, u32, u32]),
        "chip_write8": (ctypes.c_int32, [chip, u32, u32]),
        "chip_read32": (ctypes.c_int32, [chip, u32, ctypes.POINTER(u32)]),
        "chip_write_many": (ctypes.c_int32, [chip, ctypes.c_size_t, words, words]),
        "chip_read_many": (ctypes.c_int32, [chip, ctypes.c_size_t, words, words]),
        "chip_irq": (ctypes.c_int32, [chip]),
        "chip_cycles": (ctypes.c_uint64, [chip]),
        "chip_layer_cycles": (ctypes.c_uint64, [chip, u32]),
        "chip_total_cycles": (ctypes.c_uint64, [chip]),
        "chip_last_fault": (ctypes.POINTER(_Fault), [chip]),
        "chip_observe": (None, [chip, _OBSERVER, chip]),
        "chip_peek": (ctypes.c_int32, [chip, ctypes.c_size_t, words, np.ctypeslib.ndpointer(np.uint8, ndim=1)]),
    }
    for name, (result, arguments) in prototypes.items():
        function = getattr(c, name)
        function.restype, function.argtypes = result, arguments
    return c


class Chip:
    """An accelerator after reset, device 84 (AI84) or 85 (AI85). It knows only what is written to its addresses.

    The first fault stops it: every access raises ChipFault from then on. Close it, or use it in a `with` statement.
    Raises ChipError if there is no such device.
    """

    def __init__(self, device: int = 84) -> None:
        self._c: Any = _functions()
        self._observer = _OBSERVER()
        self._device = device
        self._chip = self._create()
        self._word = ctypes.c_uint32()

    def _create(self) -> Any:
        chip = self._c.chip_create(self._device)
        if not chip:
            raise ChipError(f"no model of device {self._device} (known: 84, 85), or not enough memory for it")
        return chip

    def reset(self) -> None:
        """Cut the power: registers are 0, no memory holds a value, a fault and the clocks are forgotten."""
        fresh = self._create()
        self._c.chip_destroy(self._chip)
        self._chip = fresh
        self._c.chip_observe(self._chip, self._observer, None)

    def write32(self, address: int, value: int) -> None:
        """Write one 32-bit word. A write that starts the accelerator returns when all layers are computed."""
        if self._c.chip_write32(self._chip, address, value):
            self._raise()

    def write8(self, address: int, value: int) -> None:
        """Write one byte, 0 to 255: the one that begins a run of packed weights (AI85 hardware reference 5.8)."""
        if self._c.chip_write8(self._chip, address, value):
            self._raise()

    def read32(self, address: int) -> int:
        """Read one 32-bit word, 0 to 2**32 - 1."""
        if self._c.chip_read32(self._chip, address, ctypes.byref(self._word)):
            self._raise()
        return self._word.value

    def write_many(self, addresses: WordsLike, values: WordsLike) -> None:
        """Write words in order; both arrays have one dimension and the same length."""
        address, value = np.ascontiguousarray(addresses, np.uint32), np.ascontiguousarray(values, np.uint32)
        if address.shape != value.shape:
            raise ValueError(f"{address.shape} addresses, but {value.shape} values")
        if self._c.chip_write_many(self._chip, address.size, address, value):
            self._raise()

    def read_many(self, addresses: WordsLike) -> Words:
        """Read words in order; the result has the shape of `addresses`, one dimension."""
        address = np.ascontiguousarray(addresses, np.uint32)
        value = np.zeros(address.shape, np.uint32)
        if self._c.chip_read_many(self._chip, address.size, address, value):
            self._raise()
        return value

    def irq(self) -> bool:
        """The interrupt line. Asking during a run counts as polling, like reading CTL."""
        return bool(self._c.chip_irq(self._chip))

    def cycles(self) -> int:
        """Accelerator clocks of the last completed run, an estimate.

        AI85: the latency model of the AI85 hardware reference, 14.1. AI84: the same, fitted to the times that are
        documented (AI84 hardware reference, appendix D); docs/estimate.md has its errors.
        """
        return int(self._c.chip_cycles(self._chip))

    def layer_cycles(self, layer: int) -> int:
        """Of these, the clocks of a layer, from 0; 0 before the first run has completed, and for layers above 31."""
        return int(self._c.chip_layer_cycles(self._chip, layer))

    def total_cycles(self) -> int:
        """Accelerator clocks of all completed runs together."""
        return int(self._c.chip_total_cycles(self._chip))

    def observe(self, after: Callable[[int, int], None]) -> None:
        """Call `after` when a layer of a run has been computed, with its number and the clocks of the run until then.

        What it raises is lost. Within it only peek() is allowed.
        """
        self._observer = _OBSERVER(lambda _, layer, clocks: after(layer, clocks))
        self._c.chip_observe(self._chip, self._observer, None)

    def peek(self, addresses: WordsLike) -> npt.NDArray[np.uint8]:
        """Bytes of data memory at any time, whether they hold a value or not; the shape is that of `addresses`.

        Raises ValueError if an address is not data memory.
        """
        address = np.ascontiguousarray(addresses, np.uint32)
        content = np.zeros(address.size, np.uint8)
        if self._c.chip_peek(self._chip, address.size, address.ravel(), content):
            raise ValueError("an address is not in data memory")
        return content.reshape(address.shape)

    def close(self) -> None:
        """Free the model. Closing again does nothing; any other use afterwards is an error (AttributeError)."""
        if self._chip is not None:
            self._c.chip_destroy(self._chip)
        self._c = self._chip = None  # without functions to call, a closed chip cannot reach freed memory

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _raise(self) -> None:
        fault = self._c.chip_last_fault(self._chip).contents
        raise ChipFault(fault.address, fault.text.decode())
