"""Random faults in programs for AI85: kinds of faults that every device has, and those of packed weights, of passes and
of its own addresses."""

from dataclasses import replace

import numpy as np

from izer.operations import Program, Write
from program_faults import (
    LOADS,
    Fault,
    Random,
    change,
    control_bit,
    dropped,
    enable_bit,
    flip,
    input_changed,
    one_of,
    operations,
    pick,
    register_bit,
    register_value,
    sections_exchanged,
    shift,
    start_order,
    wait_or_stop,
    with_operations,
)

QUADRANT, INSTANCE, PROCESSOR, COLUMN = 0x400000, 0x8000, 0x4000, 16  # bytes of addresses (2.1)

FAULTS85: list[Fault] = [control_bit, dropped, enable_bit, input_changed, register_bit, register_value,
                         sections_exchanged, start_order, wait_or_stop]  # fmt: skip


def fault(function: Fault) -> Fault:
    """Register a kind of fault."""
    FAULTS85.append(function)
    return function


@fault
def register_elsewhere(program: Program, random: Random) -> Program:
    """A layer register's value in another layer, register or quadrant."""
    return change(program, "cnn_configure", random, address=shift(random, 4, 0x80, QUADRANT))


@fault
def pointer_shifted(program: Program, random: Random) -> Program:
    """A read or write pointer some words, passes or instances away."""
    found = operations(program, "cnn_configure")
    pointers = [n for n, write in enumerate(found) if "_BASE:" in write.why]
    if pointers:
        n = pointers[pick(pointers, random)]
        found[n] = replace(found[n], value=max(0, shift(random, 1, 2, 4, 8192)(found[n].value)))
    return with_operations(program, "cnn_configure", found)


@fault
def field_bit(program: Program, random: Random) -> Program:
    """One bit of a register that says how kernels, passes, bias and scaling are used."""
    found = operations(program, "cnn_configure")
    names = ("POST:", "ONED:", "LCTL2:", "MCNT:")
    chosen = [n for n, write in enumerate(found) if write.why.split(", ")[2].split(" ")[0] in names]
    n = chosen[pick(chosen, random)]
    found[n] = replace(found[n], value=flip(random, 29)(found[n].value))
    return with_operations(program, "cnn_configure", found)


@fault
def weight_bit(program: Program, random: Random) -> Program:
    """One bit of one weight."""

    def changed(columns: np.ndarray) -> np.ndarray:
        copy = columns.copy()
        copy.reshape(-1)[pick(range(copy.size), random)] ^= np.uint8(1 << int(random.integers(8)))
        return copy

    return change(program, "load_kernels", random, columns=changed)


@fault
def columns_exchanged(program: Program, random: Random) -> Program:
    """Two columns of one run in each other's place; or all backwards."""

    def changed(columns: np.ndarray) -> np.ndarray:
        order = np.arange(len(columns))
        a, b = random.integers(len(columns), size=2)
        order[[a, b]] = order[[b, a]]
        return columns[order if random.integers(2) else order[::-1]].copy()

    return change(program, "load_kernels", random, columns=changed)


@fault
def processors_exchanged(program: Program, random: Random) -> Program:
    """Two runs of weights or two copies of input at each other's address."""
    section = str(random.choice(["load_kernels", "load_input"]))
    found = operations(program, section)
    if found:
        a, b = random.integers(len(found), size=2)
        found[a], found[b] = (replace(found[a], address=found[b].address), replace(found[b], address=found[a].address))
    return with_operations(program, section, found)


@fault
def run_elsewhere(program: Program, random: Random) -> Program:
    """Weights in other columns, at another processor, in another quadrant."""
    return change(program, "load_kernels", random, address=shift(random, COLUMN, 4 * COLUMN, PROCESSOR, QUADRANT))


@fault
def run_shortened(program: Program, random: Random) -> Program:
    """A run of weights without its last columns; at least one is left."""
    return change(program, "load_kernels", random, columns=lambda columns: columns[: 1 + pick(columns, random)])


@fault
def bias_changed(program: Program, random: Random) -> Program:
    """A bias with one other bit; two biases exchanged; all moved."""

    def exchanged(words: np.ndarray) -> np.ndarray:
        order = np.arange(len(words))
        a, b = random.integers(len(words), size=2)
        order[[a, b]] = order[[b, a]]
        return words[order]

    how = [{"words": lambda words: one_of(words, random, 9)}, {"words": exchanged},
           {"address": shift(random, 4, 8, QUADRANT)}]  # fmt: skip
    return change(program, "load_bias", random, **how[int(random.integers(3))])


@fault
def input_elsewhere(program: Program, random: Random) -> Program:
    """The input in other words, another instance, another quadrant, out of step."""
    return change(program, "load_input", random, address=shift(random, 4, 8, INSTANCE, QUADRANT, 2))


@fault
def written_between(program: Program, random: Random) -> Program:
    """A write too many, to a random word of a register or memory, or anywhere."""
    section = LOADS[pick(LOADS, random)]
    found = operations(program, section)
    area, size = ((0, 0x1000), (0x8000, 0x800), (0x10000, 0x40000), (0x80000, 0x40000), (0x300000, 0x20000),
                  (0, QUADRANT))[int(random.integers(6))]  # fmt: skip
    address = 0x50100000 + QUADRANT * int(random.integers(4)) + area + 4 * int(random.integers(size // 4))
    found.insert(int(random.integers(len(found) + 1)), Write(address, int(random.integers(256)), "fault"))
    return with_operations(program, section, found)


@fault
def check_changed(program: Program, random: Random) -> Program:
    """A check of another word, of other bits, or none."""
    found = list(program.check.operations)
    n = pick(found, random)
    kind = int(random.integers(3))
    if kind == 0:
        found[n] = replace(found[n], address=shift(random, 4, INSTANCE, QUADRANT)(found[n].address))
    elif kind == 1:
        found[n] = replace(found[n], mask=flip(random)(found[n].mask))
    else:
        del found[n]
    return replace(program, check=replace(program.check, operations=tuple(found)))


@fault
def unload_changed(program: Program, random: Random) -> Program:
    """Other words, lanes, rows, passes or channels unloaded; bytes for words; steps in another order."""
    steps = list(program.unload)
    n = pick(steps, random)
    how = [
        {"address": shift(random, 4, INSTANCE)(steps[n].address)},
        {"lanes": tuple((lane + 1) % 4 for lane in steps[n].lanes)},
        {"rows": steps[n].rows + 1},
        {"columns": steps[n].columns + 1},
        {"row_words": steps[n].row_words + 1},
        {"pixel_words": steps[n].pixel_words + 1},
        {"channel": steps[n].channel + 1},
        {"wide": not steps[n].wide},
        {},
    ]
    steps[n] = replace(steps[n], **how[pick(how, random)])
    other = pick(steps, random)
    steps[n], steps[other] = steps[other], steps[n]
    return replace(program, unload=tuple(steps))
