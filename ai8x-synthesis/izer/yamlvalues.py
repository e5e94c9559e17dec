"""What the value of a key in a network description may be.

A parser takes the YAML value and returns the checked value, or raises ValueError with what the key must be.
"""

import re
from collections.abc import Callable
from typing import Any

Parser = Callable[[Any], Any]

MASK64 = (1 << 64) - 1
NETWORK_INPUT = -1  # in `in_sequences`: the network input


def is_integer(value: Any) -> bool:
    """Whether a value is a number without fraction; YAML's true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def integer(value: Any) -> int:
    """Any integer."""
    if not is_integer(value):
        raise ValueError("an integer")
    return int(value)


def positive(value: Any) -> int:
    """An integer above 0."""
    if not is_integer(value) or value < 1:
        raise ValueError("an integer from 1")
    return int(value)


def map64(value: Any) -> int:
    """A map of processors."""
    if not is_integer(value) or not 0 < value <= MASK64:
        raise ValueError("a 64-bit integer (a bit map) with at least one bit set")
    return int(value)


def map_text(value: Any) -> int:
    """A map of processors, also as a text of hexadecimal digits with dots or underscores between them."""
    digits = re.sub(r"[._]", "", value) if isinstance(value, str) else ""
    return map64(int(digits, 16) if re.fullmatch(r"(0x)?[0-9a-fA-F]+", digits) else value)


def sequence(value: Any) -> int:
    """A layer's place in the order of execution."""
    if not is_integer(value) or not 0 <= value <= 31:
        raise ValueError("an integer from 0 to 31")
    return int(value)


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def truth(value: Any) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _sides(value: Any) -> list[int] | None:
    """One or two integers; None for anything else."""
    sides = value if isinstance(value, list) else [value]
    return sides if 1 <= len(sides) <= 2 and all(map(is_integer, sides)) else None


def square(value: Any) -> tuple[int, int]:
    """A size, or two equal ones: pooling is square on AI84 (AI84 hardware reference 11.3)."""
    sides = _sides(value)
    if not sides:
        raise ValueError("an integer, or two equal ones")
    if sides[0] != sides[-1]:
        raise ValueError("an integer, or two equal ones: pooling is square")
    return sides[0], sides[0]


def pair(value: Any) -> tuple[int, int]:
    """A size for both directions, or rows and columns."""
    sides = _sides(value)
    if not sides:
        raise ValueError("an integer, or a list of rows and columns")
    return sides[0], sides[-1]


def window(parse: Parser) -> Parser:
    """A pooling window; 0 stands for none."""

    def parse_window(value: Any) -> tuple[int, int] | None:
        sides: tuple[int, int] = parse(value)
        return None if sides == (0, 0) else sides

    return parse_window


def dimensions(value: Any) -> tuple[int, int]:
    """Rows and columns of an image; a length is a column."""
    sides = value if isinstance(value, list) else [value, 1]
    if len(sides) != 2 or any(not is_integer(n) or n < 1 for n in sides):
        raise ValueError("a list of rows and columns, or a length")
    return (sides[0], sides[1])


def sequences(value: Any) -> tuple[int, ...]:
    """Sequence numbers of layers."""
    listed = [NETWORK_INPUT if n == "input" else n for n in (value if isinstance(value, list) else [value])]
    if not listed or any(not is_integer(n) or not -1 <= n <= 31 for n in listed):
        raise ValueError("an earlier layer's sequence number, -1 or `input` for the network input, or a list of them")
    return tuple(listed)


def named_sequences(value: Any) -> tuple[int | str, ...]:
    """Sequence numbers or names of layers."""
    listed = value if isinstance(value, list) else [value]
    names = tuple(n for n in listed if isinstance(n, str) and n and n != "input")
    numbers = [n for n in listed if n not in names]
    numbered = iter(sequences(numbers) if numbers or not names else ())
    return tuple(n if n in names else next(numbered) for n in listed)


def groups(value: Any) -> tuple[int, ...]:
    """Quadrants, one or several."""
    listed = value if isinstance(value, list) else [value]
    if not listed or any(not is_integer(n) or not 0 <= n <= 3 for n in listed):
        raise ValueError("a quadrant from 0 to 3, or a list of them")
    return tuple(listed)


def choice(**names: str | None) -> Parser:
    """Parser for one of several words, in any case; `names` maps words to their meaning."""

    def parse(value: Any) -> str | None:
        if not isinstance(value, str) or value.lower() not in names:
            raise ValueError("one of " + ", ".join(names))
        return names[value.lower()]

    return parse


def or_nothing(parse: Parser, word: str) -> Parser:
    """The same parser, for which no value, which is how some write None, is a certain word."""
    return lambda value: parse(word if value is None else value)


def one_of(*allowed: int) -> Parser:
    """Parser for one of several numbers."""

    def parse(value: Any) -> int:
        if not is_integer(value) or value not in allowed:
            raise ValueError(" or ".join(map(str, allowed)))
        return int(value)

    return parse


def between(low: int, high: int) -> Parser:
    """Parser for a number of a range, both ends included."""

    def parse(value: Any) -> int:
        if not is_integer(value) or not low <= value <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return int(value)

    return parse


def kernel84(value: Any) -> str | int:
    """Kernel of AI84: 3x3, or length 9."""
    if isinstance(value, bool) or value not in ("3x3", 9):
        raise ValueError("3x3, or 9 for conv1d")
    return "3x3" if value == "3x3" else 9


def kernel85(value: Any) -> str | int:
    """Kernel of AI85: ROWSxCOLUMNS, or a length; a rule says which of them exist."""
    if isinstance(value, str) and re.fullmatch(r"[1-9]\d?x[1-9]\d?", value.lower()):
        return value.lower()
    if is_integer(value) and 1 <= value < 100:
        return int(value)
    raise ValueError("3x3 or 1x1, or 1 to 9 for conv1d")
