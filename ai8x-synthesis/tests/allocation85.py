"""Which columns of weight memory and which bias entries the layers of a drawn network get on AI85.

Written from the AI85 hardware reference, chapters 5 and 6, without the generator, so that its placement can be
compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from network_files85 import DrawnLayer85, DrawnNetwork85, passes

COLUMNS, ENTRIES = 768, 512


def bits(bitmap: int) -> list[int]:
    """Positions of the set bits."""
    return [n for n in range(bitmap.bit_length()) if bitmap >> n & 1]


@dataclass(frozen=True)
class Columns:
    """What a layer takes of the weight memory of its processors: the first column, and those that it writes."""

    start: int
    written: tuple[int, ...]


def taps(layer: DrawnLayer85) -> int:
    """Weights of a kernel as hardware sees it (4.3.2, 4.3.3)."""
    shape = layer.shape
    if shape.flatten or shape.op == "linear":
        return 1
    if shape.op == "conv1d" and not shape.long:
        return (shape.kernel[0] - 1) * shape.dilation + 1
    return 9 if shape.long else shape.kernel[0] * shape.kernel[1]


def needed(layer: DrawnLayer85) -> tuple[int, tuple[int, ...]]:
    """The columns that are looked for, and the columns behind the first that are written (5.5, 5.6)."""
    q, together = layer.bits, 8 // layer.bits
    e_in, e_out = passes(layer.channels), passes(layer.out_channels)
    used = bits(layer.outputs)
    skew = used[0] % 4
    first = used[0] - skew if e_out > 1 else used[0]
    if layer.shape.flatten:
        weights = e_in * layer.shape.dims[0] * layer.shape.dims[1]
        count = ((1 + used[-1] - first) * e_out - (e_out * len(used) - layer.out_channels)) * weights
        length = (count * q + count % together * (together - 1) + 71) // 72
        return length, tuple(range(-(-count * q // 72)))
    size, count = taps(layer), (1 + used[-1] - first) * e_out * e_in
    length = (count * size * q + count % together * size * (together - 1) + 71) // 72
    skipped = skew * size * e_in // 9
    stream = -(-(count + skew * e_in * e_out) // together) * size  # bytes, more than `length` has for short kernels
    end = max(skipped + length, -(-stream // 9))
    holes = {n - used[0] + skew for n in range(used[0], used[-1]) if not layer.outputs >> n & 1}
    return length, tuple(n for n in range(skipped, end) if n not in holes)


def same_kernels(one: DrawnLayer85, other: DrawnLayer85) -> bool:
    """Whether two layers share their weights (4.3.7), and the lanes of their outputs."""
    maps = [layer.outputs >> (bits(layer.outputs)[0] & ~3) for layer in (one, other)]
    return (one.weighted and other.weighted and one.processors == other.processors and one.bits == other.bits
            and one.shape.flatten == other.shape.flatten and maps[0] == maps[1] and taps(one) == taps(other)
            and _kernels(one).shape == _kernels(other).shape and bool((_kernels(one) == _kernels(other)).all()))


def _kernels(layer: DrawnLayer85) -> np.ndarray:
    """Weights as hardware has them: [K, C, taps], dilated ones with zeros between them."""
    shape, weights = layer.shape, layer.weights
    if shape.flatten:
        return weights.reshape(layer.out_channels, layer.channels, *shape.dims)
    if shape.op == "conv1d" and shape.long:
        image = np.zeros((*weights.shape[:2], 3, 3), np.int64)
        image[:, :, 3 - shape.kernel[0] :, 1] = weights
        return image
    if shape.op == "conv1d":
        stretched = np.zeros((*weights.shape[:2], (shape.kernel[0] - 1) * shape.dilation + 1, 1), np.int64)
        stretched[:, :, :: shape.dilation, 0] = weights
        return stretched
    return weights.reshape(*weights.shape[:2], *(shape.kernel if shape.op == "conv2d" else (1, 1)))


def place_columns(network: DrawnNetwork85) -> list[Columns | None]:
    """Columns of every layer (5.7); None where it has no weights."""
    layers = network.layers
    places: list[Columns | None] = [None] * len(layers)
    free = np.ones((64, 4 * COLUMNS), np.bool_)
    for n in sorted(range(len(layers)), key=lambda n: layers[n].processors != 2**64 - 1):
        if not layers[n].weighted:
            continue
        shared = [m for m in range(n) if network.deduplicate and same_kernels(layers[m], layers[n])]
        if shared:
            places[n] = places[shared[0]]
            continue
        length, written = needed(layers[n])
        open_ = free[bits(layers[n].processors)].all(0)
        start = next((c for c in range(0, 3 * COLUMNS, 4) if open_[c : c + length].all()), 3 * COLUMNS)
        places[n] = Columns(start, written)
        free[np.ix_(bits(layers[n].processors), [c for c in start + np.array(written) if c < 4 * COLUMNS])] = False
    return places


def columns_fit(network: DrawnNetwork85) -> bool:
    """Whether the memory is large enough, and no column has weights of two layers."""
    owners = np.zeros((64, COLUMNS), np.int64)
    places = {id(place): (layer, place) for layer, place in zip(network.layers, place_columns(network), strict=True)}
    for layer, place in places.values():
        if place:
            if place.start + place.written[-1] >= COLUMNS:
                return False
            owners[np.ix_(bits(layer.processors), place.start + np.array(place.written))] += 1
    return bool((owners <= 1).all())


def bias_lengths(network: DrawnNetwork85, used: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Layer, quadrant and first entry of every bias, in the order in which they get their place (6)."""
    layers = network.layers
    allowed = [layer.bias_group or tuple(used) for layer in layers]
    lengths = [layer.out_channels + bits(layer.outputs)[0] % 4 * passes(layer.out_channels) for layer in layers]
    order = [n for n, layer in enumerate(layers) if layer.weighted and layer.biases is not None]
    order.sort(key=lambda n: (not layers[n].shape.flatten, len(allowed[n]) > 1,
                              -lengths[n] if len(allowed[n]) > 1 else 0))  # fmt: skip
    filled = dict.fromkeys(used, 0)
    for n in order:
        group = min(sorted(allowed[n]), key=lambda g: filled[g])
        yield n, group, filled[group]
        filled[group] += lengths[n]
        if filled[group] > ENTRIES:
            yield n, group, ENTRIES


def biases_fit(network: DrawnNetwork85, used: Sequence[int]) -> bool:
    """Whether the bias memories are large enough without de-duplication."""
    return all(entry < ENTRIES for _, _, entry in bias_lengths(network, used))
