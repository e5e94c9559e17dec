"""Verifies a finished program: a check is a small function whose docstring says what must hold.

Everything is decoded from the bus operations with the AI84 hardware reference, whose sections stand beside a check's
id; nothing is taken from the code that placed the network. Values that the network computes are not looked at.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .. import lifetimes
from ..busimage import CTL_ENABLE, accesses, data_words, load_image
from ..device import Device
from ..errors import Violation
from ..network import Layer, Network
from ..operations import Program
from ..program_rules import Finding, ProgramRule, first_of, program_rule, violations, word_name
from ..yamlvalues import NETWORK_INPUT
from .evidence import (
    ENA,
    LCTL,
    MCNT,
    RPTR_BASE,
    WPTR_BASE,
    WPTR_OFF,
    Evidence,
)

READY = 0x006  # CTL: wait states (3.1)
SLAVE = 0x800
DONE = 0x1000
SRAM_CONTROL = 0x40E
LANE_BITS = 8 * np.arange(4)
REGISTER_NAMES = ("RCNT", "CCNT", "", "PRCNT", "PCCNT", "STRIDE", "WPTR_BASE", "WPTR_OFF", "RPTR_BASE", "LCTL", "MCNT",
                  "TPTR", "ENA")  # fmt: skip

PROGRAM_RULES: list[ProgramRule[Evidence]] = []


def check_program(device: Device, network: Network, data: NDArray[np.int8], program: Program) -> list[Violation]:
    """Everything that is wrong with a program that runs `network` on the input `data`, int8 [C, H, W]."""
    evidence = Evidence(device, network, data, program, load_image(device, program))
    return violations(network, PROGRAM_RULES, evidence)


@program_rule("program-address", "2.1, 3.2", PROGRAM_RULES)
def address(evidence: Evidence) -> Iterator[Finding]:
    """Every access is to a 32-bit word that exists."""
    yield from first_of(evidence.image.unknown, "access to")


@program_rule("program-kernel-order", "4.2", PROGRAM_RULES)
def kernel_order(evidence: Evidence) -> Iterator[Finding]:
    """A kernel is written as words 0, 1, 2 and 3 of one mask RAM entry, in this order."""
    yield from first_of(evidence.image.disordered, "out of order: write to")


@program_rule("program-late", "2.4, 7.1", PROGRAM_RULES)
def late(evidence: Evidence) -> Iterator[Finding]:
    """After the first group is enabled, nothing but CTL is accessed before the end of the run."""
    yield from first_of(evidence.image.late, "access to")


@program_rule("program-once", "2.2", PROGRAM_RULES)
def once(evidence: Evidence) -> Iterator[Finding]:
    """No word but CTL is written twice with different values before the start."""
    yield from first_of(evidence.image.replaced, "first value lost at")


@program_rule("program-width", "4.2, 5, 7.5", PROGRAM_RULES)
def width(evidence: Evidence) -> Iterator[Finding]:
    """
    Word 0 of a kernel and a bias have 8 bits, word 3 of a kernel is 0, a TRAM entry has 16 bits; all other bits are 0.
    """
    image = evidence.image
    staged = image.kernels(image.words)
    for wide, what in (
        (staged[..., 0] > 0xFF, "word 0 of a kernel"), (staged[..., 3] > 0, "word 3 of a kernel"),
        (image.biases(image.words) > 0xFF, "a bias"), (image.tram(image.words) > 0xFFFF, "a TRAM entry"),
    ):  # fmt: skip
        if wide.any():
            yield Finding(None, what)


@program_rule("program-read-back", "7.7", PROGRAM_RULES)
def read_back(evidence: Evidence) -> Iterator[Finding]:
    """What is read back is compared with what was written."""
    yield from first_of(evidence.image.unequal, "other value at")


@program_rule("program-start", "7.3, 7.4", PROGRAM_RULES)
def start(evidence: Evidence) -> Iterator[Finding]:
    """
    Groups with enabled processors are stopped first; then, each once, the slaves are enabled and, last, group 0 starts
    as their master. The others stay off.
    """
    first = next((n for n, (_, value) in enumerate(evidence.image.control) if value & CTL_ENABLE), None)
    if first is None:
        yield Finding(None, "no group is started")
        return
    sequence = evidence.image.control[first:]
    ready = sequence[-1][1] & READY
    slaves = [group for group, _ in sequence[:-1]]
    if sequence[-1] != (0, ready | CTL_ENABLE) or len({0, *slaves}) != len(sequence):
        yield Finding(None, "started in the order " + ", ".join(f"group {g} with 0x{v:03x}" for g, v in sequence))
    for group, value in sequence[:-1]:
        if value != SLAVE | ready | CTL_ENABLE:
            yield Finding(None, f"group {group} is enabled with 0x{value:x}")
    for group in range(evidence.device.groups):
        before = evidence.image.register(group, 0)
        if before != (ready if group in evidence.groups else 0):
            yield Finding(None, f"CTL of group {group} is 0x{before:x} before the start")


@program_rule("program-groups", "3.1, 3.2", PROGRAM_RULES)
def groups(evidence: Evidence) -> Iterator[Finding]:
    """Every group with enabled processors is started; SRAM control is 0x40e and LCNT_MAX the layers - 1 in each."""
    enabled = {processor // 16 for run in evidence.runs for processor in run.inputs}
    for group in sorted(enabled - set(evidence.groups)):
        yield Finding(None, f"group {group} is not started")
    last = len(evidence.network.layers) - 1
    for group in evidence.groups:
        control, count = evidence.image.register(group, 4), evidence.image.register(group, 8)
        if (control, count) != (SRAM_CONTROL, last) or not evidence.image.written[group, 2]:
            yield Finding(None, f"group {group} has SRAM control 0x{control:x}, LCNT_MAX {count}")


@program_rule("program-wait", "7.1, 7.3", PROGRAM_RULES)
def wait(evidence: Evidence) -> Iterator[Finding]:
    """The program waits until bit 12 of CTL of group 0 is 1, then it stops every started group for another run."""
    ctl = evidence.device.group(0)
    polls = list(evidence.program.wait.accesses())
    if polls != [("P", ctl, DONE, DONE)]:
        yield Finding(None, "waiting as " + ", ".join(f"0x{a:08x} & 0x{m:x} == 0x{v:x}" for _, a, m, v in polls))
    stops = [(access.address, access.value) for access in evidence.program.stop.accesses()]
    due = [(evidence.device.group(group), evidence.image.register(group, 0)) for group in evidence.groups]
    if sorted(stops) != due:
        yield Finding(None, "stopping with " + ", ".join(f"0x{a:08x} = 0x{v:x}" for a, v in stops))


@program_rule("program-enables", "3.7", PROGRAM_RULES)
def enables(evidence: Evidence) -> Iterator[Finding]:
    """A layer has one enabled processor per input channel."""
    for run in evidence.runs:
        if len(run.inputs) != run.layer.in_channels:
            yield Finding(run.layer.index, f"{len(run.inputs)} enabled for {run.layer.in_channels} input channels")


@program_rule("program-registers", "3.3 to 3.6, 3.8", PROGRAM_RULES)
def registers(evidence: Evidence) -> Iterator[Finding]:
    """
    All registers of a layer are written in every started group, with the values that its shapes and its maps require.
    """
    state = evidence.image.layer_registers
    for run in evidence.runs:
        for group in evidence.groups:
            for number, due in _required(evidence.device, run, group).items():
                bits = ~0x01FF0000 if number == MCNT else ~0  # the bias has a check of its own
                given = int(state[group, number, run.layer.index])
                if given & bits != due or not evidence.image.configured[group, number, run.layer.index]:
                    yield Finding(run.layer.index, f"{REGISTER_NAMES[number]} of group {group} is 0x{given:08x}, "
                                  f"0x{due:08x} must be written")


def _required(device: Device, run: lifetimes.LayerRun, group: int) -> dict[int, int]:
    """Register values by index; pointers and the first column are free, but the same in all groups (3.8)."""
    layer = run.layer
    window = max(1, layer.pool_size - 1)
    first = run.outputs[0] // 4 if run.outputs else 0
    masks = run.outputs[-1] - 4 * first if run.outputs else 0
    step = device.instance_words << 16
    return {
        0: layer.pad_rows << 8 | layer.height - 1 + 2 * layer.pad_rows,
        1: layer.pad_columns << 8 | layer.width - 1 + 2 * layer.pad_columns,
        3: window,
        4: window,
        5: layer.pool_stride - 1 if layer.pool else 0,
        WPTR_BASE: first * device.instance_words | run.write % device.instance_words,
        WPTR_OFF: step if masks >= 4 else run.step << 16 & step,
        RPTR_BASE: run.read % device.instance_words,
        LCTL: _layer_control(run) | (_other_groups(run) << 12 if group == 0 else 0),
        MCNT: run.column // 4 * 4 << 8 | masks,
        11: max(0, layer.out_width - 1),
        ENA: sum(0x10001 << processor % 16 for processor in run.inputs if processor // 16 == group),
    }


def _layer_control(run: lifetimes.LayerRun) -> int:
    """LCTL without the groups to sum (3.5.2)."""
    layer = run.layer
    modes = {0x40: run.chw, 0x80: layer.pool_size > 1, 0x100: layer.pool != "avg", 0x200: layer.relu}
    return 0x0820 | sum(bit for bit, chosen in modes.items() if chosen)


def _other_groups(run: lifetimes.LayerRun) -> int:
    """A bit for every group but the master with enabled processors (3.5.4)."""
    return sum(1 << group for group in {processor // 16 for processor in run.inputs} - {0})


@program_rule("program-unused-layers", "3.9", PROGRAM_RULES)
def unused_layers(evidence: Evidence) -> Iterator[Finding]:
    """Registers of layers that the network does not have are 0."""
    count = len(evidence.network.layers)
    for group, register, layer in np.argwhere(evidence.image.layer_registers[:, :, count:]).tolist():
        yield Finding(None, f"{REGISTER_NAMES[register]} of group {group}, layer {count + layer}")


@program_rule("program-kernels", "4.1, 4.2", PROGRAM_RULES)
def kernels(evidence: Evidence) -> Iterator[Finding]:
    """
    The mask RAM of a channel's processor holds, in the column of each output channel's byte lane, the kernel of the
    network, and no other layer's kernel is meant for that column.
    """
    state, written = evidence.image.kernels(evidence.image.words), evidence.image.kernels(evidence.image.written)
    owner = np.full(state.shape[:2], -1)
    for run in filter(lambda run: run.complete, evidence.runs):
        columns = run.column + run.output_masks
        if columns[-1] >= evidence.device.mask_columns:
            yield Finding(run.layer.index, f"columns up to {columns[-1]}")
            continue
        place = np.ix_(np.array(run.inputs), columns)
        shared = owner[place] >= 0
        wrong = (state[place] != _packed(run.layer)).any(2) | ~written[place].all(2) | shared
        for c, o in np.argwhere(wrong)[:1].tolist():
            also = f", which is layer {owner[place][c, o]}'s" if shared[c, o] else ""
            yield Finding(run.layer.index, f"{wrong.sum()} wrong, the first for input channel {c}, output channel {o}: "
                          f"processor {run.inputs[c]}, column {columns[o]}{also}")
        owner[place] = run.layer.index


def _packed(layer: Layer) -> NDArray[np.uint32]:
    """Mask RAM words [input channel, output channel, word]: byte k0 alone, then two words, high byte first (4.2)."""
    taps = layer.weight.reshape(layer.out_channels, layer.in_channels, 9).transpose(1, 0, 2)
    padded = np.zeros((*taps.shape[:2], 12), np.int8)
    padded[..., 3:] = taps
    words = padded.view(">u4").astype(np.uint32)
    return np.pad(words, ((0, 0), (0, 0), (0, 1)))


@program_rule("program-bias", "5, 3.6", PROGRAM_RULES)
def bias(evidence: Evidence) -> Iterator[Finding]:
    """
    A layer with bias has it enabled in one group that takes part, whose bias RAM holds an entry of its own for every
    output channel, as far from the first as the channel's mask; a layer without bias has it enabled nowhere.
    """
    state, written = evidence.image.biases(evidence.image.words), evidence.image.biases(evidence.image.written)
    owner = np.full(state.shape, -1)
    for run in filter(lambda run: run.complete, evidence.runs):
        fields = evidence.image.layer_registers[:, MCNT, run.layer.index] >> 16 & 0x1FF
        enabled = np.flatnonzero(fields).tolist()
        if run.layer.bias is None or len(enabled) != 1 or not fields[enabled[0]] >> 8:
            if run.layer.bias is not None or enabled:
                yield Finding(run.layer.index, f"bias fields of MCNT by group: {fields.tolist()}")
            continue
        group, entries = enabled[0], (int(fields[enabled[0]]) & 0xFF) + run.output_masks
        if group and group not in {processor // 16 for processor in run.inputs}:
            yield Finding(run.layer.index, f"group {group} does not take part")
        elif entries[-1] >= evidence.device.bias_entries:
            yield Finding(run.layer.index, f"entries up to {entries[-1]}")
        else:
            due = run.layer.bias.view(np.uint8)
            wrong = (state[group, entries] != due) | ~written[group, entries] | (owner[group, entries] >= 0)
            for o in np.flatnonzero(wrong)[:1].tolist():
                yield Finding(run.layer.index, f"output channel {o}: entry {entries[o]} of group {group}")
            owner[group, entries] = run.layer.index


@program_rule("program-input", "6.1, 6.2", PROGRAM_RULES)
def network_input(evidence: Evidence) -> Iterator[Finding]:
    """The processors that read the network input find it, every channel and pixel, in their data memory instances."""
    for trace in (trace for trace in evidence.memory.layers if NETWORK_INPUT in trace.run.layer.sources):
        loaded = evidence.image.data(evidence.image.words)[trace.bytes_read // 4] >> 8 * (trace.bytes_read % 4) & 0xFF
        due = lifetimes.input_bytes(evidence.network, trace.run.layer, evidence.data)
        wrong = (loaded != due) | (trace.found != trace.due)
        wrong &= trace.due == lifetimes.LOADED
        yield from _wrong_bytes(evidence, trace, wrong)


@program_rule("program-read", "1.1, 1.5, 6.1", PROGRAM_RULES)
def read(evidence: Evidence) -> Iterator[Finding]:
    """Every processor finds in its own data memory instance what an earlier layer wrote for its input channel."""
    for trace in evidence.memory.layers:
        yield from _wrong_bytes(evidence, trace, (trace.due != lifetimes.LOADED) & (trace.found != trace.due))


def _wrong_bytes(
    evidence: Evidence, trace: lifetimes.LayerTrace, wrong: NDArray[np.bool_]
) -> Iterator[Finding]:
    for c, k in np.argwhere(wrong)[:1].tolist():
        word, lane = divmod(int(trace.bytes_read[c, k]), 4)
        held = lifetimes.describe(evidence.network, int(trace.found[c, k]))
        yield Finding(trace.run.layer.index, f"{np.count_nonzero(wrong)} wrong bytes, the first for input channel {c}, "
                      f"{lifetimes.pixel_name(k, trace.run.layer.width)}, processor {trace.run.inputs[c]}: lane {lane} "
                      f"of {word_name(evidence.device, word)} holds {held}")


@program_rule("program-overlap", "6.4", PROGRAM_RULES)
def overlap(evidence: Evidence) -> Iterator[Finding]:
    """No layer writes a word of data memory that it reads."""
    for trace in evidence.memory.layers:
        for word in trace.overwritten[:1].tolist():
            yield Finding(trace.run.layer.index, f"{len(trace.overwritten)} words, the first is "
                          f"{word_name(evidence.device, word)}")


@program_rule("program-capacity", "3.2, 6.4", PROGRAM_RULES)
def capacity(evidence: Evidence) -> Iterator[Finding]:
    """Input and output stay inside data memory instances, and those with output channels belong to started groups."""
    for trace in evidence.memory.layers:
        if trace.leaves:
            yield Finding(trace.run.layer.index, f"read pointer 0x{trace.run.read:x}, write pointer "
                          f"0x{trace.run.write:x}")
        for group in sorted({processor // 16 for processor in trace.run.outputs} - set(evidence.groups)):
            yield Finding(trace.run.layer.index, f"output in group {group}")


def _final_outputs(evidence: Evidence) -> NDArray[np.int64]:
    """The numbers of the last layer's outputs [channel, pixel]; none where the layers could not be followed so far."""
    count = len(evidence.network.layers)
    outputs = lifetimes.output_numbers(evidence.network, count - 1)
    return outputs if len(evidence.memory.layers) == count else outputs[:0]


