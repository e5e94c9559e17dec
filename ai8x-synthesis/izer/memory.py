"""Which data memory words a layer reads and writes (AI84 hardware reference 6, AI85 hardware reference 7)."""

from dataclasses import dataclass

from .device import Device
from .network import Layer
from .placement import LayerPlace, first_quad, set_bits


@dataclass(frozen=True)
class Region:
    """The same range of words in several instances."""

    instances: frozenset[int]
    words: range

    def overlaps(self, other: "Region") -> bool:
        """Whether a word belongs to both regions."""
        common = range(max(self.words.start, other.words.start), min(self.words.stop, other.words.stop))
        return bool(common) and bool(self.instances & other.instances)


def output_word(layer: Layer, place: LayerPlace, y: int, x: int) -> int:
    """Word of output pixel (y, x) in every instance that holds output, on AI84 (6.3; with 4x4 pooling 6.5)."""
    return place.out_offset // 4 + y * (layer.out_width + place.row_gap) + place.row_gap + x


def output_words(layer: Layer) -> int:
    """Words of an output pixel in one instance and pass: one for each of four channels where the output is wide."""
    return 4 if layer.wide else 1


def output_region(layer: Layer, place: LayerPlace) -> Region:
    """Everything that hardware writes: empty quads between used ones and words that are no output too (6.4)."""
    pixels = max(0, layer.out_height) * max(0, layer.out_width + place.row_gap)
    start = place.out_offset // 4
    instances = range(first_quad(place.output_map) // 4, (place.output_map.bit_length() + 3) // 4)
    end = start + pixels * place.out_passes * output_words(layer) + place.words_after
    return Region(frozenset(instances), range(start - place.words_ahead, end))


def input_region(layer: Layer, place: LayerPlace, data_format: str) -> Region:
    """The words that hold a layer's input; CHW packs four pixels into a word, HWC has one word per pixel and pass."""
    pixels = max(0, layer.height) * max(0, layer.width)
    start = place.in_offset // 4
    instances = frozenset(processor // 4 for processor in set_bits(place.processors))
    words = (pixels + 3) // 4 if data_format == "chw" else pixels * place.in_passes
    return Region(instances, range(start, start + words))


def quads(device: Device, output_map: int) -> list[tuple[int, list[int]]]:
    """Instances that hold output channels, ascending, each with its used lanes."""
    lanes = {q: [n for n in range(4) if output_map >> 4 * q + n & 1] for q in range(device.processors // 4)}
    return [(q, used) for q, used in lanes.items() if used]
