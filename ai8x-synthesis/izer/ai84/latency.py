"""How long the accelerator runs, as the chip model estimates it (AI84 hardware reference, appendix D)."""

from ..device import Device
from ..network import Layer, Network
from ..placement import LayerPlace, Placement


def _clocks(layer: Layer, place: LayerPlace) -> int:
    """One clock per mask and output pixel, two per padded input pixel, one per pixel that pooling reads."""
    outputs = layer.out_height * layer.out_width
    inputs = (layer.pooled_height + 2 * layer.pad_rows) * (layer.pooled_width + 2 * layer.pad_columns)
    reads = layer.pooled_height * layer.pooled_width * layer.pool_size**2
    return outputs * place.kernel_count + 2 * inputs + reads


def layer_clocks(device: Device, network: Network, placement: Placement) -> tuple[int, ...]:
    """Accelerator clocks of every layer."""
    return tuple(_clocks(layer, place) for layer, place in zip(network.layers, placement.layers, strict=True))
