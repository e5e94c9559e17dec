"""How AI85 represents the parameters of a layer: q-bit integers and a power of two, chosen for the whole layer.

Training rounds with these functions in every step, so that what it optimizes is what the quantizer will write
(AI85 hardware reference 12.3.1). All arithmetic is in single precision.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

import ai8x

WEIGHT_BITS = (1, 2, 4, 8)


@torch.no_grad()
def exponent(parameters: Sequence[Tensor], bits: int, quantile: float) -> int:
    """The largest e for which 2**e times the `quantile` of all |parameters| of a layer does not exceed 1.

    Limited to -7 - bits ... 23 - bits, so that the output shift -e, to which the device adds 8 - bits, is in -15..15.
    """
    sizes = torch.cat([parameter.flatten() for parameter in parameters]).float().abs()
    limit = sizes.max() if quantile == 1 else torch.quantile(sizes, quantile)
    return int(torch.floor(torch.log2(1 / limit)).clamp(-7 - bits, 23 - bits))


def fake(parameter: Tensor, exponent: int, weight_bits: int, bits: int) -> Tensor:
    """`parameter` * 2**`exponent` rounded to multiples of 2**(1 - `weight_bits`), of which `bits` bits count.

    A weight has as many bits as its layer's weights have; a bias may have more. Gradients pass the rounding, and are 0
    where the result saturates.
    """
    steps, limit = 2.0 ** (weight_bits - 1), 2 ** (bits - 1)
    return ai8x.clamp(
        ai8x.round_half_up(parameter * 2.0**exponent, steps), ai8x.Range(-limit / steps, (limit - 1) / steps)
    )
