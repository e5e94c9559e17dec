"""One layer of AI85 and its place to register values (AI85 hardware reference, chapters 3 and 4)."""

from collections.abc import Iterator

from ..device import Device
from ..memory import output_words
from ..network import Layer, Network
from ..placement import LayerPlace, Placement, first_bit, first_quad, set_bits
from ..registers import RegisterValue
from .layers import as_executed
from .placement import COLUMN_BYTES

# Names, indices (3.1) and meanings of the layer registers, in the order in which they are written (4.5).
REGISTERS = (
    ("RCNT", 0, "rows, padding"), ("CCNT", 1, "columns, padding"), ("PRCNT", 3, "pooling rows"),
    ("PCCNT", 4, "pooling columns"), ("STRIDE", 5, "pooling stride"), ("WPTR_BASE", 6, "write pointer"),
    ("WPTR_TOFFS", 7, "write pointer time slot offset"), ("WPTR_MOFFS", 8, "write pointer mask offset"),
    ("WPTR_CHOFFS", 9, "write pointer multi-pass offset"), ("RPTR_BASE", 10, "read pointer"),
    ("LCTL", 11, "layer control"), ("LCTL2", 20, "passes, output channels"), ("MCNT", 12, "mask offset and count"),
    ("ONED", 2, "kernel width, time slots"), ("TPTR", 13, "TRAM pointer maximum"),
    ("POST", 15, "bias, shift, weight width"), ("ENA", 14, "mask and processor enables"),
)  # fmt: skip
MASK_SIZES = {8: 0, 1: 1, 2: 2, 4: 3}  # POST 23:22 (1.4)
EXTENDED = 16  # weights per output and processor of a flattened layer, from which on it needs more pass bits


def layer_registers(device: Device, network: Network, placement: Placement) -> Iterator[RegisterValue]:
    """All layer registers of all used groups that are not 0, layer by layer, group by group (4.5)."""
    for layer, place in zip(network.layers, placement.layers, strict=True):
        executed = as_executed(layer)
        common = _sizes(executed) | _pointers(device, executed, place) | _counters(device, executed, place)
        for group in placement.groups:
            values = common | _of_group(device, executed, place, placement, group)
            values["LCTL"] |= 0x40 if layer.index == 0 and network.data_format == "chw" else 0
            for name, number, meaning in REGISTERS:
                if values[name]:
                    yield RegisterValue(group, layer.index, number, name, values[name], meaning)


def _sizes(layer: Layer) -> dict[str, int]:
    """Rows, columns and pooling (4.5.1, 4.5.2); of a flattened image, hardware sees one pixel."""
    rows, columns = (1, 1) if layer.flatten else (layer.height, layer.width)
    return {
        "RCNT": rows - 1 + 2 * layer.pad_rows | layer.pad_rows << 16,
        "CCNT": columns - 1 + 2 * layer.pad_columns | layer.pad_columns << 16,
        "PRCNT": layer.window[0] - 1,
        "PCCNT": layer.window[1] - 1,
        "STRIDE": layer.pool_stride - 1,
    }


def _pointers(device: Device, layer: Layer, place: LayerPlace) -> dict[str, int]:
    """Read pointer, and steps of the write pointer (4.5.3, 4.5.4)."""
    if layer.convolves:
        time_slot = 1 if is_pointwise(layer) else 0
    else:
        time_slot = device.instance_words if place.processors.bit_count() > 4 else 2048
    return {
        "RPTR_BASE": place.in_offset // 4,
        "WPTR_TOFFS": time_slot,
        "WPTR_MOFFS": device.instance_words if layer.convolves else 0,
        "WPTR_CHOFFS": output_words(layer) if place.out_passes > 1 else 0,
    }


def is_pointwise(layer: Layer) -> bool:
    """Whether hardware works with kernels of one weight, which it does for a flattened image too (4.3.2)."""
    return layer.op in ("conv2d", "linear") and (layer.flatten or layer.kernel == (1, 1))


def flat_passes(layer: Layer, place: LayerPlace) -> int:
    """Weights of a flattened layer for every output and processor: they are read as passes of one pixel (5.5)."""
    return place.in_passes * layer.kernel[0] * layer.kernel[1]


