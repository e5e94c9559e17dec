"""Random legal networks: reference, chip model, 8-bit training layers and compiled firmware give equal integers."""

import numpy as np
import pytest
from hypothesis import given, settings

from differential import build, fuzz
from izer import reference
from random_networks import random_networks

CHUNKS, EXAMPLES = 10, 30  # 300 networks; make fuzz N=10000 runs more


@pytest.mark.parametrize("number", range(CHUNKS))
def test_reference_chip_model_training_layers_and_firmware_are_equal(number):
    counts = fuzz(number, EXAMPLES)
    assert counts["networks"] >= EXAMPLES
    assert counts["compiled"] >= 1


@settings(max_examples=60, deadline=None)
@given(network=random_networks())
def test_reference_equals_sums_written_out(network, tmp_path_factory):
    """One layer, in plain integers: windows, taps, rounding (AI84 hardware reference 1.4)."""
    model = build(network, tmp_path_factory.mktemp("net"))
    layer = model.network.layers[0]
    kind, size, step = layer.pool, layer.pool_size, layer.pool_stride
    image = model.data.reshape(layer.in_channels, layer.height, layer.width).astype(int).tolist()
    if kind:
        rows, columns = range(0, layer.height - size + 1, step), range(0, layer.width - size + 1, step)
        windows = [[[[plane[y + i][x + j] for i in range(size) for j in range(size)] for x in columns] for y in rows]
                   for plane in image]  # fmt: skip
        combine = max if kind == "max" else lambda window: int(sum(window) / size**2)
        image = [[[combine(window) for window in row] for row in plane] for plane in windows]
    output = reference.run_layer(layer, model.data).output
    random = np.random.default_rng(network.seed)
    for o, y, x in zip(*(random.integers(0, size, 40) for size in output.shape), strict=True):
        total = 0 if layer.bias is None else int(layer.bias[o])
        for c, plane in enumerate(image):
            for i in range(3):
                for j in range(3):
                    v, h = y + i - layer.pad_rows, x + j - layer.pad_columns
                    if 0 <= v < len(plane) and 0 <= h < len(plane[0]):
                        total += int(layer.weight[o, c, i, j]) * plane[v][h]
        value = min(max((total + 64) // 128, -128), 127)
        assert output[o, y, x] == (max(value, 0) if layer.relu else value)
