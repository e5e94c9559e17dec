"""Random faults in programs. Every kind is a function: it takes a program and a random generator, and returns the
faulty program."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from izer.operations import Operation, Program, Write

Random = np.random.Generator
Fault = Callable[[Program, Random], Program]

FAULTS: list[Fault] = []
LOADS = ("cnn_init", "load_kernels", "load_bias", "cnn_configure", "load_input", "cnn_start")


def fault(function: Fault) -> Fault:
    """Register a kind of fault."""
    FAULTS.append(function)
    return function


def operations(program: Program, section: str) -> list[Operation]:
    """The operations of a section of `load`."""
    return list(program.section(section).operations)


def with_operations(program: Program, name: str, changed: list[Operation]) -> Program:
    """The program with other operations in one section of `load`."""
    return replace(program, load=tuple(replace(section, operations=tuple(changed)) if section.name == name else section
                                       for section in program.load))  # fmt: skip


def pick(items: list, random: Random) -> int:
    """A random index."""
    return int(random.integers(len(items)))


def change(program: Program, section: str, random: Random, **how: Callable) -> Program:
    """Change fields of a random operation of a section; without operations there, the program stays as it is."""
    found = operations(program, section)
    if found:
        n = pick(found, random)
        found[n] = replace(found[n], **{field: function(getattr(found[n], field)) for field, function in how.items()})
    return with_operations(program, section, found)


def flip(random: Random, bits: int = 32) -> Callable[[int], int]:
    """Invert one bit."""
    return lambda value: value ^ 1 << int(random.integers(bits))


def shift(random: Random, *steps: int) -> Callable[[int], int]:
    """Add or subtract one of the steps."""
    return lambda value: value + int(random.choice([-1, 1])) * int(random.choice(steps))


def one_of(words: np.ndarray, random: Random, bits: int) -> np.ndarray:
    """Invert one bit of one word."""
    changed = words.copy()
    changed.reshape(-1)[pick(range(words.size), random)] ^= np.uint32(1 << int(random.integers(bits)))
    return changed


def exchanged(words: np.ndarray, random: Random) -> np.ndarray:
    """Exchange two rows."""
    changed = words.copy()
    a, b = random.integers(len(words), size=2)
    changed[[a, b]] = changed[[b, a]]
    return changed


@fault
def register_bit(program: Program, random: Random) -> Program:
    """One bit of one layer register."""
    return change(program, "cnn_configure", random, value=flip(random))


@fault
def register_value(program: Program, random: Random) -> Program:
    """A layer register a little larger or smaller: shifted pointers, other counts."""
    return change(program, "cnn_configure", random, value=lambda v: max(0, shift(random, 1, 2, 4, 0x100, 0x1000)(v)))


@fault
def register_elsewhere(program: Program, random: Random) -> Program:
    """A layer register's value in another layer, register or group."""
    return change(program, "cnn_configure", random, address=shift(random, 4, 0x80, 0x100000))


@fault
def enable_bit(program: Program, random: Random) -> Program:
    """A processor added to, or dropped from, both halves of ENA."""
    found = operations(program, "cnn_configure")
    enables = [n for n, operation in enumerate(found) if "ENA" in operation.why]
    n = enables[pick(enables, random)]
    found[n] = replace(found[n], value=found[n].value ^ 0x10001 << int(random.integers(16)))
    return with_operations(program, "cnn_configure", found)


@fault
def dropped(program: Program, random: Random) -> Program:
    """One operation less."""
    filled = [name for name in LOADS if operations(program, name)]
    section = filled[pick(filled, random)]
    found = operations(program, section)
    del found[pick(found, random)]
    return with_operations(program, section, found)


@fault
def kernel_bit(program: Program, random: Random) -> Program:
    """One bit of one kernel; byte k0 is alone in its word."""
    return change(program, "load_kernels", random, words=lambda words: one_of(words, random, 32))


@fault
def kernels_exchanged(program: Program, random: Random) -> Program:
    """Two kernels of one copy in each other's place."""
    return change(program, "load_kernels", random, words=lambda words: exchanged(words, random))


@fault
def copies_exchanged(program: Program, random: Random) -> Program:
    """Two copies of kernels or of input at each other's address."""
    section = str(random.choice(["load_kernels", "load_input"]))
    found = operations(program, section)
    a, b = random.integers(len(found), size=2)
    found[a], found[b] = (replace(found[a], address=found[b].address), replace(found[b], address=found[a].address))
    return with_operations(program, section, found)


