"""Data memory, weight memory and how a kernel is packed (AI84 hardware reference 2.3, 4.2 and 4.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from drawing import (
    CHANNELS,
    EMPTY,
    FAINT,
    HARDWARE,
    LAYERS,
    NORMAL,
    SMALL,
    TOOL,
    WIDTH,
    Colour,
    arrow,
    box,
    card,
    cell,
    label,
)
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

PROCESSORS, COLUMNS = 64, 128
# Layers 1 to 4 of ai84net5 in networks/fashionmnist-chw.yaml: processors of the input, processors of the output.
FASHION_MAPS = (
    (0x0000000000000001, 0xFFFFFFFFFFFFFFF0),
    (0xFFFFFFFFFFFFFFF0, 0xFFFFFFFFFFFFFFF0),
    (0xFFFFFFFFFFFFFFF0, 0x0FFFFFFFFFFFFFF0),
    (0x0FFFFFFFFFFFFFF0, 0x0000000000000FFF),
)
KERNEL = ((17, -11, 0), (4, -1, 1), (-14, 18, 1))


@dataclass(frozen=True)
class Columns:
    """The mask RAM columns of one layer: the same in all its processors."""

    processors: int
    first: int
    count: int

    def __str__(self) -> str:
        number = self.processors.bit_count()
        return (f"columns {self.first} to {self.first + self.count - 1}, {number} processor{'s' * (number > 1)} "
                f"(0x{self.processors:016X})")


def allocate_columns(maps: Sequence[tuple[int, int]]) -> list[Columns]:
    """Mask RAM columns of every layer, from its input and output maps (AI84 hardware reference 4.3)."""
    used = [0] * PROCESSORS
    layers = []
    for inputs, outputs in maps:
        first_lane = (outputs & -outputs).bit_length() - 1
        count = outputs.bit_length() - (first_lane & ~3)
        members = [p for p in range(PROCESSORS) if inputs >> p & 1]
        first = -(-max(0, max(used[p] for p in members) - first_lane % 4) // 4) * 4
        for p in members:
            used[p] = first + count
        layers.append(Columns(inputs, first, count))
    return layers


def kernel_words(kernel: Sequence[Sequence[int]]) -> tuple[int, int, int, int]:
    """The four words of mask RAM that hold a 3x3 kernel of values -128..127 (AI84 hardware reference 4.2)."""
    k = [value & 0xFF for row in kernel for value in row]
    return k[0], int.from_bytes(bytes(k[1:5]), "big"), int.from_bytes(bytes(k[5:9]), "big"), 0


def draw_data_memory() -> Axes:
    """All 16 instances with their processors and addresses."""
    axes = card(468, "Data memory: 16 instances of 16 KiB")
    for x, heading in ((112, "instance"), (182, "processors"), (279, "bus addresses"), (371, "write pointer")):
        label(axes, x, 44, heading, size=SMALL, style="bold")
    for group in range(4):
        top = 56 + 94 * group
        box(axes, 14, top, 70, 84, TOOL, f"group {group}", f"from\n0x{0x5010_0000 + 0x10_0000 * group:08X}")
        for row in range(4):
            draw_instance(axes, top + 21 * row, 4 * group + row)
    for y, line in ((442, "A processor reads only the instance that it shares with three others."),
                    (455, "A layer writes its output to any instance, through the global write pointer (in words).")):
        label(axes, WIDTH / 2, y, line, size=SMALL)
    return axes


def draw_instance(axes: Axes, top: float, instance: int) -> None:
    """One row: number, four processors, first and last address, first and last global word."""
    start = 0x5011_0000 + 0x10_0000 * (instance // 4) + 0x4000 * (instance % 4)
    cell(axes, 92, top, 40, 21, HARDWARE, str(instance), size=NORMAL)
    for lane in range(4):
        cell(axes, 138 + 22 * lane, top, 22, 21, EMPTY, str(4 * instance + lane))
    label(axes, 279, top + 10.5, f"{start:08X}-{start + 0x3FFF:08X}", size=SMALL, style="mono")
    label(axes, 371, top + 10.5, f"{0x1000 * instance:04X}-{0x1000 * instance + 0xFFF:04X}", size=SMALL, style="mono")


def draw_weight_memory() -> Axes:
    """The kernel map of the Fashion-MNIST network: which columns of which processors hold which layer."""
    axes = card(432, "Weight memory of ai84net5 (Fashion-MNIST)")
    layers = allocate_columns(FASHION_MAPS)
    left, top, width, height = 66.0, 62.0, 2.62, 4.3
    axes.add_patch(Rectangle((left, top), COLUMNS * width, PROCESSORS * height, facecolor=EMPTY.fill, edgecolor="none"))
    for colour, layer in zip(LAYERS, layers, strict=True):
        for first, count in runs(layer.processors):
            corner = (left + layer.first * width, top + first * height)
            axes.add_patch(Rectangle(corner, layer.count * width, count * height, facecolor=colour.fill,
                                     edgecolor="none"))
    draw_map_axes(axes, left, top, width, height, layers)
    for row, (colour, layer) in enumerate(zip(LAYERS, layers, strict=True)):
        y = top + PROCESSORS * height + 26 + 17 * row
        cell(axes, 24, y - 6, 16, 12, colour)
        label(axes, 48, y, f"layer {row}: {layer}", size=SMALL, align="left")
    return axes


def runs(bits: int) -> list[tuple[int, int]]:
    """The runs of set bits in a map of processors: (first processor, number)."""
    found = []
    for is_set, members in groupby(range(PROCESSORS), key=lambda p: bool(bits >> p & 1)):
        numbers = list(members)
        found += [(numbers[0], len(numbers))] if is_set else []
    return found


def draw_map_axes(axes: Axes, left: float, top: float, width: float, height: float, layers: Sequence[Columns]) -> None:
    """Frame, group borders and the numbers beside the map."""
    right, bottom = left + COLUMNS * width, top + PROCESSORS * height
    for group in range(5):
        y = top + 16 * group * height
        axes.plot((left, right), (y, y), color="#1d2733", linewidth=0.7)
    for x in (left, right):
        axes.plot((x, x), (top, bottom), color="#1d2733", linewidth=0.7)
    label(axes, (left + right) / 2, top - 20, "column (kernel) 0 to 127", size=SMALL, style="bold")
    for column in sorted({layer.first for layer in layers} | {COLUMNS - 1}):
        label(axes, left + column * width, top - 7, str(column), size=SMALL)
    for group in range(4):
        x, y = left - 6, top + (16 * group + 8) * height
        label(axes, x, y - 6, f"group {group}", size=SMALL, style="bold", align="right")
        label(axes, x, y + 6, f"{16 * group} to {16 * group + 15}", size=SMALL, align="right", colour=FAINT)


def draw_kernel_packing() -> Axes:
    """A 3x3 kernel and the four words that load it."""
    axes = card(236, "A 3x3 kernel in mask RAM: four words")
    size, left, top = 34.0, 26.0, 60.0
    bytes_ = [value for row in KERNEL for value in row]
    for index, value in enumerate(bytes_):
        y, x = divmod(index, 3)
        cell(axes, left + x * size, top + y * size, size, size, byte_colour(index))
        label(axes, left + (x + 0.5) * size, top + (y + 0.5) * size - 6, f"k{index}", size=SMALL, colour=FAINT)
        label(axes, left + (x + 0.5) * size, top + (y + 0.5) * size + 6, str(value), style="mono")
    label(axes, left + 1.5 * size, top - 11, "kernel w[o][c]", size=SMALL, style="bold")
    arrow(axes, (left + 3 * size + 6, top + 1.5 * size), (left + 3 * size + 24, top + 1.5 * size))
    for lane in range(4):
        label(axes, 204 + 36 * (3 - lane), top - 11, f"{8 * lane + 7}..{8 * lane}", size=SMALL, style="bold")
    label(axes, 368, top - 11, "word", size=SMALL, style="bold")
    contents = ((0,), (1, 2, 3, 4), (5, 6, 7, 8), ())
    for word, (value, members) in enumerate(zip(kernel_words(KERNEL), contents, strict=True)):
        draw_kernel_word(axes, top + 27 * word, word, value, members)
    for row, line in enumerate((
        "It lies in the processor of input channel c, in the column of the lane of output channel o.",
        "Words 0 to 2 are only kept; writing word 3 stores all 72 bits in the RAM.",
        "Address: group base + 0x4800 + 0x800 * processor in group + 16 * column + 4 * word.",
    )):
        label(axes, 18, 190 + 14 * row, line, size=SMALL, align="left")
    return axes


def draw_kernel_word(axes: Axes, top: float, word: int, value: int, members: Sequence[int]) -> None:
    """One of the four words: offset, lanes (bits 31..24 on the left), number."""
    label(axes, 179, top + 11, f"+{4 * word:X}", size=SMALL, style="mono", align="right")
    for column in range(4):
        index = column - (4 - len(members))
        colour, text = (byte_colour(members[index]), f"k{members[index]}") if index >= 0 else (EMPTY, "0")
        cell(axes, 186 + 36 * column, top, 36, 22, colour, text)
    label(axes, 368, top + 11, f"0x{value:08X}", size=SMALL, style="mono")


def byte_colour(index: int) -> Colour:
    """A colour a kernel row."""
    return CHANNELS[index // 3]
