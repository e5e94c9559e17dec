"""Bus operations as C statements and arrays; templates/copy.c.j2 has the functions that they call."""

from collections.abc import Iterable

from ..operations import Copy, CopyBytes, CopyKernels, Fill, Operation, Verify, Write
from .ctext import hex_bytes, hex_words


def arrays(operations: Iterable[Operation]) -> list[Copy | CopyKernels]:
    """The operations that copy an array."""
    return [operation for operation in operations if isinstance(operation, Copy | CopyKernels)]


def helper(operation: Operation) -> str:
    """The C function that does an operation; empty for one that is a statement of its own."""
    match operation:
        case Verify(Fill()):
            return "filled_words"
        case Verify(Copy() | CopyKernels() as written):
            return helper(written).replace("copy", "same")
        case CopyKernels():
            return "copy_kernels"
        case CopyBytes():
            return "copy_bytes"
        case Copy():
            return "copy_words"
        case Fill():
            return "fill_words"
    return ""


def statement(operation: Operation) -> str:
    """An operation of a load section as C."""
    match operation:
        case Write(address, value):
            return f"*(volatile uint32_t *) 0x{address:08x} = 0x{value:08x}; // {operation.why}"
        case Verify(Write(address, value)):
            return f"if (*(volatile uint32_t *) 0x{address:08x} != 0x{value:08x}) return CNN_FAIL;"
        case Verify(written):
            return f"if (!{helper(operation)}({_arguments(written)})) return CNN_FAIL;"
    return f"{helper(operation)}({_arguments(operation)}); // {operation.why}"


def _arguments(operation: Operation) -> str:
    """Where to, from where or what, and how many."""
    match operation:
        case Copy(name, address) | CopyKernels(name, address):
            return f"0x{address:08x}, {name}, COUNT({name})"
        case Fill(address, value, count):
            return f"0x{address:08x}, 0x{value:08x}, {count}"
    raise TypeError(f"{type(operation).__name__} is no operation of a load section")


def array_defines(operations: Iterable[Operation]) -> dict[str, str]:
    """Defines for the arrays that copy operations read."""
    defines = {}
    for operation in operations:
        if isinstance(operation, CopyBytes):
            defines[operation.name.upper()] = hex_bytes(operation.words)
        elif isinstance(operation, Copy | CopyKernels):
            defines[operation.name.upper()] = hex_words(operation.words)
    return defines
