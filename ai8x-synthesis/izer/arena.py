"""The memory that a network needs in software: all buffers share one arena, planned when the code is generated.

A chain of layers needs, at any time, the data that a function reads and what it writes. Of these two, one lies at the
low end of the arena and the other at the high end; what is between is scratch memory. So the arena is as large as the
most that any call needs, and not larger.
"""

from dataclasses import dataclass

from .network import Layer, Network

ALIGNMENT = 4  # bytes; the library's fast functions read words


@dataclass(frozen=True)
class Buffer:
    """Bytes of the arena: a multiple of 4 from its start, and the size of the data."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first byte behind it, aligned."""
        return self.offset + aligned(self.size)


@dataclass(frozen=True)
class LayerBuffers:
    """Buffers of one layer. `source` is None where it reads the network input, `pooled` where it does not pool.

    Pooling may overwrite its source, since it goes forward and `pooled` does not begin behind `source`; `source` is not
    needed any more then. The convolution reads `pooled`, or `source`, and uses `columns`.
    """

    source: Buffer | None
    pooled: Buffer | None
    columns: Buffer
    output: Buffer


@dataclass(frozen=True)
class Plan:
    """Size of the arena in bytes, the buffers of each layer, and the scratch memory of the classification layer."""

    size: int
    layers: tuple[LayerBuffers, ...]
    scratch: Buffer | None


def aligned(size: int) -> int:
    """The size with the bytes that keep the next buffer aligned."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def column_bytes(layer: Layer) -> int:
    """Two unrolled windows of 16-bit values: the column buffer (AI84 hardware reference 13.3)."""
    return 2 * 2 * layer.in_channels * layer.kernel[0] * layer.kernel[1]


def input_bytes(layer: Layer) -> int:
    """The input of a layer before pooling, a byte a value."""
    return layer.in_channels * layer.height * layer.width


def pooled_bytes(layer: Layer) -> int:
    """The input of a layer after pooling."""
    return layer.in_channels * layer.pooled_height * layer.pooled_width


def output_bytes(layer: Layer) -> int:
    """The output of a layer."""
    return layer.out_channels * layer.out_height * layer.out_width


def arena_size(network: Network) -> int:
    """The most bytes that any step has in use: a pooling, a convolution, or the classification layer."""
    steps = [2 * network.outputs + aligned(network.outputs)] if network.fc else []
    for layer in network.layers:
        steps.append(input_bytes(layer) if layer.index and layer.pool else 0)
        data = pooled_bytes(layer) if layer.index or layer.pool else 0  # the network input is not in RAM
        steps.append(sum(map(aligned, (data, column_bytes(layer), output_bytes(layer)))))
    return aligned(max(steps))


def plan(network: Network) -> Plan:
    """Place all buffers of a chain of layers."""
    size = arena_size(network)
    layers: list[LayerBuffers] = []
    for layer in network.layers:
        source = layers[-1].output if layers else None
        layers.append(_place(layer, source, size))
    scratch = _beside(layers[-1].output, 2 * network.outputs) if network.fc else None
    return Plan(size, tuple(layers), scratch)


def _place(layer: Layer, source: Buffer | None, size: int) -> LayerBuffers:
    """Pooled data goes to the low end, wherever it comes from; the output to the other end than the input."""
    pooled = Buffer(0, pooled_bytes(layer)) if layer.pool else None
    data = pooled or source
    columns = column_bytes(layer)
    if data and data.offset == 0:
        output = Buffer(size - aligned(output_bytes(layer)), output_bytes(layer))
        return LayerBuffers(source, pooled, Buffer(data.end, columns), output)
    output = Buffer(0, output_bytes(layer))
    return LayerBuffers(source, pooled, Buffer(output.end, columns), output)


def _beside(data: Buffer, size: int) -> Buffer:
    """Scratch memory behind data at the low end, or at the low end."""
    return Buffer(data.end if data.offset == 0 else 0, size)