def _owners_compared(evidence: Evidence) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of every check: owners of the four bytes (NEVER outside of data memory), and whether it looks at them."""
    made = accesses(evidence.program.check.operations)
    words = data_words(evidence.device, made.addresses)
    owners = np.where(words[:, None] < 0, lifetimes.NEVER, evidence.memory.owners[words])
    return owners, (made.masks[:, None] >> LANE_BITS & 0xFF) != 0


@program_rule("program-checks", "4.4, 6.5, 7.7", PROGRAM_RULES)
def checks(evidence: Evidence) -> Iterator[Finding]:
    """A check of the known answer compares whole bytes of data memory that hold outputs of the last layer."""
    outputs = _final_outputs(evidence)
    if not outputs.size:
        return
    made = accesses(evidence.program.check.operations)
    owners, compared = _owners_compared(evidence)
    whole = (made.masks[:, None] >> LANE_BITS & 0xFF) == np.where(compared, 0xFF, 0)
    wrong = ~compared.any(1) | ~whole.all(1) | ((owners < outputs[0, 0]) & compared).any(1)
    wrong |= (made.values & ~made.masks) != 0
    for n in np.flatnonzero(wrong)[:1].tolist():
        yield Finding(int(evidence.network.layers[-1].index), f"{np.count_nonzero(wrong)} wrong checks, the first is "
                      f"0x{made.addresses[n]:08x} & 0x{made.masks[n]:08x} == 0x{made.values[n]:08x}")


@program_rule("program-check-all", "7.7, 8.1", PROGRAM_RULES)
def check_all(evidence: Evidence) -> Iterator[Finding]:
    """Every output of the last layer is compared with the known answer."""
    outputs = _final_outputs(evidence)
    owners, compared = _owners_compared(evidence)
    missing = np.setdiff1d(outputs, owners[compared])
    for number in missing[:1].tolist():
        yield Finding(evidence.network.layers[-1].index, f"{len(missing)} are not, the first is "
                      f"{lifetimes.describe(evidence.network, number)}")


@program_rule("program-unload", "6.5, 8.1", PROGRAM_RULES)
def unload(evidence: Evidence) -> Iterator[Finding]:
    """Unloading reads every output of the last layer, in the order channel, row, column."""
    outputs, last = _final_outputs(evidence), evidence.network.layers[-1]
    lanes = evidence.runs[-1].outputs
    if len(lanes) != last.out_channels or list(lanes) != sorted(set(lanes)):
        yield Finding(last.index, f"{last.out_channels} channels from the bytes of processors {list(lanes)}")
    channel = 0
    for step in evidence.program.unload if outputs.size else ():
        rows = step.address + 4 * step.row_words * np.arange(step.rows)[:, None]
        words = data_words(evidence.device, (rows + 4 * np.arange(step.columns)).reshape(-1))
        found = np.where(words < 0, lifetimes.NEVER, evidence.memory.owners[words][:, list(step.lanes)].T)
        due = outputs[channel : channel + len(step.lanes)]
        if step.channel != channel or step.columns != last.out_width or not np.array_equal(found, due):
            yield Finding(last.index, f"channel {step.channel} from 0x{step.address:08x}")
        channel += len(step.lanes)
