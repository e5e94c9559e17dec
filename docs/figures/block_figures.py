"""The blocks of the accelerator and the arithmetic of a layer (AI84 hardware reference 1.1, 1.2 and 1.4)."""

from collections.abc import Sequence

from drawing import (
    EMPTY,
    FAINT,
    FILE,
    HARDWARE,
    INK,
    REFERENCE,
    SMALL,
    TOOL,
    WEIGHT,
    Colour,
    arrow,
    box,
    card,
    cell,
    label,
)
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

Matrix = Sequence[Sequence[int]]
INPUT: Matrix = ((85, 112), (69, 81))
KERNEL: Matrix = ((-16, 26, 35), (-6, -40, -31), (-27, -54, -51))
STEPS = (
    ("input", "8 bit", "data memory: one channel a processor", HARDWARE),
    ("pooling", "optional", "2x2 or 4x4: largest value, or sum / size toward zero", TOOL),
    ("padding", "0, 1 or 2", "zeros on all four sides, after pooling", TOOL),
    ("convolution", "3x3, stride 1", "acc = sum over c, i, j of w[o][c][i][j] * P[c][y+i][x+j]", WEIGHT),
    ("bias", "optional, 8 bit", "acc = acc + bias[o]      not shifted: at most one output unit", WEIGHT),
    ("scale", "round", "r = (acc + 64) >> 7      half goes up", REFERENCE),
    ("saturate", "8 bit", "r = min(max(r, -128), 127)      the only saturation", REFERENCE),
    ("ReLU", "optional", "r = max(r, 0)", REFERENCE),
    ("output", "8 bit", "data memory: any instances", HARDWARE),
)


def sums(data: Matrix, kernel: Matrix) -> list[list[int]]:
    """Sums of products of one channel with padding 1 (AI84 hardware reference 1.4)."""
    height, width = len(data), len(data[0])
    padded = [[0] * (width + 2), *([0, *row, 0] for row in data), [0] * (width + 2)]
    return [[sum(kernel[i][j] * padded[y + i][x + j] for i in range(3) for j in range(3)) for x in range(width)]
            for y in range(height)]


def scaled(acc: int) -> int:
    """Accumulator to output, -128..127 (AI84 hardware reference 1.4)."""
    return min(max((acc + 64) >> 7, -128), 127)


def draw_layer() -> Axes:
    """What a layer does, in order, with a small example."""
    axes = card(446, "What a layer does, in order")
    for row, (name, detail, formula, colour) in enumerate(STEPS):
        top = 38 + 33 * row
        box(axes, 14, top, 96, 26, colour, name, detail)
        label(axes, 120, top + 13, formula, size=SMALL, align="left")
        if row:
            arrow(axes, (62, top - 7), (62, top))
    label(axes, 14, 346, "Example: one channel, padding 1", size=SMALL, style="bold", align="left")
    acc = sums(INPUT, KERNEL)
    out = [[scaled(value) for value in row] for row in acc]
    left = 14.0
    for name, values, width, colour in (
        ("input", INPUT, 27, HARDWARE), ("kernel", KERNEL, 27, WEIGHT), ("acc", acc, 42, WEIGHT),
        ("scaled", out, 34, REFERENCE), ("ReLU", [[max(value, 0) for value in row] for row in out], 24, REFERENCE),
    ):
        left = draw_matrix(axes, left, 376, name, values, width, colour)
    return axes


def draw_matrix(axes: Axes, left: float, top: float, name: str, values: Matrix, width: float, colour: Colour) -> float:
    """Rows of numbers under a name; returns the x of the next one."""
    columns = len(values[0])
    label(axes, left + columns * width / 2, top - 9, name, size=SMALL)
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            cell(axes, left + x * width, top + y * 18, width, 18, colour, str(value))
    return left + columns * width + 14


