"""What the values of options are made of; each refuses what does not fit with one message."""

import argparse
import math
from collections.abc import Callable, Sequence


def fraction(text: str) -> float:
    """A number in [0, 1)."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and less than 1; given {text}")
    return value


def positive(text: str) -> int:
    """An integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; given {text}")
    return value


def natural(text: str) -> int:
    """An integer of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0; given {text}")
    return value


def positive_number(text: str) -> float:
    """A finite number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0; given {text}")
    return value


def natural_number(text: str) -> float:
    """A finite number of at least 0."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be at least 0; given {text}")
    return value


def one_of(what: str, names: Sequence[str]) -> Callable[[str], str]:
    """A converter that accepts `names` in upper or lower case and gives them as listed."""

    def convert(text: str) -> str:
        for name in names:
            if name.lower() == text.lower():
                return name
        raise argparse.ArgumentTypeError(f"there is no {what} {text!r}; choose from {', '.join(names)}")

    return convert