@fault
def kernels_elsewhere(program: Program, random: Random) -> Program:
    """Kernels in other columns, at other processors, or out of step."""
    return change(program, "load_kernels", random, address=shift(random, 4, 0x10, 0x40, 0x800, 0x2000))


@fault
def kernels_lost(program: Program, random: Random) -> Program:
    """A copy of kernels that ends too early."""
    return change(program, "load_kernels", random, words=lambda words: words[: pick(words, random)])


@fault
def bias_changed(program: Program, random: Random) -> Program:
    """A bias with one other bit; two biases exchanged; all moved."""
    how = [
        {"words": lambda words: one_of(words, random, 8)},
        {"words": lambda words: exchanged(words, random)},
        {"address": shift(random, 4, 8, 0x100000)},
    ]
    return change(program, "load_bias", random, **how[int(random.integers(3))])


@fault
def input_elsewhere(program: Program, random: Random) -> Program:
    """The input in other words, another instance, another group, out of step."""
    return change(program, "load_input", random, address=shift(random, 4, 8, 0x2000, 0x4000, 0x100000, 2))


@fault
def input_changed(program: Program, random: Random) -> Program:
    """An input word with one other bit; two words exchanged; the last word missing."""
    how = [lambda words: one_of(words, random, 32), lambda words: exchanged(words, random), lambda words: words[:-1]]
    return change(program, "load_input", random, words=how[int(random.integers(3))])


@fault
def start_order(program: Program, random: Random) -> Program:
    """Another order of the starts."""
    found = operations(program, "cnn_start")
    return with_operations(program, "cnn_start", [found[n] for n in random.permutation(len(found))])


@fault
def control_bit(program: Program, random: Random) -> Program:
    """One bit of the global registers or of a start."""
    return change(program, str(random.choice(["cnn_init", "cnn_start"])), random, value=flip(random, 13))


@fault
def sections_exchanged(program: Program, random: Random) -> Program:
    """Two neighbouring steps of loading in the other order."""
    n = int(random.integers(len(program.load) - 1))
    load = list(program.load)
    load[n], load[n + 1] = load[n + 1], load[n]
    return replace(program, load=tuple(load))


@fault
def written_between(program: Program, random: Random) -> Program:
    """A write too many, to a random word of the accelerator."""
    section = LOADS[pick(LOADS, random)]
    found = operations(program, section)
    address = 0x50100000 + 0x100000 * int(random.integers(4)) + 4 * int(random.integers(0x8000))
    found.insert(int(random.integers(len(found) + 1)), Write(address, int(random.integers(256)), "fault"))
    return with_operations(program, section, found)


@fault
def check_changed(program: Program, random: Random) -> Program:
    """A check of another word, of other bits, or none."""
    found = list(program.check.operations)
    n = pick(found, random)
    kind = int(random.integers(3))
    if kind == 0:
        found[n] = replace(found[n], address=shift(random, 4, 0x4000, 0x100000)(found[n].address))
    elif kind == 1:
        found[n] = replace(found[n], mask=flip(random)(found[n].mask))
    else:
        del found[n]
    return replace(program, check=replace(program.check, operations=tuple(found)))


@fault
def wait_or_stop(program: Program, random: Random) -> Program:
    """Another address or bit in the wait, or one stop less."""
    (poll,) = program.wait.operations
    if random.integers(2):
        changed = replace(poll, **{str(random.choice(["address", "mask", "value"])): int(random.integers(2**16))})
        return replace(program, wait=replace(program.wait, operations=(changed,)))
    return replace(program, stop=replace(program.stop, operations=program.stop.operations[1:]))


@fault
def unload_changed(program: Program, random: Random) -> Program:
    """Other words, lanes, rows or channels unloaded."""
    steps = list(program.unload)
    n = pick(steps, random)
    how = [
        {"address": shift(random, 4, 0x4000)(steps[n].address)},
        {"lanes": tuple((lane + 1) % 4 for lane in steps[n].lanes)},
        {"rows": steps[n].rows + 1},
        {"columns": steps[n].columns + 1},
        {"row_words": steps[n].row_words + 1},
        {"channel": steps[n].channel + 1},
    ]
    steps[n] = replace(steps[n], **how[pick(how, random)])
    return replace(program, unload=tuple(steps))