def draw_architecture() -> Axes:
    """The four groups, one data memory instance with its processors, and the way of a sum to the output."""
    axes = card(546, "The AI84 accelerator")
    box(axes, 110, 36, 200, 24, FILE, "Arm Cortex-M4")
    label(axes, 216, 71, "32-bit bus", size=SMALL, align="left")
    for group in range(4):
        left = 14 + 100 * group
        arrow(axes, (210, 60), (210, 80), (left + 46, 80), (left + 46, 92))
        draw_group(axes, left, 92, group)
    axes.add_patch(Rectangle((16, 126), 22, 62, facecolor="none", edgecolor=INK, linewidth=1.5))
    draw_instance(axes, 214)
    draw_sum(axes, 434)
    return axes


def draw_group(axes: Axes, left: float, top: float, group: int) -> None:
    """A group: four data memory instances, each above its four processors."""
    box(axes, left, top, 92, 110, FILE, "")
    label(axes, left + 46, top + 12, f"group {group}", style="bold")
    label(axes, left + 46, top + 25, "master" if group == 0 else "slave", size=SMALL, colour=FAINT)
    for instance in range(4):
        x = left + 4 + 22 * instance
        cell(axes, x, top + 36, 18, 16, HARDWARE, str(4 * group + instance))
        for row in range(4):
            cell(axes, x, top + 54 + 10 * row, 18, 10, TOOL)
    label(axes, left + 46, top + 102, f"processors {16 * group}-{16 * group + 15}", size=SMALL)


def draw_instance(axes: Axes, top: float) -> None:
    """One instance of data memory with its four processors, the first in detail."""
    box(axes, 14, top, 392, 200, EMPTY, "", rounded=5)
    box(axes, 22, top + 28, 74, 164, HARDWARE, "data\nmemory", "16 KiB\none channel\na byte lane")
    label(axes, 210, top + 14, "Data memory instance 0 and its processors 0 to 3", size=SMALL, style="bold")
    box(axes, 118, top + 28, 270, 92, FILE, "")
    label(axes, 126, top + 39, "processor 0", size=SMALL, style="bold", align="left")
    box(axes, 126, top + 49, 66, 28, TOOL, "pooling", "2x2, 4x4")
    box(axes, 206, top + 49, 78, 28, TOOL, "line buffer", "TRAM")
    box(axes, 298, top + 49, 82, 28, TOOL, "3x3 products", "9 multipliers")
    box(axes, 298, top + 88, 82, 28, WEIGHT, "mask RAM", "128 kernels")
    for start, end in ((96, 126), (192, 206), (284, 298)):
        arrow(axes, (start, top + 63), (end, top + 63))
    arrow(axes, (339, top + 88), (339, top + 77))
    for lane in range(1, 4):
        y = top + 103 + 23 * lane
        box(axes, 118, y, 270, 19, FILE, f"processor {lane}", style="regular")
        arrow(axes, (96, y + 9.5), (118, y + 9.5))
    for y in (top + 63, *(top + 112.5 + 23 * lane for lane in (1, 2, 3))):
        axes.plot((380 if y == top + 63 else 388, 397), (y, y), color=FAINT, linewidth=1.2)
    arrow(axes, (397, top + 63), (397, top + 220), colour=FAINT)


def draw_sum(axes: Axes, top: float) -> None:
    """From the sums of all processors to the output word."""
    box(axes, 290, top, 116, 38, WEIGHT, "sum", "all 64 processors")
    box(axes, 152, top, 116, 38, WEIGHT, "bias", "RAM: 256 a group")
    box(axes, 14, top, 116, 38, REFERENCE, "scale", "(acc + 64) >> 7")
    box(axes, 14, top + 60, 116, 38, REFERENCE, "saturate", "-128 to 127")
    box(axes, 152, top + 60, 116, 38, REFERENCE, "ReLU", "optional")
    box(axes, 290, top + 60, 116, 38, HARDWARE, "write", "to any instance")
    arrow(axes, (290, top + 19), (268, top + 19))
    arrow(axes, (152, top + 19), (130, top + 19))
    arrow(axes, (72, top + 38), (72, top + 60))
    arrow(axes, (130, top + 79), (152, top + 79))
    arrow(axes, (268, top + 79), (290, top + 79))
