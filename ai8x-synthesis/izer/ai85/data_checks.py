"""Checks of a finished program for AI85: what layers, known answer and unloading find in data memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..busimage import data_words
from ..lifetimes import LOADED, NEVER, describe, input_bytes, output_numbers, pixel_name
from ..operations import Unload
from ..program_rules import Finding, ProgramRule, program_rule, word_name
from ..yamlvalues import NETWORK_INPUT
from .evidence import Evidence
from .execution import PROCESSORS, QUADRANT
from .lifetimes import LayerTrace

LANE_BITS = 8 * np.arange(4)

DATA_CHECKS: list[ProgramRule[Evidence]] = []


@program_rule("program-input", "7.1, 7.2, 7.9", DATA_CHECKS)
def network_input(evidence: Evidence) -> Iterator[Finding]:
    """The processors that read the network input find it, every channel and pixel, in their data memory instances."""
    words = evidence.image.data(evidence.image.words)
    for trace in (trace for trace in evidence.memory.layers if NETWORK_INPUT in trace.run.layer.sources):
        loaded = words[trace.bytes_read // 4 % len(words)] >> 8 * (trace.bytes_read % 4) & 0xFF
        due = input_bytes(evidence.network, trace.run.layer, evidence.data)
        wrong = (loaded != due) | (trace.found != trace.due)
        yield from _wrong_bytes(evidence, trace, wrong & (trace.due == LOADED))


@program_rule("program-read", "1.5, 7.1, 7.3 to 7.5", DATA_CHECKS)
def read(evidence: Evidence) -> Iterator[Finding]:
    """
    Every processor finds in its own data memory instance, in every pass, what an earlier layer wrote for its input
    channel.
    """
    for trace in evidence.memory.layers:
        yield from _wrong_bytes(evidence, trace, (trace.due != LOADED) & (trace.found != trace.due))


def _wrong_bytes(evidence: Evidence, trace: LayerTrace, wrong: NDArray[np.bool_]) -> Iterator[Finding]:
    """One finding for many bytes [channel, pixel]."""
    for c, k in np.argwhere(wrong)[:1].tolist():
        word, lane = divmod(int(trace.bytes_read[c, k]), 4)
        held = describe(evidence.network, int(trace.found[c, k]))
        processor = trace.run.inputs[c % len(trace.run.inputs)]
        yield Finding(trace.run.layer.index, f"{np.count_nonzero(wrong)} wrong bytes, the first for input channel {c}, "
                      f"{pixel_name(k, trace.run.layer.width)}, processor {processor}: lane {lane} of "
                      f"{word_name(evidence.device, word)} holds {held}")


@program_rule("program-overlap", "10.4", DATA_CHECKS)
def overlap(evidence: Evidence) -> Iterator[Finding]:
    """No layer writes a word of data memory that it reads."""
    for trace in evidence.memory.layers:
        for word in trace.overwritten[:1].tolist():
            yield Finding(trace.run.layer.index, f"{len(trace.overwritten)} words, the first is "
                          f"{word_name(evidence.device, word)}")


@program_rule("program-capacity", "4.4, 7.8", DATA_CHECKS)
def capacity(evidence: Evidence) -> Iterator[Finding]:
    """
    Input and output stay inside data memory instances, and those with output channels belong to started quadrants.
    """
    for trace in evidence.memory.layers:
        run = trace.run
        if trace.leaves:
            yield Finding(run.layer.index, f"read pointer 0x{run.read:x}, write pointers "
                          + ", ".join(f"0x{write:x}" for write in run.writes))
        for group in sorted({processor // QUADRANT for processor in run.outputs} - set(evidence.groups)):
            yield Finding(run.layer.index, f"output in quadrant {group}")


def _final_outputs(evidence: Evidence) -> NDArray[np.int64]:
    """The numbers of the last layer's outputs [channel, pixel]; none where the layers could not be followed so far."""
    count = len(evidence.network.layers)
    outputs = output_numbers(evidence.network, count - 1)
    return outputs if len(evidence.memory.layers) == count else outputs[:0]


