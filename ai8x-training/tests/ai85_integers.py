"""AI85's arithmetic in int64, written out from the hardware reference, to compare the training layers with."""

from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


@dataclass(frozen=True)
class Parameters:
    """What a quantized layer has: integer weights [K, C, kh, kw], biases [K] as the device adds them, and the scale."""

    weight: np.ndarray
    bias: np.ndarray | None
    bits: int
    shift: int


@dataclass(frozen=True)
class Form:
    """How a layer computes. Sizes are (rows, columns); `pool` is None or (kind, window, stride)."""

    padding: tuple[int, int] = (0, 0)
    dilation: int = 1
    pool: tuple[str, tuple[int, int], int] | None = None
    activation: str | None = None
    wide: bool = field(default=False)


def pool(data: np.ndarray, form: Form) -> np.ndarray:
    """Pooling of [N, C, H, W]: maximum, or the mean truncated toward zero (AI85 hardware reference 1.4)."""
    if form.pool is None:
        return data
    kind, window, stride = form.pool
    windows = sliding_window_view(data, window, axis=(2, 3))[:, :, ::stride, ::stride]
    if kind == "Max":
        return windows.max((4, 5))
    total = windows.sum((4, 5))
    return np.sign(total) * (np.abs(total) // (window[0] * window[1]))


def layer(data: np.ndarray, parameters: Parameters, form: Form) -> np.ndarray:
    """One layer on int64 [N, C, H, W] (AI85 hardware reference 1.4)."""
    rows, columns = form.padding
    data = np.pad(pool(data, form), ((0, 0), (0, 0), (rows, rows), (columns, columns)))
    taps, width = parameters.weight.shape[2:]
    span = (taps - 1) * form.dilation + 1
    windows = sliding_window_view(data, (span, width), axis=(2, 3))[..., :: form.dilation, :]
    acc = np.einsum("nchwij,ocij->nohw", windows, parameters.weight)
    if parameters.bias is not None:
        acc = acc + 128 * parameters.bias[:, None, None]
    if form.wide:
        return acc
    shift = parameters.shift + 8 - parameters.bits
    scaled = ((acc << shift) + 64) >> 7 if shift >= 0 else (acc + (64 << -shift)) >> (7 - shift)
    out = np.clip(scaled, -128, 127)
    if form.activation == "ReLU":
        return np.maximum(out, 0)
    return np.minimum(np.abs(out), 127) if form.activation == "Abs" else out


def quantize(
    weight: np.ndarray, bias: np.ndarray | None, bits: int, quantile: float = 1.0, bias_bits: int | None = None
) -> Parameters:
    """Float parameters to integers (AI85 hardware reference 12.3.1); the clamp of the exponent included.

    A bias has `bias_bits` bits, as many as the weights where it is None.
    """
    everything = np.concatenate([part.flatten() for part in (weight, bias) if part is not None])
    limit = np.quantile(np.abs(everything.astype(np.float32)), quantile)
    exponent = int(np.clip(np.floor(np.log2(1 / limit)), -7 - bits, 23 - bits))

    def integers(values: np.ndarray, width: int) -> np.ndarray:
        scaled = np.float32(2.0 ** (bits - 1 + exponent)) * values.astype(np.float32)
        low, high = -(2 ** (width - 1)), 2 ** (width - 1) - 1
        return np.clip(np.floor(scaled + np.float32(0.5)), low, high).astype(np.int64)

    return Parameters(
        integers(weight, bits), None if bias is None else integers(bias, bias_bits or bits), bits, -exponent
    )
