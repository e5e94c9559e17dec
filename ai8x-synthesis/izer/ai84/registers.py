"""One layer and its place to register values (AI84 hardware reference, chapter 3)."""

from collections.abc import Iterator

from ..device import Device
from ..network import Layer, Network
from ..placement import LayerPlace, Placement, first_bit
from ..registers import RegisterValue

LCTL_ALWAYS = 0x0820  # sum all 16 processors, global output (3.5.2)
LCTL_CHW = 0x0040
LCTL_POOL = 0x0080
LCTL_MAX_POOL = 0x0100
LCTL_RELU = 0x0200


def layer_registers(device: Device, network: Network, placement: Placement) -> Iterator[RegisterValue]:
    """All layer registers of all used groups, in the order group, layer, register (7.3)."""
    for group in placement.groups:
        for layer, place in zip(network.layers, placement.layers, strict=True):
            chw = layer.index == 0 and network.data_format == "chw"
            for number, name, value, meaning in _registers(device, placement, layer, place, group, chw):
                yield RegisterValue(group, layer.index, number, name, value, meaning)


def _registers(
    device: Device, placement: Placement, layer: Layer, place: LayerPlace, group: int, chw: bool
) -> list[tuple[int, str, int, str]]:
    """The formulas of 3.8 for one layer in one group."""
    window = max(1, layer.pool_size - 1)
    enabled = place.processors >> device.group_processors * group & 0xFFFF
    return [
        (0, "RCNT", layer.pad_rows << 8 | layer.height - 1 + 2 * layer.pad_rows, "rows, padding"),
        (1, "CCNT", layer.pad_columns << 8 | layer.width - 1 + 2 * layer.pad_columns, "columns, padding"),
        (3, "PRCNT", window, "pooling rows"),
        (4, "PCCNT", window, "pooling columns"),
        (5, "STRIDE", layer.pool_stride - 1, "pooling stride"),
        (6, "WPTR_BASE", place.out_offset // 4 + device.instance_words * (first_bit(place.output_map) // 4),
         "write pointer"),
        (7, "WPTR_OFF", device.instance_words << 16, "write pointer mask offset"),
        (8, "RPTR_BASE", place.in_offset // 4, "read pointer"),
        (9, "LCTL", _layer_control(device, placement, layer, place, group, chw), "layer control"),
        (10, "MCNT", _mask_count(place, group), "mask count and start, bias"),
        (11, "TPTR", max(0, layer.out_width - 1), "TRAM pointer maximum"),
        (12, "ENA", enabled << 16 | enabled, "mask and processor enables"),
    ]  # fmt: skip


def _layer_control(
    device: Device, placement: Placement, layer: Layer, place: LayerPlace, group: int, chw: bool
) -> int:
    """LCTL (3.5.2). Only the master group, the lowest used one, sums in the other active groups (3.5.4)."""
    value = LCTL_ALWAYS
    value |= LCTL_CHW if chw else 0
    value |= LCTL_POOL if layer.pool else 0
    value |= LCTL_MAX_POOL if layer.pool != "avg" else 0
    value |= LCTL_RELU if layer.relu else 0
    if group == placement.groups[0]:
        for other in placement.groups[1:]:
            active = place.processors >> device.group_processors * other & 0xFFFF
            value |= 1 << 12 + other if active else 0
    return value


def _mask_count(place: LayerPlace, group: int) -> int:
    """MCNT (3.6). Only the group that holds the biases adds them."""
    value = place.kernel_column << 8 | place.kernel_count - 1
    if place.bias and place.bias.group == group:
        value |= 1 << 24 | place.bias.entry << 16
    return value
