"""How long the accelerator runs, as the chip model estimates it.

For AI84 only four times are documented (AI84 hardware reference, appendix D). The formulas for its successor fit them,
if a pooled pixel takes two clocks more than there: docs/estimate.md compares them with other formulas.
"""

from ..device import Device
from ..latency import Clocks, Fetch, convolution
from ..network import Layer, Network
from ..placement import Placement

PADDING = 2  # clocks for a pixel of the padding, and for one of the image without pooling
POOLED = 3  # clocks for a pooled pixel beside one for each pixel of its window


def layer_clocks(device: Device, network: Network, placement: Placement) -> tuple[Clocks, ...]:
    """Accelerator clocks of every layer."""
    pairs = zip(network.layers, placement.layers, strict=True)
    return tuple(convolution(layer, _fetch(layer), 1, place.kernel_count) for layer, place in pairs)


def _fetch(layer: Layer) -> Fetch:
    window = layer.window[0] * layer.window[1]
    return Fetch(PADDING, window + POOLED if window > 1 else PADDING, PADDING)
