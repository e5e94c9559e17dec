#!/usr/bin/env python3
"""Draw pictures of circles, crosses, squares and triangles into folders, as an example of a user's own data.

usage: shapes.py DIR
"""

import random
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

SIDE, COUNTS = 32, {"train": 200, "test": 50}
Draw = Callable[[ImageDraw.ImageDraw, float, float, float, int], None]


def circle(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, grey: int) -> None:
    draw.ellipse((x - r, y - r, x + r, y + r), outline=grey, width=2)


def cross(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, grey: int) -> None:
    draw.line((x - r, y, x + r, y), grey, 3)
    draw.line((x, y - r, x, y + r), grey, 3)


def square(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, grey: int) -> None:
    draw.rectangle((x - r, y - r, x + r, y + r), outline=grey, width=2)


def triangle(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, grey: int) -> None:
    draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], outline=grey, width=2)


SHAPES: dict[str, Draw] = {"circle": circle, "cross": cross, "square": square, "triangle": triangle}


def picture(shape: Draw, dice: random.Random) -> Image.Image:
    """One shape of any size, place and brightness on a dark, noisy ground."""
    noise = bytes(dice.randrange(60) for _ in range(SIDE * SIDE))
    image = Image.frombytes("L", (SIDE, SIDE), noise)
    radius = dice.uniform(5, 11)
    x, y = (dice.uniform(radius + 1, SIDE - radius - 2) for _ in range(2))
    shape(ImageDraw.Draw(image), x, y, radius, dice.randrange(120, 256))
    return image


def main(folder: Path) -> None:
    dice = random.Random(1)
    for part, count in COUNTS.items():
        for name, shape in SHAPES.items():
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture(shape, dice).save(folder / part / name / f"{number:03}.png")
    print(f"{folder}: {sum(COUNTS.values()) * len(SHAPES)} pictures of {', '.join(SHAPES)}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
