"""What is special about a drawn network for AI85, for the table of what was tried."""

from collections.abc import Iterator
from math import prod

from allocation85 import COLUMNS, bits, place_columns
from network_files85 import DrawnLayer85, DrawnNetwork85, passes, per_pass
from random_shapes85 import WORDS


def readable(network: DrawnNetwork85) -> list[int]:
    """The layers whose outputs no later layer writes over."""
    return [n for n, layer in enumerate(network.layers) if not any(
        set(other.instances) & set(layer.instances)
        and max(other.words.start, layer.words.start) < min(other.words.stop, layer.words.stop)
        for other in network.layers[n + 1 :])]  # fmt: skip


def layer_kinds(layer: DrawnLayer85, rounding: bool) -> Iterator[tuple[str, bool]]:
    """What may be special about a layer."""
    shape, (kind, window, stride), many = layer.shape, layer.shape.pool, layer.channels > 64
    flat, first = shape.one_dimensional, (layer.outputs & -layer.outputs).bit_length() - 1
    holes = layer.outputs >> first != (1 << layer.outputs.bit_count()) - 1
    yield f"{shape.op}{f' {shape.kernel[0]}x{shape.kernel[1]}' if shape.op == 'conv2d' else ''}", True
    yield f"weights of {layer.bits} bits", layer.weighted
    yield f"kernel {shape.kernel[0]} of conv1d", shape.op == "conv1d"
    yield f"conv1d with padding {shape.pad}", shape.op == "conv1d"
    yield f"conv2d with padding {shape.pad}", shape.op == "conv2d" and shape.kernel == (3, 3)
    yield "dilation, short", shape.dilation > 1 and not shape.long
    yield "dilation, long, kernel 2", shape.long and shape.kernel[0] == 2
    yield "dilation, long, kernel 3", shape.long and shape.kernel[0] == 3
    yield "layer without weights: pooling", not layer.weighted and bool(kind)
    yield "layer without weights: copy", not layer.weighted and not kind and stride == 1
    yield "layer without weights: other lanes or instances", not layer.weighted and layer.outputs != layer.processors
    yield "layer without weights: several passes", not layer.weighted and many
    yield "flatten", shape.flatten
    yield "flatten, more than 16 weights per output", shape.flatten and passes(layer.channels) * prod(shape.dims) > 16
    yield "flatten, several passes", shape.flatten and many
    yield "several input passes", many
    yield "several input passes, the last not full", many and layer.channels % per_pass(layer.channels) > 0
    yield "several input passes, narrow weights", many and layer.bits < 8
    yield "several output passes", layer.out_channels > 64
    yield "several output passes, the last not full", layer.out_channels % per_pass(layer.out_channels) > 0
    yield "several output passes, narrow weights", layer.out_channels > 64 and layer.bits < 8
    yield "1024 input channels", layer.channels == 1024
    yield "1024 output channels", layer.out_channels == 1024
    yield f"{kind} pooling", bool(kind)
    yield "sub-sampling", not kind and stride > 1
    yield "pooling window not square", bool(kind) and window[0] != window[1] and not flat
    yield "pooling window of 16", 16 in window
    yield "pooling stride above 2", bool(kind) and stride > 2
    yield "rounded averages", kind == "avg" and rounding
    yield "rounding in front of conv1d", kind == "avg" and rounding and shape.op == "conv1d"
    yield f"activation {layer.activation.lower() or 'none'}", layer.weighted
    yield "32-bit output", shape.wide
    yield "32-bit output, several passes", shape.wide and layer.out_channels > 64
    yield f"total shift {layer.shift}", layer.weighted and abs(layer.shift) == 15
    yield "shift and bits in the description", layer.weighted and layer.described
    yield "bias", layer.biases is not None
    yield "bias_group", bool(layer.bias_group) and layer.biases is not None
    yield "bias, unaligned output map", layer.biases is not None and first % 4 > 0
    yield "in_dim", layer.reshaped
    yield "output map unaligned", layer.weighted and first % 4 > 0
    yield "output map with holes", layer.weighted and holes
    yield "weights all the same", layer.weighted and layer.values in ("lowest", "highest")
    yield "joined inputs", len(layer.sources) > 1
    yield "all 64 processors", layer.processors == 2**64 - 1
    yield "output up to the last word", layer.words.stop == WORDS
    yield "output from the first word", layer.words.start == 0


def kinds(network: DrawnNetwork85) -> Iterator[str]:
    """What is special about a network, for the table of what was tried."""
    layers, count, (channels, height, width) = network.layers, len(network.layers), network.input
    places = [place for place in place_columns(network) if place]
    words = (height * width + 3) // 4 if network.data_format == "chw" else height * width * passes(channels)
    inputs = bits(layers[0].processors)
    yield "1 layer" if count == 1 else "2-4 layers" if count <= 4 else "5-31 layers" if count < 32 else "32 layers"
    yield f"input {network.data_format.upper()}"
    yield f"program: {network.style}"
    found = {
        "input not square": height != width and min(height, width) > 1,
        "input of one row or column": min(height, width) == 1,
        "input with 1023 rows or columns": max(height, width) == 1023,
        "input that fills an instance": words == WORDS,
        "input offset": layers[0].in_word > 0,
        "input map with gaps": inputs[-1] - inputs[0] >= len(inputs),
        "data all the same": network.sample in ("lowest", "highest"),
        "shared weights": len({id(place) for place in places}) < len(places),
        "no de-duplication": not network.deduplicate,
        "all 768 columns": any(place.start + place.written[-1] == COLUMNS - 1 for place in places),
        "two outputs or more readable in the end": len(readable(network)) > 1,
    }  # fmt: skip
    yield from (name for name, holds in found.items() if holds)
    yield from dict.fromkeys(name for layer in layers for name, holds in layer_kinds(layer, network.rounding) if holds)
