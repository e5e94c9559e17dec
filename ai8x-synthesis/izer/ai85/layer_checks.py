"""Checks of a finished program for AI85: what layers find in registers, weight memory and bias memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..network import Layer
from ..program_rules import Finding, ProgramRule, program_rule
from .evidence import (
    BIAS_FIELDS,
    CCNT,
    ENA,
    LCTL,
    LCTL2,
    MCNT,
    ONED,
    PCCNT,
    POST,
    PRCNT,
    RCNT,
    RPTR_BASE,
    STRIDE,
    TPTR,
    WPTR_BASE,
    WPTR_CHOFFS,
    WPTR_MOFFS,
    WPTR_TOFFS,
    Evidence,
)
from .execution import COLUMN, IMAGE, POINT, QUADRANT, LayerRun, kernel_bits, kernels_due, per_pass
from .packed import COLUMN_BYTES

REGISTER_NAMES = ("RCNT", "CCNT", "ONED", "PRCNT", "PCCNT", "STRIDE", "WPTR_BASE", "WPTR_TOFFS", "WPTR_MOFFS",
                  "WPTR_CHOFFS", "RPTR_BASE", "LCTL", "MCNT", "TPTR", "ENA", "POST", "STREAM1", "STREAM2", "FMAX",
                  "IFRM", "LCTL2")  # fmt: skip
WIDTH_CODES = {8: 0, 1: 1, 2: 2, 4: 3}  # POST 23:22 (1.4)
PASS_BITS = 4  # of the passes - 1 of a flattened image, so many are in LCTL2

LAYER_CHECKS: list[ProgramRule[Evidence]] = []


@program_rule("program-enables", "1.5, 4.5.8", LAYER_CHECKS)
def enables(evidence: Evidence) -> Iterator[Finding]:
    """A layer has one enabled processor per input channel; above 64 channels, per channel of a pass."""
    for run in evidence.runs:
        due = per_pass(run.layer.in_channels)
        if len(run.inputs) != due:
            yield Finding(run.layer.index, f"{len(run.inputs)} enabled for {run.layer.in_channels} input channels, "
                          f"{due} are needed")


@program_rule("program-registers", "3.4, 4.5", LAYER_CHECKS)
def registers(evidence: Evidence) -> Iterator[Finding]:
    """All registers of a layer have, in every started quadrant, the values that its shapes and its maps require."""
    state = evidence.image.layer_registers
    for run in (run for run in evidence.runs if run.complete):
        for group in evidence.groups:
            due = np.zeros(len(REGISTER_NAMES), np.int64)
            for number, value in _required(evidence.device, run, group).items():
                due[number] = value
            given = state[group, :, run.layer.index].copy()
            given[POST] &= ~BIAS_FIELDS  # the bias has a check of its own
            for number in np.flatnonzero(given != due).tolist():
                yield Finding(run.layer.index, f"{REGISTER_NAMES[number]} of quadrant {group} is "
                              f"0x{given[number]:08x}, 0x{due[number]:08x} must be written")


def _required(device: Device, run: LayerRun, group: int) -> dict[int, int]:
    """Register values by number, without the bias; those that are not here are 0.

    The read pointer, offset and instance of the write pointer, and the first kernel are free, but the same in all
    quadrants.
    """
    layer, executed = run.layer, run.execution
    pad_rows, pad_columns = executed.pads
    return {
        RCNT: executed.rows - 1 + 2 * pad_rows | pad_rows << 16,
        CCNT: executed.columns - 1 + 2 * pad_columns | pad_columns << 16,
        PRCNT: layer.window[0] - 1,
        PCCNT: layer.window[1] - 1,
        STRIDE: layer.pool_stride - 1,
        WPTR_BASE: run.writes[0] % device.instance_words | _instance(run, group) * device.instance_words,
        RPTR_BASE: run.read,
        LCTL: _layer_control(run) | (_partial_sums(run) if group == 0 else 0),
        ENA: sum((0x10001 if layer.convolves else 1) << p % QUADRANT for p in run.enabled(group)),
    } | (_convolution(device, run) if layer.convolves else _pass_through(device, run))


def _instance(run: LayerRun, group: int) -> int:
    """The instance that a quadrant's outputs begin in (4.5.3); those of a convolution all come from quadrant 0."""
    if run.layer.convolves:
        return run.first_output // 4
    return next((processor // 4 for processor in run.outputs if processor // QUADRANT == group), 0)


def _convolution(device: Device, run: LayerRun) -> dict[int, int]:
    """Counters, kernel and scaling of a layer with weights (4.5.3, 4.5.6 to 4.5.10)."""
    layer, executed = run.layer, run.execution
    first, within = divmod(run.first_byte, executed.taps)
    kernel = {COLUMN: executed.taps << 8 | 1 << 12, POINT: 1 << 8, IMAGE: 0}[executed.kind]
    masks = run.slot_count * run.steps
    shift = -layer.output_shift | 16 if layer.output_shift < 0 else layer.output_shift
    many = layer.flatten and run.steps > 1 << PASS_BITS
    post = WIDTH_CODES[layer.weight_bits] << 22 | shift << 13 | (layer.activation == "abs") << 26
    return {
        ONED: within << 4 | kernel,
        WPTR_TOFFS: 1 if executed.kind == POINT else 0,
        WPTR_MOFFS: device.instance_words,
        WPTR_CHOFFS: (4 if layer.wide else 1) if run.out_passes > 1 else 0,
        MCNT: 8 * first << 16 | 8 * first + (masks - 1) * layer.weight_bits,
        TPTR: _row_buffer(run) if not many else run.steps - 1 << 16 | 2 * (run.steps - 1) + 1,
        POST: post | (1 << 27 | run.steps - 1 >> PASS_BITS << 18 if many else 0),
        LCTL2: run.steps - 1 & 15 | run.out_passes - 1 << 4 | (run.lanes - 1) * layer.weight_bits << 8,
    }


def _row_buffer(run: LayerRun) -> int:
    """TPTR of an image that is not flattened: the pixels of a padded row, less the kernel's columns (4.5.8)."""
    columns = run.layer.pooled_width if run.layer.dilation == 1 else run.execution.columns
    return max(0, columns + 2 * run.execution.pads[1] - 3) if run.execution.kind == IMAGE else 0


def _pass_through(device: Device, run: LayerRun) -> dict[int, int]:
    """Time slots and passes of a layer without weights (4.5.3, 4.5.6 to 4.5.8, 4.5.10)."""
    slots = max(-(-len(run.enabled(group)) // 4) for group in run.groups)
    return {
        ONED: slots - 1 | 1 << 8,
        WPTR_TOFFS: device.instance_words if len(run.inputs) > 4 else 2048,
        WPTR_CHOFFS: 1 if run.out_passes > 1 else 0,
        MCNT: (run.out_passes - 1) * 8,
        POST: 3 << 24,
        LCTL2: run.in_passes - 1,
    }


def _layer_control(run: LayerRun) -> int:
    """LCTL without the quadrants to sum (4.5.5)."""
    layer = run.layer
    pools = layer.window != (1, 1)
    modes = {1 << 6: run.chw, 1 << 7: pools, 1 << 8: layer.pool != "avg", 1 << 9: layer.relu, 1 << 16: layer.wide}
    return 1 << 5 | 1 << 11 | sum(bit for bit, chosen in modes.items() if chosen)


def _partial_sums(run: LayerRun) -> int:
    """A bit for every quadrant but the master that has enabled processors or the bias (4.5.9)."""
    biases = {group for group, field in enumerate(run.bias) if field}
    return sum(1 << 12 + group for group in (run.groups | biases) - {0}) if run.layer.convolves else 0


@program_rule("program-unused-layers", "4.5", LAYER_CHECKS)
def unused_layers(evidence: Evidence) -> Iterator[Finding]:
    """Registers of layers that the network does not have, and of quadrants that are not started, are 0."""
    state = evidence.image.layer_registers.copy()
    state[np.array(evidence.groups, np.int64), :, : len(evidence.network.layers)] = 0
    for group, register, layer in np.argwhere(state).tolist():
        yield Finding(None, f"{REGISTER_NAMES[register]} of quadrant {group}, layer {layer}")


@program_rule("program-kernels", "5.1 to 5.4, 5.12", LAYER_CHECKS)
def kernels(evidence: Evidence) -> Iterator[Finding]:
    """
    Every enabled processor finds the network's kernel, all its bits, for every output channel and input pass in weight
    memory that was written; no byte there serves layers with different kernels, and the first is at a column's begin.
    """
    streams, loaded = evidence.image.columns.streams, evidence.image.columns.loaded
    owner = np.full(streams.shape, -1, np.int16)
    for run in (run for run in evidence.runs if run.complete and run.layer.convolves):
        places, bit = kernel_bits(run)
        if places.max() >= streams.shape[1] or run.first_byte % COLUMN_BYTES:
            yield Finding(run.layer.index, f"bytes {run.first_byte} to {places.max()} of weight memory")
            continue
        inputs = np.array(run.inputs)
        found = streams[inputs][:, places] >> bit ^ kernels_due(run).view(np.uint8)
        wrong = (found & ((1 << run.layer.weight_bits) - 1) > 0) | ~loaded[inputs][:, places // COLUMN_BYTES]
        yield from _wrong_kernels(run, wrong.any(3))
        used = np.ix_(inputs, np.unique(places))
        for other in np.unique(owner[used]).tolist():
            if other >= 0 and not _same_kernels(evidence.network.layers[other], run.layer):
                yield Finding(run.layer.index, f"bytes that are layer {other}'s")
        owner[used] = run.layer.index


def _wrong_kernels(run: LayerRun, wrong: NDArray[np.bool_]) -> Iterator[Finding]:
    """One finding for many kernels, bool [processor, output channel, step]."""
    for place, o, step in np.argwhere(wrong)[:1].tolist():
        yield Finding(run.layer.index, f"{wrong.sum()} wrong, the first for output channel {o}, pass {step}: processor "
                      f"{run.inputs[place]}")


def _same_kernels(one: Layer, other: Layer) -> bool:
    return one.weight_bits == other.weight_bits and np.array_equal(one.weight, other.weight)


@program_rule("program-bias", "4.5.9, 6", LAYER_CHECKS)
def bias(evidence: Evidence) -> Iterator[Finding]:
    """
    A layer with bias has it enabled in one started quadrant, whose bias memory holds an entry for every output channel,
    as far from the first as the channel's output slot; a layer without bias has it enabled nowhere.
    """
    state, written = evidence.image.biases(evidence.image.words), evidence.image.biases(evidence.image.written)
    for run in (run for run in evidence.runs if run.complete):
        fields = {group: field for group, field in enumerate(run.bias) if field}
        (group, field), *more = [*fields.items(), (-1, 0)]
        if run.layer.bias is None:
            right = not fields
        else:
            right = len(more) == 1 and field >> 12 == 1 and group in evidence.groups
        if not right:
            yield Finding(run.layer.index, f"bias fields of POST by quadrant: {list(run.bias)}")
        elif run.layer.bias is not None:
            entries = (field & 0xFFF) + run.slots
            inside = entries < evidence.device.bias_entries
            at = group, entries % evidence.device.bias_entries
            wrong = (state[at] != run.layer.bias.view(np.uint8)) | ~written[at] | ~inside
            for o in np.flatnonzero(wrong)[:1].tolist():
                yield Finding(run.layer.index, f"output channel {o}: entry {entries[o]} of quadrant {group}")
