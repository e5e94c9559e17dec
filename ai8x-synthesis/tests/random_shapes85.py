"""Random layers that AI85 can compute, wherever their outputs lie.

The limits are written out here from the AI85 hardware reference (the numbers are its sections), so that a wrong rule of
the generator is found.
"""

from dataclasses import dataclass, replace
from random import Random

from allocation85 import bits
from network_files85 import Shape, passes, per_pass

WORDS, SIDE = 8192, 1023  # words of an instance, most rows and columns (1.2)
TRIES = 40  # until a layer is found that is possible


@dataclass(frozen=True)
class Held:
    """What the next layer reads: who made it, its channels and map of processors, its pixels, and where it begins."""

    sources: tuple[int, ...]
    channels: int
    bitmap: int
    height: int
    width: int
    start: int
    chw: bool = False

    @property
    def words(self) -> int:
        """The words that it occupies (7.1, 7.2)."""
        pixels = self.height * self.width
        return (pixels + 3) // 4 if self.chw else pixels * passes(self.channels)

    @property
    def stop(self) -> int:
        """The first word behind it."""
        return self.start + self.words

    @property
    def instances(self) -> frozenset[int]:
        """The instances that hold it."""
        return frozenset(bit // 4 for bit in bits(self.bitmap))


def draw_pool(dice: Random, dims: tuple[int, int], flat: bool) -> tuple[str, tuple[int, int], int]:
    """Kind, window and stride of pooling; only a stride leaves pixels out (1.4)."""
    kind = dice.choice(["", "", "", "max", "avg", "leave out"])
    stride = dice.choice([1, 2, 2, 3, 4, 16, dice.randint(1, 16)])
    if kind == "leave out":
        return "", (1, 1), stride
    sides = [dice.choice([min(side, 16), min(side, dice.choice([1, 2, 2, 3, 4])), dice.randint(1, min(side, 16))])
             for side in dims]  # fmt: skip
    window = (sides[0], 1 if flat else sides[1])
    return (kind, window, stride) if kind and window != (1, 1) else ("", (1, 1), 1)


def draw_image(dice: Random, held: Held) -> Shape:
    """A two-dimensional convolution."""
    dims, side = (held.height, held.width), dice.choice([1, 3, 3])
    pool = draw_pool(dice, dims, False)
    return Shape("conv2d", dims, (side, side), pool, dice.choice([0, 1, 1, 2]) if side > 1 else 0)


def draw_signal(dice: Random, held: Held) -> Shape:
    """A one-dimensional convolution of all pixels in order (4.1)."""
    dims, size = (held.height * held.width, 1), dice.randint(1, 9)
    pad, pool = dice.randint(0, min(2, size - 1)), draw_pool(dice, dims, True)
    if size == 1 or dice.randint(0, 1):
        return Shape("conv1d", dims, (size, 1), pool, pad)
    if dice.randint(0, 1):  # short: with zeros between the taps (4.3.3)
        return Shape("conv1d", dims, (size, 1), pool, pad, dice.randint(1, max(1, 8 // (size - 1))))
    size = dice.choice([2, 3])  # long: as an image
    most = min((dims[0] - 1) // (size - 1), SIDE - 1)
    least = 9 if size == 2 else 5
    distance = dice.choice([least, most, dice.randint(min(least, most), max(least, most))])
    return Shape("conv1d", dims, (size, 1), dilation=max(1, distance))


def draw_passing(dice: Random, held: Held) -> Shape:
    """A layer without weights: pooling, sub-sampling, or a copy; several passes only pool to one pixel (1.2)."""
    dims = (held.height, held.width)
    flat = held.width == 1
    if held.channels > 64 and dice.randint(0, 1):
        return Shape("none", dims, pool=(dice.choice(["max", "avg"]), dims, dice.randint(1, 4)))
    return Shape("none", dims, pool=("", (1, 1), 1) if held.channels > 64 else draw_pool(dice, dims, flat))


def draw_connected(dice: Random, held: Held) -> Shape:
    """A fully connected layer of one pixel, of what is pooled to one, or of a flattened image (4.3.2)."""
    dims = (held.height, held.width)
    if dice.randint(0, 2):
        return Shape(dice.choice(["linear", "linear", "conv2d"]), dims, (1, 1), flatten=True)
    return Shape("linear", dims, (1, 1), pool=("", (1, 1), 1) if dims == (1, 1) else ("max", dims, 1))


def possible(held: Held, shape: Shape) -> bool:
    """Whether AI85 can compute this from what is held, wherever its output lies."""
    rows, columns = shape.dims if not shape.long else (-(-shape.dims[0] // shape.dilation), shape.dilation)
    pads = (1, 1) if shape.long else (shape.pad, 0 if shape.one_dimensional else shape.pad)
    if min(*shape.dims, *shape.pooled, *shape.out) < 1 or max(*shape.dims, *shape.out) > SIDE:
        return False  # 1.2
    if max(*shape.pool[1], shape.pool[2]) > 16 or max(rows + 2 * pads[0], columns + 2 * pads[1]) > SIDE + 1:
        return False  # 1.2
    if shape.flatten and (shape.dims[0] * shape.dims[1] * passes(held.channels) > 256
                          or held.channels % per_pass(held.channels)):
        return False  # 1.2, 5.4
    if (shape.flatten and held.chw) or (shape.op == "conv1d" and shape.dims[1] != 1):
        return False  # 7.2, 4.1
    if shape.op == "linear" and not shape.flatten and shape.pooled != (1, 1):
        return False  # 4.3.2
    read = rows * columns * passes(held.channels)
    if held.start + ((read + 3) // 4 if held.chw else read) > WORDS:
        return False  # 4.3.3: whole rows
    several = shape.op == "none" and held.channels > 64
    return not several or shape.pool == ("", (1, 1), 1) or shape.pooled == (1, 1)


def draw_shape(dice: Random, held: Held, last: bool) -> Shape | None:
    """A possible layer that reads what is held; None if none was found."""
    kinds = [draw_image] * 5 + [draw_signal] * 2 + [draw_passing] * 2 + [draw_connected] * 2
    for _ in range(TRIES):
        shape = dice.choice(kinds)(dice, held)
        reshaped = shape.dims != (held.height, held.width)
        if possible(held, shape) and not (reshaped and len(held.sources) > 1):
            return replace(shape, wide=last and shape.op != "none" and dice.randint(0, 2) == 0)
    return None
