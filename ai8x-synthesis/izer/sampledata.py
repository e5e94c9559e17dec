"""The sample input, and how a network input lies in data memory (AI84 hardware reference, chapters 6 and 14)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .device import Device
from .errors import IzerError
from .network import Network
from .operations import Copy
from .placement import LayerPlace, set_bits


@dataclass(frozen=True)
class Sample:
    """A network input: integers [C, H, W]; `label` is its true class, where a file beside it tells."""

    path: str
    data: NDArray[np.int64]
    label: int | None


def read_sample(path: Path) -> Sample:
    """Read a sample: a NumPy file with integers [C, H, W], and its label from the JSON file of the same name, if any.

    Raises IzerError if a file is missing or holds something else.
    """
    try:
        data = np.load(path, allow_pickle=False)
    except OSError as error:
        raise IzerError(f"{path}: cannot read the sample input: {error.strerror or error}. Make one with "
                        "train.py --evaluate -8 --save-sample N, or name one with --sample-input.") from None
    except (ValueError, EOFError) as error:
        raise IzerError(f"{path}: not a NumPy file with a sample input ({error}).") from None
    if isinstance(data, np.ndarray) and data.ndim == 2:
        data = data[:, :, None]  # one-dimensional data
    if not isinstance(data, np.ndarray) or data.ndim != 3 or data.size == 0 or data.dtype.kind not in "iu":
        raise IzerError(f"{path}: a sample input is an array of integers [C, H, W] or [C, L].")
    return Sample(str(path), data.astype(np.int64), _label(path.with_suffix(".json")))


def _label(path: Path) -> int | None:
    if not path.exists():
        return None
    try:
        label = json.loads(path.read_text(encoding="utf-8")).get("label")
    except (OSError, ValueError, AttributeError) as error:
        raise IzerError(f"{path}: not a description of a sample ({error}).") from None
    if label is not None and (isinstance(label, bool) or not isinstance(label, int)):
        raise IzerError(f"{path}: `label` is the number of a class; given {label!r}.")
    return label


def fixed_pattern(shape: tuple[int, ...], data_format: str) -> Sample:
    """A network input [C, H, W] whose words are 0x55555555 and 0xaaaaaaaa in turn: for tests of the buses.

    In HWC every word holds a pixel, in CHW four.
    """
    channels, height, width = shape
    words = np.arange(height * width) // (4 if data_format == "chw" else 1)
    pixels = np.where(words % 2, 0xAA - 256, 0x55)
    return Sample("", np.tile(pixels, (channels, 1)).reshape(shape), None)


@dataclass(frozen=True)
class InputArray:
    """The words of one instance: `lanes` names the channel in each byte lane (HWC), `channel` the only one (CHW).

    Where the first layer reads several words for each pixel, `lanes` are those of all these words.
    """

    symbol: str
    lanes: tuple[int | None, ...]
    channel: int | None


def input_arrays(network: Network, place: LayerPlace) -> tuple[InputArray, ...]:
    """The arrays that the network input is copied from: one per channel (CHW) or per quad (HWC)."""
    processors = set_bits(place.processors)
    if network.data_format == "chw":
        return tuple(InputArray(f"input_{p}", (), c) for c, p in enumerate(processors))
    places = {p: c for c, p in enumerate(processors)}
    quads = sorted({p & ~3 for p in processors})
    return tuple(InputArray(f"input_{q}", tuple(_lanes(network, place, places, q)), None) for q in quads)


def _lanes(network: Network, place: LayerPlace, places: dict[int, int], quad: int) -> Iterator[int | None]:
    """The channel in every lane of the words of a pixel; the last pass need not use all processors."""
    for step in range(place.in_passes):
        for processor in range(quad, quad + 4):
            channel = step * len(places) + places.get(processor, network.input_shape[0])
            yield channel if channel < network.input_shape[0] else None


def pack_input(array: InputArray, data: NDArray[np.int8]) -> NDArray[np.uint32]:
    """The words of one instance for the network input int8 [C, H, W]; unused bytes are 0 (6.1, 6.2)."""
    pixels = data.reshape(len(data), -1)
    if array.channel is not None:
        flat = pixels[array.channel]
        lanes = np.concatenate([flat, np.zeros(-flat.size % 4, np.int8)]).reshape(-1, 4)
    else:
        zeros = np.zeros(pixels.shape[1], np.int8)
        lanes = np.stack([zeros if c is None else pixels[c] for c in array.lanes], -1)
    return np.ascontiguousarray(lanes).view("<u4").reshape(-1).astype(np.uint32)


def input_copies(
    device: Device, network: Network, place: LayerPlace, data: NDArray[np.int8]
) -> Iterator[Copy]:
    """The operations that load the network input."""
    for array in input_arrays(network, place):
        processor = int(array.symbol.removeprefix("input_"))
        channels = [array.channel] if array.channel is not None else [c for c in array.lanes if c is not None]
        yield Copy(array.symbol, device.data(processor // 4, place.in_offset // 4), pack_input(array, data),
                   f"input channel{'s' if len(channels) > 1 else ''} {', '.join(map(str, channels))}")
