"""The two data formats, HWC and CHW (AI84 hardware reference 6.1 and 6.2), on the same small image."""

from collections.abc import Callable
from dataclasses import dataclass

from drawing import CHANNELS, EMPTY, FAINT, SMALL, card, cell, label
from matplotlib.axes import Axes

PROCESSORS_PER_INSTANCE = 4
DATA_MEMORY = 0x5011_0000

Image = tuple[tuple[tuple[int, ...], ...], ...]
# Three channels of 2 rows x 4 columns, as the bytes 0..255 that memory holds.
IMAGE: Image = (
    ((0x1F, 0x24, 0x2B, 0x35), (0x18, 0x1C, 0x22, 0x2A)),
    ((0xF0, 0xE8, 0xDD, 0xD1), (0xEC, 0xE3, 0xD8, 0xCB)),
    ((0xB1, 0xA7, 0x9C, 0x90), (0xAB, 0xA0, 0x96, 0x89)),
)
NAMES = "RGB"


@dataclass(frozen=True)
class Byte:
    """Where one pixel of one channel lies."""

    instance: int
    word: int
    lane: int


@dataclass(frozen=True)
class Pixel:
    """One value of the image."""

    channel: int
    y: int
    x: int
    value: int

    def __str__(self) -> str:
        return f"{NAMES[self.channel]}({self.y},{self.x}) {self.value:02X}"


def hwc(processor: int, y: int, x: int, width: int) -> Byte:
    """HWC: a word holds one pixel of four channels (AI84 hardware reference 6.1, offset 0)."""
    return Byte(processor // PROCESSORS_PER_INSTANCE, y * width + x, processor % PROCESSORS_PER_INSTANCE)


def chw(processor: int, y: int, x: int, width: int) -> Byte:
    """CHW: a word holds four pixels of one channel (AI84 hardware reference 6.2, offset 0)."""
    pixel = y * width + x
    return Byte(processor // PROCESSORS_PER_INSTANCE, pixel // 4, pixel % 4)


def address(byte: Byte) -> int:
    """Bus address of the word (AI84 hardware reference 2.2)."""
    group, instance = divmod(byte.instance, 4)
    return DATA_MEMORY + 0x10_0000 * group + 0x4000 * instance + 4 * byte.word


def draw_hwc() -> Axes:
    """HWC: the first words of instance 0."""
    axes = card(352, "HWC: a word holds one pixel of four channels")
    processors = (0, 1, 2)
    draw_image(axes, 56, processors)
    bottom = draw_memory(axes, 138, words(hwc, processors), "processor")
    notes(axes, bottom, "Channel on processor P, pixel (y, x), image of width W, byte offset of the layer:",
          "instance  P // 4      word  offset / 4 + y * W + x      lane  P % 4",
          "A fourth channel would fill lane 3. A fifth, on processor 4, starts in instance 1.")
    return axes


def draw_chw() -> Axes:
    """CHW: the first words of the instances 0, 1 and 2."""
    axes = card(324, "CHW: a word holds four pixels of one channel")
    processors = (0, 4, 8)
    draw_image(axes, 56, processors)
    bottom = draw_memory(axes, 138, words(chw, processors), "pixel 4n +")
    notes(axes, bottom, "Channel on processor P, pixel (y, x), image of width W, byte offset of the layer:",
          "instance  P // 4      word  offset / 4 + (y * W + x) // 4      lane  (y * W + x) % 4",
          "Network input only; one channel in an instance, on its first processor (P % 4 = 0).")
    return axes


def words(place: Callable[[int, int, int, int], Byte], processors: tuple[int, ...]) -> dict[int, dict[int, Pixel]]:
    """All pixels of IMAGE sorted into words: address -> lane -> pixel; channel c is on processors[c]."""
    memory: dict[int, dict[int, Pixel]] = {}
    for channel, rows in enumerate(IMAGE):
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                byte = place(processors[channel], y, x, len(row))
                memory.setdefault(address(byte), {})[byte.lane] = Pixel(channel, y, x, value)
    return dict(sorted(memory.items()))


def draw_image(axes: Axes, top: float, processors: tuple[int, ...]) -> None:
    """The image, one block of 2 x 4 pixels a channel."""
    size, height = 28.0, 19.0
    for channel, rows in enumerate(IMAGE):
        left = 24 + 130 * channel
        instance = processors[channel] // PROCESSORS_PER_INSTANCE
        heading = f"{NAMES[channel]}: processor {processors[channel]}, instance {instance}"
        label(axes, left + 2 * size, top - 9, heading, size=SMALL)
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                cell(axes, left + x * size, top + y * height, size, height, CHANNELS[channel], f"{value:02X}")


def draw_memory(axes: Axes, top: float, memory: dict[int, dict[int, Pixel]], lane_name: str) -> float:
    """A table of words, most significant lane on the left; returns the y below it."""
    left, width, height = 76.0, 62.0, 19.0
    for lane in range(4):
        middle = left + (3 - lane) * width + width / 2
        label(axes, middle, top - 20, f"bits {8 * lane + 7}..{8 * lane}", size=SMALL, style="bold")
        label(axes, middle, top - 8, f"{lane_name} {lane}", size=SMALL, colour=FAINT)
    label(axes, 42, top - 8, "address", size=SMALL, style="bold")
    label(axes, 370, top - 8, "word", size=SMALL, style="bold")
    y, last = top, min(memory)
    for word_address, lanes in memory.items():
        y += 5 if word_address - last > 4 else 0
        draw_word(axes, y, left, word_address, lanes)
        y, last = y + height, word_address
    return y


def draw_word(axes: Axes, y: float, left: float, word_address: int, lanes: dict[int, Pixel]) -> None:
    """One row of the table: address, four lanes, the word as a number."""
    width, height = 62.0, 19.0
    label(axes, 42, y + height / 2, f"0x{word_address:08X}", size=SMALL, style="mono")
    for lane in range(4):
        pixel = lanes.get(lane)
        colour, text = (CHANNELS[pixel.channel], str(pixel)) if pixel else (EMPTY, "00")
        cell(axes, left + (3 - lane) * width, y, width, height, colour, text)
    value = sum(pixel.value << 8 * lane for lane, pixel in lanes.items())
    label(axes, 370, y + height / 2, f"0x{value:08X}", size=SMALL, style="mono")


def notes(axes: Axes, top: float, *lines: str) -> None:
    """Small lines of text below a drawing."""
    for row, line in enumerate(lines):
        label(axes, 18, top + 18 + 14 * row, line, size=SMALL, align="left")
