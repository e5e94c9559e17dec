"""How many clocks a convolution takes (AI85 hardware reference 14.1), for all devices.

The formulas count reading and computing one after the other. Here they are split: `reading` is what the layer would
read without pooling, `pooling` what it reads more, `convolving` a clock for each output pixel, mask and pass.
"""

from dataclasses import dataclass

from .network import Layer


@dataclass(frozen=True)
class Clocks:
    """Clocks of the accelerator in one layer, by what it does.

    Words are written while the next outputs are computed; only a layer without weights needs clocks for `writing`.
    """

    reading: int
    pooling: int
    convolving: int
    writing: int

    @property
    def total(self) -> int:
        """Clocks of the layer."""
        return self.reading + self.pooling + self.convolving + self.writing


@dataclass(frozen=True)
class Fetch:
    """Clocks in which one pixel is fetched: of the padding, of the image, and of the image if nothing were pooled."""

    padding: int
    pixel: int
    unpooled: int


def convolution(layer: Layer, fetch: Fetch, passes: int, outputs: int) -> Clocks:
    """Clocks of a layer with weights, which computes `outputs` masks for every pixel and pass."""
    reading = _reading(layer, fetch.padding, fetch.unpooled)
    pooling = _reading(layer, fetch.padding, fetch.pixel) - reading
    row = passes * _out_width(layer) * outputs + (1 if outputs == 1 and passes == 1 else 0)
    rows = layer.pooled_height - _rows_ahead(layer) + layer.pad_rows
    return Clocks(reading, pooling, rows * row, 0)


def _out_width(layer: Layer) -> int:
    return layer.pooled_width if layer.flatten else layer.out_width


def _rows_ahead(layer: Layer) -> int:
    """Rows of the image that are read before the first output."""
    return (layer.kernel[0] if not layer.flatten else 1) - 1 - layer.pad_rows


def _reading(layer: Layer, padding: int, pixel: int) -> int:
    """Clocks of reading the padded image: pr * F + (kh - 1 - pr) * N + (rows) * R + pr * B of 14.1."""
    filled, bottom = _row(layer, padding, pixel), _row(layer, padding, padding)
    above, ahead = layer.pad_rows, _rows_ahead(layer)
    return (above * _unused_row(layer, padding, padding) + ahead * _unused_row(layer, padding, pixel)
            + (layer.pooled_height - ahead) * filled + above * bottom)  # fmt: skip


def _unused_row(layer: Layer, padding: int, each: int) -> int:
    """A row that is read before the first output: F and N of 14.1."""
    return 2 * layer.pad_columns * (padding + 1) + layer.pooled_width * (each + 1)


def _row(layer: Layer, padding: int, each: int) -> int:
    """A row in which outputs are computed: R and B of 14.1, without the outputs."""
    beside, taps = layer.pad_columns, 1 if layer.flatten else layer.kernel[1]
    return (beside * (padding + 1) + (taps - 1 - beside) * (each + 1) + (_out_width(layer) - beside) * each
            + beside * padding)  # fmt: skip