def time_slots(device: Device, layer: Layer, place: LayerPlace) -> int:
    """Groups of four processors that take turns in writing, where there is no convolution (4.5.8)."""
    if layer.convolves:
        return 1
    counts = [(place.processors >> device.group_processors * group & 0xFFFF).bit_count()
              for group in range(device.groups)]  # fmt: skip
    return max((count - 1) // 4 for count in counts if count) + 1


def _counters(device: Device, layer: Layer, place: LayerPlace) -> dict[str, int]:
    """What is counted while a layer runs: masks, passes, TRAM entries (4.5.6 to 4.5.8)."""
    span = place.output_map.bit_length() - 1 - first_quad(place.output_map)
    one_dimensional = layer.op == "conv1d"
    kernel = layer.kernel[0] << 8 | 1 << 12 if one_dimensional else 0
    if not layer.convolves:
        return {"LCTL2": place.in_passes - 1, "MCNT": (place.out_passes - 1) * 8, "TPTR": 0,
                "ONED": time_slots(device, layer, place) - 1 | 1 << 8}  # fmt: skip
    passes = flat_passes(layer, place) if layer.flatten else place.in_passes
    taps = 1 if is_pointwise(layer) else layer.kernel[0] * layer.kernel[1]
    first, rest = divmod(COLUMN_BYTES * place.kernel_column, taps)
    last = 8 * first + (place.kernel_count - 1) * layer.weight_bits
    return {
        "LCTL2": (passes - 1) & 15 | (place.out_passes - 1) << 4 | span * layer.weight_bits << 8,
        "MCNT": 8 * first << 16 | last,
        "ONED": rest << 4 | kernel | (1 << 8 if is_pointwise(layer) else 0),
        "TPTR": _tram(layer, passes),
    }


def _tram(layer: Layer, passes: int) -> int:
    """TPTR (4.5.8)."""
    if layer.flatten and passes > EXTENDED:
        return passes - 1 << 16 | 2 * (passes - 1) + 1
    if layer.op == "conv1d" or is_pointwise(layer):
        return 0
    return max(0, layer.pooled_width + 2 * layer.pad_columns - layer.kernel[1])


def _of_group(device: Device, layer: Layer, place: LayerPlace, placement: Placement, group: int) -> dict[str, int]:
    """What differs from group to group: enables, partial sums, bias, and where a pass-through layer writes."""
    enabled = place.processors >> device.group_processors * group & 0xFFFF
    return {
        "WPTR_BASE": _write_pointer(device, layer, place, group),
        "LCTL": _layer_control(layer) | _partial_sums(device, layer, place, placement, group),
        "POST": _post(layer, place) | _bias(place, group),
        "ENA": enabled | (enabled << 16 if layer.convolves else 0),
    }


def _write_pointer(device: Device, layer: Layer, place: LayerPlace, group: int) -> int:
    """Where the first output goes (4.5.3): a pass-through layer writes in every group of its own."""
    outputs = place.output_map
    if not layer.convolves:
        outputs &= 0xFFFF << device.group_processors * group
    instance = first_bit(outputs) // 4 if outputs else 0
    return place.out_offset // 4 - place.words_ahead | instance * device.instance_words


def _layer_control(layer: Layer) -> int:
    """LCTL, the same in all groups (4.5.5)."""
    modes = {1 << 5: True, 1 << 7: layer.window != (1, 1), 1 << 8: layer.pool != "avg", 1 << 9: layer.relu,
             1 << 11: True, 1 << 16: layer.wide}  # fmt: skip
    return sum(bit for bit, chosen in modes.items() if chosen)


def _partial_sums(device: Device, layer: Layer, place: LayerPlace, placement: Placement, group: int) -> int:
    """The groups whose sums the master adds, also those that only add the bias (4.5.9)."""
    master = placement.groups[0]
    if group != master or not layer.convolves:
        return 0
    others = {bit // device.group_processors for bit in set_bits(place.processors)}
    others |= {place.bias.group} if place.bias else set()
    return sum(1 << 12 + other for other in others - {master})


def _post(layer: Layer, place: LayerPlace) -> int:
    """POST without bias (4.5.10)."""
    if not layer.convolves:
        return 3 << 24
    shift = layer.output_shift if layer.output_shift >= 0 else -layer.output_shift | 16
    value = MASK_SIZES[layer.weight_bits] << 22 | shift << 13 | (1 << 26 if layer.activation == "abs" else 0)
    passes = flat_passes(layer, place) if layer.flatten else 1
    return value | (1 << 27 | (passes - 1 >> 4) << 18 if passes > EXTENDED else 0)


def _bias(place: LayerPlace, group: int) -> int:
    """The bias fields of POST, set in the group that holds the bias (4.5.9)."""
    return 1 << 12 | place.bias.entry if place.bias and place.bias.group == group else 0
