"""Programs that read back what they wrote (AI84 hardware reference 7.7, write verification)."""

from collections.abc import Iterator
from dataclasses import replace

from .operations import Copy, CopyKernels, CopyPacked, Fill, Operation, Program, Section, Verify, Write


def read_back(program: Program, sections: frozenset[str]) -> Program:
    """The program in which every write of the named load sections is followed by a comparison of what it wrote."""
    load = [
        replace(section, operations=tuple(_read_back(section))) if section.name in sections else section
        for section in program.load
    ]
    return replace(program, load=tuple(load))


def _read_back(section: Section) -> Iterator[Operation]:
    for operation in section.operations:
        yield operation
        if isinstance(operation, Write | Copy | CopyKernels | CopyPacked | Fill):
            yield Verify(operation)


def split_copies(program: Program) -> Program:
    """The same stores, each as an operation of its own; a kernel, whose words belong together, is one (4.2)."""
    load = [
        replace(section, operations=tuple(part for operation in section.operations for part in _split(operation)))
        for section in program.load
    ]
    return replace(program, load=tuple(load))


def _split(operation: Operation) -> Iterator[Operation]:
    if isinstance(operation, CopyKernels):
        for n in range(len(operation.words)):
            yield replace(operation, address=operation.address + 16 * n, words=operation.words[n : n + 1])
    elif isinstance(operation, Copy | Fill):
        for access in operation.accesses():
            yield Write(access.address, access.value, operation.why)
    else:
        yield operation