def _owners_compared(evidence: Evidence) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of every check: owners of the four bytes (NEVER outside of data memory), and whether it looks at them."""
    made = evidence.answer
    words = data_words(evidence.device, made.addresses)
    owners = np.where(words[:, None] < 0, NEVER, evidence.memory.owners[words])
    return owners, (made.masks[:, None] >> LANE_BITS & 0xFF) != 0


@program_rule("program-checks", "9.4", DATA_CHECKS)
def checks(evidence: Evidence) -> Iterator[Finding]:
    """
    A check of the known answer compares whole bytes of data memory that hold outputs of the last layer, whole words
    where these are wide.
    """
    outputs, last = _final_outputs(evidence), evidence.network.layers[-1]
    if not outputs.size:
        return
    made = evidence.answer
    owners, compared = _owners_compared(evidence)
    whole = (made.masks[:, None] >> LANE_BITS & 0xFF) == np.where(compared | last.wide, 0xFF, 0)
    wrong = ~compared.any(1) | ~whole.all(1) | ((owners < outputs[0, 0]) & compared).any(1)
    wrong |= (made.values & ~made.masks) != 0
    for n in np.flatnonzero(wrong)[:1].tolist():
        yield Finding(last.index, f"{np.count_nonzero(wrong)} wrong checks, the first is 0x{made.addresses[n]:08x} & "
                      f"0x{made.masks[n]:08x} == 0x{made.values[n]:08x}")


@program_rule("program-check-all", "9.4", DATA_CHECKS)
def check_all(evidence: Evidence) -> Iterator[Finding]:
    """Every output of the last layer is compared with the known answer."""
    outputs = _final_outputs(evidence)
    owners, compared = _owners_compared(evidence)
    missing = outputs[~np.isin(outputs, owners[compared], kind="table")]
    for number in missing[:1].tolist():
        yield Finding(evidence.network.layers[-1].index, f"{len(missing)} are not, the first is "
                      f"{describe(evidence.network, number)}")


@program_rule("program-unload", "9.1, 9.2", DATA_CHECKS)
def unload(evidence: Evidence) -> Iterator[Finding]:
    """Unloading reads every output of the last layer, in the order channel, row, column."""
    outputs, last = _final_outputs(evidence), evidence.network.layers[-1]
    run = evidence.runs[-1]
    count = sum(len(step.lanes) for step in evidence.program.unload)
    if count != last.out_channels or list(run.outputs) != sorted({p for p in run.outputs if 0 <= p < PROCESSORS}):
        yield Finding(last.index, f"{count} of {last.out_channels} channels, the first from the bytes of processors "
                      f"{list(run.outputs)}")
    channel = 0
    for step in evidence.program.unload if outputs.size else ():
        due = outputs[channel : channel + len(step.lanes)]
        shape = step.channel, step.columns, step.wide
        if shape != (channel, last.out_width, last.wide) or not np.array_equal(_unloaded(evidence, step), due):
            yield Finding(last.index, f"channel {step.channel} from 0x{step.address:08x}")
        channel += len(step.lanes)


def _unloaded(evidence: Evidence, step: Unload) -> NDArray[np.int64]:
    """Whose values an operation reads, [lane, pixel]; NEVER where the four bytes of a word have several owners."""
    pixels = step.row_words * np.arange(step.rows)[:, None] + step.pixel_words * np.arange(step.columns)
    lanes = np.array(step.lanes)[:, None]
    at = pixels.reshape(-1) + (lanes if step.wide else 0 * lanes)
    words = data_words(evidence.device, step.address + 4 * at)
    owners = evidence.memory.owners[words]
    found = owners[..., 0] if step.wide else np.take_along_axis(owners, lanes[:, :, None] % 4, 2)[..., 0]
    mixed = (owners != owners[..., :1]).any(2) if step.wide else np.zeros(words.shape, np.bool_)
    return np.where((words < 0) | mixed, NEVER, found)
