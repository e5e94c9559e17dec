"""A program as a test for RTL simulation (AI84 hardware reference 7.7, 12.5; AI85 hardware reference 16)."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ..network import Layer, Network
from ..operations import Copy, CopyKernels, Program, Verify
from .ctext import environment, hex_words, network_summary

MAX_NAME = 245  # characters of base directory plus name, below the limits of file systems


def _shape(layer: Layer, data_format: str) -> str:
    """The part of a test's name that describes a layer; one-dimensional ones have a length only."""
    size: tuple[int, ...] = (layer.height, layer.width)
    window: tuple[int, ...] = layer.window if layer.pool else (0, 0)
    if layer.op == "conv1d" and layer.width == 1:
        size, window = size[:1], window[:1]
    return (
        f"-{'x'.join(map(str, (layer.in_channels, *size)))}{data_format}{'f' if layer.flatten else ''}_"
        f"{layer.pool}{'x'.join(map(str, window))}s{layer.pool_stride}p{layer.pad}"
        f"m{layer.out_channels}{f'_{layer.activation}' if layer.activation else ''}"
    )


def test_name(prefix: str, network: Network, directory: str) -> str:
    """The prefix, then shape, pooling, padding and activation of every layer; shortened by a digest where too long."""
    name = prefix + "".join(map(_shape, network.layers, ["b" if network.data_format == "chw" else "l", *"l" * 31]))
    if len(directory) + len(name) <= MAX_NAME:
        return name
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return f"{name[: MAX_NAME - len(directory) - len(digest) - 1]}-{digest}"


POWER_UP84 = ("MXC_GCR->perckcn1 &= ~0x20; // accelerator clock on",)


def power_up85(quadrants: tuple[int, ...]) -> tuple[str, ...]:
    """Power for the used quadrants, isolation of the others, and the clock (AI85 hardware reference 16.2)."""
    used = sum(1 << quadrant for quadrant in quadrants)
    registers = ((0xC, 0xF, "reset"), (4, used, "power of the weight memories"), (0, used, "power"),
                 (8, ~used & 0xF, "isolation of unused quadrants"), (0xC, 0, "end of the reset"))  # fmt: skip
    stores = [f"*((volatile uint32_t *) 0x{0x40005800 + offset:08x}) = 0x{value:08x}; // {why}"
              for offset, value, why in registers]  # fmt: skip
    return (*stores, "MXC_GCR->pclkdis0 &= ~0x2000000; // accelerator clock on")


@dataclass(frozen=True)
class Test:
    """Everything that the files of one test say; `timeout` is in units of 10 ms.

    `power_up` are the statements that make the accelerator of that `device` answer. Sections of the program that are
    `compact` are loops over arrays; the others have a statement for every store.
    """

    device: str
    title: str
    command: str
    power_up: tuple[str, ...]
    network: Network
    program: Program
    timeout: int
    compact: frozenset[str] = frozenset()


def emit(test: Test, source: str, runtest: str) -> dict[str, bytes]:
    """All files of a test folder by name."""
    template = environment().get_template("test.c.j2")
    arrays = [operation for section in test.program.load if section.name in test.compact
              for operation in section.operations if isinstance(operation, Copy | CopyKernels)]  # fmt: skip
    text = template.render(test=test, summary=network_summary(test.network), stores=list(_stores(test)),
                           arrays=[(array.name, hex_words(array.words)) for array in arrays],
                           helpers={_loop(array) for array in arrays})  # fmt: skip
    return {source: text.encode(), runtest: _run_test(test, source, runtest).encode()}


def _loop(operation: Copy | CopyKernels) -> str:
    """The function that copies an array."""
    return "copy_kernels" if isinstance(operation, CopyKernels) else "copy_words"


def _stores(test: Test) -> Iterator[str]:
    """The body of cnn_load(): every bus access as one statement, or in a compact section every array."""
    for section in test.program.load:
        if section.operations:
            yield f"\n  // {section.why}"
        for operation in section.operations:
            if section.name in test.compact and isinstance(operation, Copy | CopyKernels):
                yield (f"  {_loop(operation)}(0x{operation.address:08x}, {operation.name}, COUNT({operation.name})); "
                       f"// {operation.why}")  # fmt: skip
                continue
            if isinstance(operation, Verify):
                yield from _comparisons(operation)
                continue
            accesses = list(operation.accesses())
            if len(accesses) > 1:
                yield f"  // {operation.why}"
            comment = f" // {operation.why}" if len(accesses) == 1 else ""
            for access in accesses:
                size = 8 if access.kind == "B" else 32
                yield (f"  *((volatile uint{size}_t *) 0x{access.address:08x}) = "
                       f"0x{access.value:0{size // 4}x};{comment}")  # fmt: skip


def _comparisons(operation: Verify) -> Iterator[str]:
    for access in operation.accesses():
        yield (f"  if ((*((volatile uint32_t *) 0x{access.address:08x})) != 0x{access.value:08x}) return 0; "
               f"// read back: {operation.why}")  # fmt: skip


def _run_test(test: Test, source: str, runtest: str) -> str:
    lines = [f"// {runtest} of {test.title}", f"// Created by: {test.command}", "", f"`define ARM_PROG_SOURCE {source}"]
    if test.timeout:
        lines.append(f"defparam REPEAT_TIMEOUT = {test.timeout};")
    return "\n".join(lines) + "\n"


def list_entry(top_level: str | None, name: str, queue: str) -> str:
    """The line of the list of tests; `top_level` is None in block-level mode (7.7)."""
    return "/".join(filter(None, ["tests", top_level, name, f"run_test:{queue}"]))
