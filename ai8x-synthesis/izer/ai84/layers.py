"""Layers of AI84: 3x3 convolutions, and one-dimensional ones on the same engine."""

from ..network import Layer, Part

KERNEL = 3


def build_layer(part: Part) -> Layer:
    """A layer with its weights.

    A layer with the operation "conv1d" (kernel 9, stride 3) is an image of three columns, padded by `pad` / 3 rows
    above and below, and its kernel is the 3x3 kernel row by row (AI84 hardware reference 12.6).
    """
    described, stored = part.described, part.stored
    if stored is None:
        raise ValueError(f"layer {part.index} has no weights")  # all operations of AI84 have
    _, height, width = part.shape
    flat = described.op == "conv1d"
    if flat:
        height, width = height * width // KERNEL, KERNEL
    pool = "max" if described.max_pool else "avg" if described.avg_pool else ""
    pad = described.pad if described.pad is not None else 0 if flat else 1
    outputs, inputs = stored.weight.shape[:2]
    return Layer(
        part.index, stored.name, described.line, part.sources, described.op, inputs, height, width, pool,
        described.max_pool or described.avg_pool or (1, 1),
        described.pool_stride if pool else (1, 1), pad, (pad // KERNEL, 0) if flat else (pad, pad),
        described.activate or "", stored.weight.reshape(outputs, inputs, KERNEL, KERNEL), stored.bias,
    )  # fmt: skip
