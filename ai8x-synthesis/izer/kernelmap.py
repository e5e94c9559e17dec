"""The map of the mask RAMs as text (AI84 hardware reference 10, AI85 hardware reference 11.2)."""

from .device import Device
from .network import Network
from .placement import Placement, set_bits


def kernel_map(device: Device, network: Network, placement: Placement) -> str:
    """A row per processor, a cell per column: the layer whose kernel is there, or X. Excess columns are cut."""
    layers = len(network.layers)
    width = 1 if layers < 10 else len(str(layers)) + 1
    cells = [["X"] * device.mask_columns for _ in range(device.processors)]
    for layer, place in zip(network.layers, placement.layers, strict=True):
        for column in (place.kernel_column + n for n in place.columns):
            for processor in set_bits(place.processors):
                if column < device.mask_columns:
                    cells[processor][column] = str(layer.index)
    rule = "-" * device.mask_columns * width
    rows = ["".join(cell.rjust(width) for cell in row) for row in cells]
    return "\n".join(["Kernel map", rule, *rows, rule]) + "\n"
