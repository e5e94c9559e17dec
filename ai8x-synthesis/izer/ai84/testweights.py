"""Weights that no training made: of synthetic test networks (`arch: test`, AI84 hardware reference 14.3), or random."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checkpoint import Checkpoint, LayerWeights
from ..errors import IzerError, RuleError, Violation
from ..yamlcfg import Description
from .checkpoint import named_weights

TEST_ARCH = "test"


def read_test_weights(description: Description) -> Checkpoint:
    """The weights of a synthetic test network.

    They are in weights_NAME.npy beside the description, where NAME is its key `weights`, or else `dataset`: one array
    [Cout, Cin, 3, 3] per layer back to back, or one array with a leading dimension for the layers. With the key `bias`
    the file bias_NAME.npy holds one array [Cout] per layer. Raises IzerError if a file is missing or holds anything
    else, RuleError as a checkpoint does.
    """
    folder = Path(description.path).parent
    path = folder / f"weights_{description.weights or description.dataset.lower()}.npy"
    weights = _arrays(path, 5)
    tensors = {f"layer{n}.weight": array for n, array in enumerate(weights)}
    if description.bias:
        bias = folder / f"bias_{description.bias}.npy"
        biases = _arrays(bias, 2)
        if len(biases) != len(weights):
            raise RuleError([Violation("bias-arrays", "A file of test biases has one array per layer.",
                                       f"{len(biases)} for {len(weights)} layers", "", None, str(bias))])
        tensors |= {f"layer{n}.bias": array for n, array in enumerate(biases)}
    return named_weights(str(path), description.arch, tensors)


def _arrays(path: Path, stacked: int) -> list[NDArray[np.int64]]:
    """The arrays of a file; one with `stacked` dimensions holds those of all layers."""
    try:
        with path.open("rb") as file:
            arrays = list(_each(file.read(), path))
    except OSError as error:
        raise IzerError(f"{path}: cannot read the test weights: {error.strerror}.") from None
    if len(arrays) == 1 and arrays[0].ndim == stacked:
        return list(arrays[0])
    return arrays


def _each(content: bytes, path: Path) -> Iterator[NDArray[np.int64]]:
    """The NumPy arrays that stand one after the other."""
    stream = io.BytesIO(content)
    while stream.tell() < len(content):
        try:
            array = np.load(stream, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise IzerError(f"{path}: not NumPy arrays back to back ({error}).") from None
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu" or array.size == 0:
            raise IzerError(f"{path}: test weights are arrays of integers.")
        yield array.astype(np.int64)


def random_weights(description: Description, seed: int) -> Checkpoint:
    """Weights for a network that is only described; its channels are counted from the maps of processors.

    They are spread so that the values of a layer are about as large as those of the layer before.
    """
    random = np.random.default_rng(seed)
    tensors = {}
    for n, shape in enumerate(layer_shapes(description)):
        spread = 128 * np.sqrt(2 / np.prod(shape[1:]))
        values = np.rint(random.normal(0, spread, shape))
        tensors[f"layer{n}.weight"] = np.clip(values, -128, 127).astype(np.int64)
    return named_weights(f"random weights of seed {seed}", description.arch, tensors)


def layer_shapes(description: Description) -> list[tuple[int, ...]]:
    """The shapes of the weights of a network that is only described; channels are counted from the processor maps.

    The output channels of a layer that no other reads are those of `output_map` or `output_processors`; 1 where
    neither is given.
    """
    maps = []
    for n, layer in enumerate(description.layers):
        reader = description.reader(n)
        maps.append(layer.output_processors or (1 if reader is None else description.layers[reader].processors))
    maps[-1] = description.output_map or maps[-1]
    return [(outputs.bit_count(), layer.processors.bit_count(), *((9,) if layer.op == "conv1d" else (3, 3)))
            for layer, outputs in zip(description.layers, maps, strict=True)]  # fmt: skip


def untrained(description: Description) -> Checkpoint:
    """Weights of 0 for a network that is only described."""
    shapes = enumerate(layer_shapes(description))
    layers = tuple(LayerWeights(f"layer {n}", np.zeros(shape, np.int8), None) for n, shape in shapes)
    return Checkpoint("no checkpoint", description.arch, layers, None)
