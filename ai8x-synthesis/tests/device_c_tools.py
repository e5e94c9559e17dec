"""Calls functions of the run-time C on the host with sanitizers, and on the emulated Cortex-M4."""

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from chip import Chip
from chip.mcu import Mcu
from firmware_tools import DEVICE, build_firmware

MAX_BLOCKS, POOL = 6, 90 * 1024
GUARD = b"\xa5\x5a\xc3\x3c" * 4  # around the blocks of the Cortex-M4, which has no sanitizer

# `calls` becomes one case per function, with integers a[] and blocks p[].
CALL = """
static int32_t call(int32_t function, const int32_t *a, void **p)
{
    switch (function) {
%s
    }
    return -1000;
}
"""

# Reads: function, number of integers and of blocks, the integers, sizes of the blocks (-1: null), the blocks, each into
# a heap block of exactly its size. Writes: the result, the blocks.
HOST_MAIN = """
#include <stdlib.h>
static void *get(size_t size)
{
    void *block = malloc(size);
    if (size && fread(block, size, 1, stdin) != 1)
        exit(2);
    return block;
}
int main(void)
{
    int32_t *h = get(12), *a = get(4 * (size_t)h[1]), *sizes = get(4 * (size_t)h[2]), result;
    void *p[6] = {0};
    for (int i = 0; i < h[2]; i++)
        p[i] = sizes[i] < 0 ? 0 : get((size_t)sizes[i]);
    result = call(h[0], a, p);
    fwrite(&result, 4, 1, stdout);
    for (int i = 0; i < h[2]; i++) {
        if (sizes[i] > 0)
            fwrite(p[i], (size_t)sizes[i], 1, stdout);
        free(p[i]);
    }
    free(h), free(a), free(sizes);
    return 0;
}
"""

ARM_MAIN = f"""
int32_t function, arguments[24], offsets[{MAX_BLOCKS}];
uint8_t pool[{POOL}] __attribute__((aligned(8)));
int32_t run(void)
{{
    void *p[{MAX_BLOCKS}];
    for (int i = 0; i < {MAX_BLOCKS}; i++)
        p[i] = offsets[i] < 0 ? 0 : pool + offsets[i];
    return call(function, arguments, p);
}}
volatile int called;
int main(void)
{{
    return called ? run() : 0; /* never, but the linker keeps what main() mentions */
}}
"""


class HostRuntime:
    """Each call is a process of its own. `finds_overruns`: whether it has the address sanitizer."""

    def __init__(self, program: Path, functions: list[str], finds_overruns: bool) -> None:
        self._program, self._functions, self.finds_overruns = program, functions, finds_overruns

    def call(self, function: str, arguments: Sequence[int], *blocks: bytes | None) -> tuple[int, list[bytes]]:
        """The function's result, and the blocks after it."""
        sizes = [-1 if block is None else len(block) for block in blocks]
        header = [self._functions.index(function), len(arguments), len(blocks), *arguments, *sizes]
        content = struct.pack(f"<{len(header)}i", *header) + b"".join(block or b"" for block in blocks)
        result = subprocess.run([self._program], input=content, capture_output=True, timeout=120)
        assert result.returncode == 0 and not result.stderr, result.stderr.decode()
        ends = np.cumsum([4, *(max(0, size) for size in sizes)]).tolist()
        parts = [result.stdout[start:end] for start, end in pairwise(ends)]
        return struct.unpack_from("<i", result.stdout)[0], parts


class ArmRuntime:
    """The blocks lie in one array, with guards between them. Counts the instructions of the last call."""

    def __init__(self, mcu: Mcu, functions: list[str]) -> None:
        self._mcu, self._functions = mcu, functions
        self.instructions = 0

    def call(self, function: str, arguments: Sequence[int], *blocks: bytes | None) -> tuple[int, list[bytes]]:
        """The function's result, and the blocks after it."""
        pool, offsets = GUARD, []
        for block in blocks:
            offsets.append(-1 if block is None else len(pool))
            pool += b"" if block is None else block + GUARD + bytes(-len(block) % 8)
        number = [self._functions.index(function)]
        for name, values in {"arguments": arguments, "offsets": offsets, "function": number}.items():
            content = struct.pack(f"<{len(values)}i", *values)
            self._mcu.write_symbol(name, content.ljust(self._mcu.firmware.object(name).size, b"\xff"))
        assert len(pool) <= POOL
        self._mcu.write_symbol("pool", pool.ljust(POOL, b"\x77"))
        before = self._mcu.instructions
        result = self._mcu.call("run")
        self.instructions = self._mcu.instructions - before
        return (result + 2**31) % 2**32 - 2**31, self._blocks(pool, offsets, blocks)

    def _blocks(self, written: bytes, offsets: list[int], blocks: Sequence[bytes | None]) -> list[bytes]:
        """The blocks as they are now; everything around them must be what was written."""
        pool = self._mcu.read_symbol("pool")
        around, found = bytearray(pool), []
        for offset, block in zip(offsets, blocks, strict=True):
            size = len(block or b"")
            found.append(pool[offset:offset + size] if block else b"")
            around[offset:offset + size] = written[offset:offset + size] if block else b""
        assert bytes(around) == written.ljust(POOL, b"\x77"), "written outside the blocks"
        return found


Runtime = HostRuntime | ArmRuntime


def harness(include: str, calls: Mapping[str, str]) -> str:
    cases = "\n".join(f"    case {n}: {call};" for n, call in enumerate(calls.values()))
    return f'#include "tornadocnn.h"\n{include}\n' + CALL % cases


def build_host(folder: Path, calls: Mapping[str, str], sources: Sequence[Path], include: str = "",
               options: Sequence[str] = ()) -> HostRuntime:
    """With gcc or clang: address and undefined-behaviour sanitizers; their messages fail the test."""
    (folder / "host.c").write_text(harness(include, calls) + HOST_MAIN)
    compiler = [shutil.which("cc")] if shutil.which("cc") else [sys.executable, "-m", "ziglang", "cc"]
    command = [*compiler, "-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{DEVICE}", *options,
               "-o", str(folder / "host"), str(folder / "host.c"), *map(str, sources)]
    for flags in (["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], ["-fsanitize=undefined"], []):
        result = subprocess.run([*command, *flags], capture_output=True, text=True)
        if result.returncode == 0:
            return HostRuntime(folder / "host", list(calls), "address" in "".join(flags))
    raise AssertionError(f"the run-time does not compile for this machine:\n{result.stderr}")


@contextmanager
def runtime_on(machine: str, folder: Path, calls: Mapping[str, str], sources: Sequence[str],
               include: str = "") -> Iterator[Runtime]:
    """Functions on "host" or "cortex-m4". `calls`: by name, C expressions of integers a[] and blocks p[], `return`
    included where there is a result; `sources`: files or folders of Device/."""
    if machine == "host":
        paths = [path for source in sources for path in
                 (sorted((DEVICE / source).glob("*.c")) if (DEVICE / source).is_dir() else [DEVICE / source])]
        yield build_host(folder, calls, paths, include, [f"-I{path.parent}" for path in paths])
        return
    for source in sources:
        if (DEVICE / source).is_dir():
            shutil.copytree(DEVICE / source, folder / source)
    with Chip() as chip:
        mcu = Mcu(build_firmware(folder, harness(include, calls) + ARM_MAIN), chip)
        assert mcu.run().status == 0
        yield ArmRuntime(mcu, list(calls))
