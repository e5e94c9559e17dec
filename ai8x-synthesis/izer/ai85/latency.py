"""How many clocks AI85's layers take (AI85 hardware reference 14.1)."""

from dataclasses import replace

from ..device import Device
from ..latency import Clocks, Fetch, convolution
from ..network import Layer, Network
from ..placement import LayerPlace, Placement
from .layers import as_executed
from .registers import flat_passes, time_slots


def layer_clocks(device: Device, network: Network, placement: Placement) -> tuple[Clocks, ...]:
    """Clocks of every layer."""
    pairs = zip(network.layers, placement.layers, strict=True)
    return tuple(_clocks(device, as_executed(layer), place) for layer, place in pairs)


def _clocks(device: Device, layer: Layer, place: LayerPlace) -> Clocks:
    if not layer.convolves:
        return _pass_through(layer, place, time_slots(device, layer, place))
    clocks = convolution(layer, _fetch(layer, place.in_passes), place.in_passes, _outputs(layer, place))
    late = layer.flatten and flat_passes(layer, place) > 16
    return replace(clocks, reading=clocks.reading + 1) if late else clocks


def _pass_through(layer: Layer, place: LayerPlace, slots: int) -> Clocks:
    """A layer that only pools, or copies."""
    pooled = place.out_passes > 1 and layer.window != (1, 1)
    passes = 2 * place.in_passes - 1 if pooled else place.in_passes
    fetch, pixels = _fetch(layer, passes), layer.pooled_height * layer.pooled_width
    return Clocks(pixels * fetch.unpooled, pixels * (fetch.pixel - fetch.unpooled), 0, pixels * passes * slots)


def _fetch(layer: Layer, passes: int) -> Fetch:
    """p and d of 14.1."""
    return Fetch(2 * passes, passes * (layer.window[0] * layer.window[1] + 1), 2 * passes)


def _outputs(layer: Layer, place: LayerPlace) -> int:
    """Masks for each output pixel and input pass (K' of 14.1)."""
    return place.kernel_count // (flat_passes(layer, place) if layer.flatten else place.in_passes)
