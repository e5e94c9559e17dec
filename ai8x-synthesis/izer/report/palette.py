"""A colour for each layer, legible on light and dark pages."""

from dataclasses import dataclass

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart, and a brown instead of black.
BASE = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#d55e00", "#8a6d3b")
TINTS = ((0, 0.0), (255, 0.5), (0, 0.4), (255, 0.75))  # every eight layers: towards black or white, and how far
INPUT = "#9aa5b1"


@dataclass(frozen=True)
class Colour:
    """A fill, and the ink for text on it, as #rrggbb."""

    fill: str
    ink: str


def layer_colour(index: int) -> Colour:
    """The colour of a layer, 0 to 31, or of the network input, which has the number -1."""
    if index < 0:
        return _with_ink(INPUT)
    target, share = TINTS[index // len(BASE) % len(TINTS)]
    channels = (round(channel + (target - channel) * share) for channel in _channels(BASE[index % len(BASE)]))
    return _with_ink("#" + "".join(f"{channel:02x}" for channel in channels))


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, 1 to 21, as WCAG 2.1 defines it."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _with_ink(fill: str) -> Colour:
    return Colour(fill, max("#000000", "#ffffff", key=lambda ink: contrast(fill, ink)))


def _channels(colour: str) -> list[int]:
    return [int(colour[n : n + 2], 16) for n in (1, 3, 5)]


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    parts = [channel / 255 for channel in _channels(colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
