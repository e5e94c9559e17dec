"""Weights to mask RAM contents (AI84 hardware reference, chapter 4)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..network import Layer, Network
from ..operations import CopyKernels
from ..placement import LayerPlace, Placement, set_bits


def pack(kernels: NDArray[np.int8]) -> NDArray[np.uint32]:
    """Kernel bytes k0 to k8, int8 [..., 9] in row-major order, to words 0 to 2, uint32 [..., 3] (4.2)."""
    k = kernels.view(np.uint8).astype(np.uint32)
    words = [k[..., 0], *(k[..., n] << 24 | k[..., n + 1] << 16 | k[..., n + 2] << 8 | k[..., n + 3] for n in (1, 5))]
    return np.stack(words, -1)


def _layer_kernels(layer: Layer, place: LayerPlace) -> tuple[list[int], list[int], NDArray[np.uint32]]:
    """Processors, columns and packed kernels uint32 [processor, column, 3] of one layer (4.1)."""
    processors = set_bits(place.processors)
    columns = [place.kernel_column + mask for mask in place.masks]
    by_processor = np.ascontiguousarray(layer.weight.transpose(1, 0, 2, 3))
    return processors, columns, pack(by_processor.reshape(len(processors), len(columns), 9))


def kernel_stores(device: Device, network: Network, placement: Placement) -> Iterator[CopyKernels]:
    """Only the programmed columns: layer by layer, processor by processor, each run of adjacent columns (4.6)."""
    for layer, place in zip(network.layers, placement.layers, strict=True):
        processors, columns, words = _layer_kernels(layer, place)
        breaks = [n for n in range(1, len(columns)) if columns[n] != columns[n - 1] + 1]
        for row, processor in enumerate(processors):
            for start, stop in zip([0, *breaks], [*breaks, len(columns)], strict=True):
                yield CopyKernels(
                    f"kernels_{layer.index}_{processor}_{columns[start]}", device.kernel(processor, columns[start]),
                    words[row, start:stop], f"layer {layer.index}, processor {processor}, column {columns[start]} on",
                )  # fmt: skip


@dataclass(frozen=True)
class _Block:
    """Adjacent processors of one group whose mask RAMs are written as one array."""

    processors: tuple[int, ...]
    columns: int  # of the last processor; the others use all


def kernel_arrays(device: Device, network: Network, placement: Placement) -> Iterator[CopyKernels]:
    """All columns up to a processor's last used one, zeros where unprogrammed; full neighbours are merged (4.6)."""
    image = np.zeros((device.processors, device.mask_columns, 3), np.uint32)
    for layer, place in zip(network.layers, placement.layers, strict=True):
        processors, columns, words = _layer_kernels(layer, place)
        image[np.ix_(processors, columns)] = words
    for block in _blocks(device, placement.columns_used):
        first, last = block.processors[0], block.processors[-1]
        words = np.concatenate([image[first:last].reshape(-1, 3), image[last, : block.columns]])
        why = f"processor {first}" if first == last else f"processors {first} to {last}"
        yield CopyKernels(f"kernels_{first}", device.kernel(first, 0), words, why)


def _blocks(device: Device, used: dict[int, int]) -> list[_Block]:
    blocks: list[_Block] = []
    for processor in sorted(used):
        merge = (
            blocks
            and blocks[-1].processors[-1] == processor - 1
            and processor % device.group_processors
            and blocks[-1].columns == device.mask_columns
        )
        before = blocks.pop().processors if merge else ()
        blocks.append(_Block((*before, processor), used[processor]))
    return blocks
