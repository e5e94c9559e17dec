"""What --verbose prints: registers, kernel map, placement, all values, operation count (hardware reference 10)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Checkpoint
from .device import Device
from .kernelmap import kernel_map
from .network import Layer, Network
from .operations import Program, Section, Write
from .placement import LayerPlace, Placement, groups_of
from .reference import LayerValues, partial_sums
from .registers import RegisterValue


@dataclass(frozen=True)
class Operations:
    """Counts: multiply-accumulates, comparisons, additions; `true_macc` leaves out products with padding."""

    macc: int
    comp: int
    add: int
    true_macc: int


def count_operations(layer: Layer) -> Operations:
    """Operation counts of a layer (chapter 10)."""
    outputs = layer.out_channels * layer.out_height * layer.out_width
    pooled = layer.window[0] * layer.window[1] * layer.in_channels * layer.pooled_height * layer.pooled_width
    return Operations(
        macc=layer.in_channels * layer.kernel[0] * layer.kernel[1] * outputs,
        comp=(outputs if layer.activation else 0) + (pooled if layer.pool == "max" else 0),
        add=pooled if layer.pool == "avg" else 0,
        true_macc=layer.in_channels * layer.out_channels
        * _true_taps(layer.pooled_height, layer.pad_rows, layer.kernel[0], layer.dilation)
        * _true_taps(layer.pooled_width, layer.pad_columns, layer.kernel[1], 1),
    )  # fmt: skip


def _true_taps(size: int, pad: int, taps: int, distance: int) -> int:
    """Over all outputs of one dimension: kernel taps that fall on the image and not on padding."""
    starts = range(-pad, size + pad - (taps - 1) * distance)
    return sum(0 <= start + n * distance < size for start in starts for n in range(taps))


def total_operations(network: Network) -> Operations:
    """Operation counts of all layers, without the classification layer."""
    counts = [count_operations(layer) for layer in network.layers]
    return Operations(*(sum(getattr(c, name) for c in counts) for name in ("macc", "comp", "add", "true_macc")))


def verbose_listing(
    device: Device, network: Network, placement: Placement, registers: Iterable[RegisterValue], program: Program,
    sample: NDArray[np.int8], values: tuple[LayerValues, ...], clocks: tuple[int, ...],
) -> str:
    """Everything about one program, as text."""
    parts = [
        _section(program.section("cnn_init")),
        kernel_map(device, network, placement),
        *_placement(device, network, placement),
        "".join(f"G{r.group} L{r.layer} R{r.number:<2} ({device.layer_register(r.group, r.number, r.layer):08x}): "
                f"{r.value:08x} // {r.name}: {r.meaning}\n" for r in registers),
        _section(program.section("cnn_start")),
        *_values(network, sample, values),
        clock_table(device, clocks),
        operation_summary(network),
    ]  # fmt: skip
    return "\n".join(parts)


def clock_table(device: Device, clocks: tuple[int, ...]) -> str:
    """The estimated clocks of all layers, in the columns of the AI85 hardware reference 14.1."""
    rows = [("Startup", device.startup_clocks), *((f"Layer {n}", count) for n, count in enumerate(clocks))]
    rows = [(name, count) for name, count in (*rows, ("Total", sum(count for _, count in rows))) if count]
    return "Estimated clocks\n" + "".join(f"{name:9}{count:18,}\n" for name, count in rows)


def _section(section: Section) -> str:
    return "".join(f"({op.address:08x}): {op.value:08x} // {op.why}\n"
                   for op in section.operations if isinstance(op, Write))  # fmt: skip


def _placement(device: Device, network: Network, placement: Placement) -> Iterator[str]:
    bias_levels = dict.fromkeys(range(device.groups), 0)
    for place in placement.layers:
        if place.bias:
            bias_levels[place.bias.group] = place.bias.entry + place.bias.count
    yield (f"Used groups       = {list(placement.groups)}\n"
           f"Input offset      = 0x{placement.layers[0].in_offset:04x}\n"
           f"Bias entries used = {list(bias_levels.values())}\n")  # fmt: skip
    for layer, place in zip(network.layers, placement.layers, strict=True):
        bias = f"group {place.bias.group}, entry {place.bias.entry}" if place.bias else "none"
        yield (
            f"Layer {layer.index} ({layer.name})\n"
            f"  channels        = {layer.in_channels} -> {layer.out_channels}\n"
            f"  processors      = 0x{place.processors:016x}\n"
            f"  output map      = 0x{place.output_map:016x}\n"
            f"  groups          = {list(groups_of(device, [place.processors]))}\n"
            f"  kernel columns  = {_columns(place)}\n"
            f"  weights         = {layer.weight_bits} bits, sums shifted by {layer.output_shift}\n"
            f"  passes          = {place.in_passes} in, {place.out_passes} out\n"
            f"  padding         = {layer.pad}\n"
            f"  bias            = {bias}\n"
            f"  input offset    = 0x{place.in_offset:04x}\n"
            f"  output offset   = 0x{place.out_offset:04x}\n"
            f"  pooling         = {layer.pool or 'none'} {layer.pool_size}, stride {layer.pool_stride}\n"
        )


def _columns(place: LayerPlace) -> str:
    """First and last column, and whose they are where the layer has none of its own."""
    if not place.columns:
        return "none"
    shared = "" if place.stored else ", those of an earlier layer"
    return f"{place.kernel_column} to {place.kernel_column + place.columns[-1]}{shared}"


def _array(title: str, array: NDArray[Any]) -> str:
    """An array as text, one row a line. (NumPy's own formatting takes a second for a network's weights.)"""
    low, high = int(array.min()), int(array.max())
    width = max(len(str(low)), len(str(high))) + 1
    rows = array.reshape(-1, array.shape[-1])
    if high - low < 256:  # 8-bit values: looking a cell up is faster than formatting it
        cells = [f"{value:{width}d}" for value in range(low, high + 1)]
        lines = ["".join(map(cells.__getitem__, row)) for row in (rows.astype(np.int64) - low).tolist()]
    else:
        cell = f"%{width}d" * rows.shape[1]
        lines = [cell % tuple(row) for row in rows.tolist()]
    return f"{title} {'x'.join(map(str, array.shape))}:\n" + "\n".join(lines) + "\n"


def _values(network: Network, sample: NDArray[np.int8], values: tuple[LayerValues, ...]) -> Iterator[str]:
    yield _array("Network input", sample)
    for layer, value in zip(network.layers, values, strict=True):
        title = f"Layer {layer.index}:"
        if layer.pool:
            yield _array(f"{title} pooled input", value.pooled)
        if layer.convolves:
            yield _array(f"{title} kernels", layer.weight)
        if layer.bias is not None:
            yield _array(f"{title} bias", layer.bias)
        yield _array(f"{title} accumulator", value.accumulator)
        if layer.activation:
            yield _array(f"{title} output before activation", value.scaled)
        yield _array(f"{title} output", value.output)


def computation_listing(network: Network, values: tuple[LayerValues, ...]) -> str:
    """The sums of all layers, without bias, after every input channel."""
    return "".join(
        _array(f"Layer {layer.index}: sums after input channel {channel}", sums)
        for layer, value in zip(network.layers, values, strict=True)
        for channel, sums in enumerate(partial_sums(layer, value.pooled))
    )


def bus_listing(program: Program) -> str:
    """Every bus access of a program, a line each: kind as in `Access`, address, mask of a read, value, reason."""
    lines = [f"Program: {section.why}\n" + "".join(_bus_lines(section))
             for section in (*program.load, program.wait, program.check, program.stop)]  # fmt: skip
    return "\n".join(lines)


def _bus_lines(section: Section) -> Iterator[str]:
    for operation in section.operations:
        for access in operation.accesses():
            mask = f" {access.mask:08x}" if access.kind == "P" else ""
            yield f"{access.kind} {access.address:08x}{mask} {access.value:08x} // {operation.why}\n"


def checkpoint_listing(checkpoint: Checkpoint) -> str:
    """Names, shapes and ranges of all weights and biases of a checkpoint."""
    lines = [f"Checkpoint of {checkpoint.arch}"]
    for layer in [*checkpoint.convolutions, *([checkpoint.fc] if checkpoint.fc else [])]:
        for kind, values in (("weight", layer.weight), ("bias", layer.bias)):
            if values is not None:
                shape = "x".join(map(str, values.shape))
                lines.append(f"  {layer.name}.{kind}: {shape}, {values.min()} to {values.max()}")
    return "\n".join(lines) + "\n"


def operation_summary(network: Network) -> str:
    """The operation counts of the network as text."""
    total = total_operations(network)
    lines = [
        f"Hardware: {total.macc + total.comp + total.add:,} ops ({total.macc:,} macc; {total.comp:,} comp; "
        f"{total.add:,} add; {total.true_macc:,} macc without padding)"
    ]
    if network.fc is not None:
        lines.append(f"Software: {network.fc.weight.size:,} macc")
    return "\n".join(lines) + "\n"
