"""The network's input as text: an image in shades, a signal as a curve."""

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

RAMP = " .:-=+*#%@"
"""Characters from dark to bright."""
CURVE_ROWS, CURVE_COLUMNS = 16, 36
"""Size of a curve; characters are drawn twice side by side."""

Grey = NDArray[np.int64]
"""Levels of 0 (black) to 255 (white), [rows, columns]."""


def of(data: NDArray[np.int8], colour: bool) -> Text:
    """An int8 input [C, H, W]; with `colour` for a terminal that has 16 million of them, otherwise in characters."""
    grey = curve(data[0, :, 0]) if data.shape[2] == 1 else grey_levels(data)
    return blocks(grey) if colour else Text(ascii_art(grey))


def grey_levels(image: NDArray[np.int8]) -> Grey:
    """The mean of all channels of an image [C, H, W]."""
    grey: Grey = image.astype(np.int64).mean(axis=0).round().astype(np.int64) + 128
    return grey


def curve(samples: NDArray[np.int8]) -> Grey:
    """A signal [L], of several channels the first: in each column white from its smallest to its largest sample."""
    parts = np.array_split(samples.astype(np.int64), min(CURVE_COLUMNS, len(samples)))
    top, bottom = (np.array([(127 - end(part)) * CURVE_ROWS // 256 for part in parts]) for end in (np.max, np.min))
    rows = np.arange(CURVE_ROWS)[:, None]
    return np.where((rows >= top) & (rows <= bottom), 255, 0)


def blocks(grey: Grey) -> Text:
    """Two pixels a character: the upper one in the foreground colour, the lower one in the background colour."""
    rows = np.pad(grey, ((0, len(grey) % 2), (0, 0)))
    text = Text()
    for upper, lower in zip(rows[::2].tolist(), rows[1::2].tolist(), strict=True):
        for a, b in zip(upper, lower, strict=True):
            text.append("▀", style=f"rgb({a},{a},{a}) on rgb({b},{b},{b})")
        text.append("\n")
    return text


def ascii_art(grey: Grey) -> str:
    """Two characters a pixel, so that it looks about square."""
    return "\n".join("".join(2 * RAMP[value * len(RAMP) // 256] for value in row).rstrip() for row in grey.tolist())
