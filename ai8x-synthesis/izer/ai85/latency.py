"""How many clocks AI85's layers take (AI85 hardware reference 14.1)."""

from dataclasses import dataclass

from ..device import Device
from ..network import Layer, Network
from ..placement import LayerPlace, Placement
from .layers import as_executed
from .registers import flat_passes, time_slots


def layer_clocks(device: Device, network: Network, placement: Placement) -> tuple[int, ...]:
    """Clocks of every layer."""
    pairs = zip(network.layers, placement.layers, strict=True)
    return tuple(_clocks(device, as_executed(layer), place) for layer, place in pairs)


@dataclass(frozen=True)
class _Reading:
    """Clocks for a padding pixel, and for a pixel of the image, which is read as often as its window has pixels."""

    padding: int
    pixel: int


def _clocks(device: Device, layer: Layer, place: LayerPlace) -> int:
    passes = place.in_passes
    if not layer.convolves:
        if place.out_passes > 1 and layer.window != (1, 1):
            passes = 2 * passes - 1
        slots = time_slots(device, layer, place)
        return layer.pooled_height * layer.pooled_width * (_reading(layer, passes).pixel + passes * slots)
    reading = _reading(layer, passes)
    above, rows = layer.pad_rows, layer.kernel[0] if not layer.flatten else 1
    out_width = layer.pooled_width if layer.flatten else layer.out_width
    ahead = rows - 1 - above  # rows that are read before the first output
    output = passes * out_width * _outputs(layer, place)
    output += 1 if _outputs(layer, place) == 1 and passes == 1 else 0
    filled = _row(layer, reading, out_width, reading.pixel) + output
    bottom = _row(layer, reading, out_width, reading.padding) + output
    return (
        (1 if layer.flatten and flat_passes(layer, place) > 16 else 0)
        + above * _unused_row(layer, reading.padding, reading)
        + ahead * _unused_row(layer, reading.pixel, reading)
        + (layer.pooled_height - ahead) * filled
        + above * bottom
    )


def _reading(layer: Layer, passes: int) -> _Reading:
    """p and d of 14.1."""
    return _Reading(2 * passes, passes * (layer.window[0] * layer.window[1] + 1))


def _outputs(layer: Layer, place: LayerPlace) -> int:
    """Masks for each output pixel and input pass (K' of 14.1)."""
    return place.kernel_count // (flat_passes(layer, place) if layer.flatten else place.in_passes)


def _unused_row(layer: Layer, each: int, reading: _Reading) -> int:
    """A row that is read before the first output: F and N of 14.1."""
    return 2 * layer.pad_columns * (reading.padding + 1) + layer.pooled_width * (each + 1)


def _row(layer: Layer, reading: _Reading, out_width: int, each: int) -> int:
    """A row in which outputs are computed: R and B of 14.1, without the outputs."""
    beside, taps = layer.pad_columns, 1 if layer.flatten else layer.kernel[1]
    return (beside * (reading.padding + 1) + (taps - 1 - beside) * (each + 1) + (out_width - beside) * each
            + beside * reading.padding)  # fmt: skip
