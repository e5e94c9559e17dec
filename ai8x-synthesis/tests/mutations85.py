"""Legal networks for AI85 with one thing changed in their description: illegal by construction, or perhaps legal.

The numbers beside a change are the sections of the AI85 hardware reference that forbid it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import yaml

from chip import Chip
from differential85 import request, run_program
from izer import pipeline
from izer.errors import IzerError, RuleError
from network_files85 import DrawnLayer85, DrawnNetwork85, per_pass
from random_networks85 import groups_used
from random_shapes85 import WORDS

Described = dict[str, Any]
Change = Callable[[Random, DrawnNetwork85, list[Described]], bool]


def changed(keys: Callable[[Random, DrawnLayer85], Described], where: Callable[[DrawnLayer85], bool]) -> Change:
    """The change that gives some keys to one of the layers for which `where` holds; it fails if there is none."""

    def change(dice: Random, network: DrawnNetwork85, described: list[Described]) -> bool:
        found = [n for n, layer in enumerate(network.layers) if where(layer)]
        if found:
            n = dice.choice(found)
            described[n] |= keys(dice, network.layers[n])
        return bool(found)

    return change


def pooled(dice: Random, window: list[int], stride: int) -> Described:
    """Keys for a pooling; the other kind is taken away."""
    kinds = dice.sample(["max_pool", "avg_pool"], 2)
    return {kinds[0]: window, kinds[1]: 0, "pool_stride": stride}


def anything(layer: DrawnLayer85) -> bool:
    """Every layer."""
    return True


def weighted(layer: DrawnLayer85) -> bool:
    """Layers with weights."""
    return layer.weighted


def image(layer: DrawnLayer85) -> bool:
    """Two-dimensional convolutions that are not flattened."""
    return layer.shape.op == "conv2d" and not layer.shape.flatten


def flattened(layer: DrawnLayer85) -> bool:
    """Flattened layers."""
    return layer.shape.flatten


def passing(layer: DrawnLayer85) -> bool:
    """Layers without weights."""
    return not layer.weighted


def not_last(dice: Random, network: DrawnNetwork85, described: list[Described]) -> bool:
    """32-bit output in the middle (10.3)."""
    found = [n for n, layer in enumerate(network.layers[:-1]) if layer.weighted]
    if found:
        described[dice.choice(found)]["output_width"] = 32
    return bool(found)


def too_many_layers(dice: Random, network: DrawnNetwork85, described: list[Described]) -> bool:
    """33 layers (1.2): copies of the last output follow."""
    last = network.layers[-1]
    if last.shape.wide or last.out_channels > 64 or last.outputs & (last.outputs + 1):
        return False
    bitmap = f"0x{last.outputs:x}"
    for n in range(33 - len(described)):
        described.append({"op": "none", "processors": bitmap, "output_processors": bitmap,
                          "out_offset": 4 * (0 if n % 2 else WORDS // 2)})
    return True


def overlapping(dice: Random, network: DrawnNetwork85, described: list[Described]) -> bool:
    """An output over its own input (10.4)."""
    found = [n for n, layer in enumerate(network.layers) if not layer.shape.long
             and set(layer.instances) & {bit // 4 for bit in range(64) if layer.processors >> bit & 1}]  # fmt: skip
    if found:
        n = dice.choice(found)
        described[n]["out_offset"] = 4 * network.layers[n].in_word
    return bool(found)


def beyond(dice: Random, network: DrawnNetwork85, described: list[Described]) -> bool:
    """A network input of more than four words that begins in the last one (7.8)."""
    described[0]["in_offset"] = 4 * WORDS - 4
    return network.layers[0].shape.dims[0] > 4


def unused_quadrant(dice: Random, network: DrawnNetwork85, described: list[Described]) -> bool:
    """A bias in a quadrant that does not take part (10.4)."""
    unused = sorted({0, 1, 2, 3} - set(groups_used(network.layers)))
    if unused:
        dice.choice(described)["bias_group"] = dice.choice(unused)
    return bool(unused)


def crowded(dice: Random, network: DrawnNetwork85, described: list[Described]) -> bool:
    """Two CHW channels in one instance (7.2), or more than 16 of them."""
    processors = network.layers[0].processors
    several = any((processors >> 4 * q & 15).bit_count() > 1 for q in range(16))
    described[0]["data_format"] = "chw"
    return several


def elsewhere(dice: Random, network: DrawnNetwork85, described: list[Described]) -> bool:
    """A layer that reads where nothing was written (10.3)."""
    if len(described) < 2:
        return False
    n = dice.randrange(1, len(described))
    described[n]["in_offset"] = 4 * ((network.layers[n].in_word + dice.choice([-1, 1, 100])) % WORDS)
    return True


def toggled(key: str) -> Change:
    """A map with a bit more, or less (10.4)."""

    def change(dice: Random, network: DrawnNetwork85, described: list[Described]) -> bool:
        n = dice.randrange(len(described))
        bitmap = network.layers[n].processors if key == "processors" else network.layers[n].outputs
        described[n][key] = bitmap ^ 1 << dice.randrange(64) or 3
        return True

    return change


FORBIDDEN: dict[str, tuple[str, Change]] = {  # what is changed, and the rule that it breaks
    "a processor more or less": ("popcount-in", toggled("processors")),
    "an output more or less": ("popcount-out", toggled("output_processors")),
    "shift above 15 (1.2)": ("shift", changed(
        lambda dice, layer: {"output_shift": dice.choice([16, 100]) - 8 + layer.bits}, weighted)),
    "shift below -15 (1.2)": ("shift", changed(lambda dice, layer: {"output_shift": -16 - 8 + layer.bits}, weighted)),
    "padding (1.2)": ("pad", changed(lambda dice, layer: {"pad": dice.choice([-1, 3, layer.shape.kernel[0]])}, image)),
    "padding without kernel (10.3)": ("pad", changed(lambda dice, layer: {"pad": 1},
                                                     lambda layer: layer.shape.op in ("none", "linear"))),
    "window above 16 (1.2)": ("pool-window", changed(lambda dice, layer: pooled(dice, [17, 17], 1), anything)),
    "window below 1 (1.2)": ("pool-window", changed(lambda dice, layer: pooled(dice, [-1, 2], 1), anything)),
    "window above the image (10.3)": ("size", changed(
        lambda dice, layer: pooled(dice, [layer.shape.dims[0] + 1, 1], 1), anything)),
    "pooling stride (1.2)": ("pool-window", changed(
        lambda dice, layer: {"pool_stride": dice.choice([0, 17])}, anything)),
    "pooling strides that differ (10.3)": ("pool-stride", changed(lambda dice, layer: {"pool_stride": [1, 2]}, image)),
    "stride (1.2)": ("stride", changed(lambda dice, layer: {"stride": 2}, weighted)),
    "kernel (1.2)": ("kernel", changed(lambda dice, layer: {"kernel_size": dice.choice(["5x5", "1x3", 10, 5])}, image)),
    "kernel of a linear layer (10.1)": ("kernel", changed(lambda dice, layer: {"kernel_size": "1x1"},
                                                          lambda layer: layer.shape.op == "linear")),
    "dilation (10.4)": ("dilation", changed(lambda dice, layer: {"dilation": dice.choice([2, 1024])}, image)),
    "dilation with padding (4.3.3)": ("dilation", changed(lambda dice, layer: {"pad": 1},
                                                          lambda layer: layer.shape.long)),
    "activation without weights (10.4)": ("pass-through", changed(
        lambda dice, layer: {"activate": dice.choice(["relu", "abs"])}, passing)),
    "shift without weights (10.4)": ("pass-through", changed(lambda dice, layer: {"output_shift": 1}, passing)),
    "32 bits without weights (10.4)": ("pass-through", changed(lambda dice, layer: {"output_width": 32}, passing)),
    "flatten without weights (10.3)": ("pass-through", changed(lambda dice, layer: {"flatten": True}, passing)),
    "flatten with pooling (10.3)": ("flatten", changed(lambda dice, layer: pooled(dice, [2, 1], 1), flattened)),
    "32 bits with activation (10.3)": ("wide", changed(
        lambda dice, layer: {"output_width": 32, "activate": "abs"}, weighted)),
    "32 bits in the middle (10.3)": ("wide", not_last),
    "offset (10.2)": ("offset", changed(
        lambda dice, layer: {"out_offset": dice.choice([-4, 2, 4 * WORDS, 4 * WORDS - 2])}, anything)),
    "output behind the memory (7.8)": ("capacity-out", changed(
        lambda dice, layer: {"out_offset": 4 * (WORDS - layer.words.stop + layer.out_word + 1)},
        lambda layer: layer.words.stop - layer.out_word > 1)),
    "input behind the memory (7.8)": ("capacity-in", beyond),
    "output over input (10.4)": ("overlap", overlapping),
    "other pixels (4.1)": ("in-dim", changed(
        lambda dice, layer: {"in_dim": [layer.shape.dims[0] + 1, layer.shape.dims[1]]},
        lambda layer: len(layer.sources) == 1)),
    "channels (4.1)": ("channels-given", changed(
        lambda dice, layer: {dice.choice(["in_channels", "out_channels"]): 2000}, anything)),
    "quadrant of a bias (10.4)": ("quadrants", unused_quadrant),
    "CHW channels in one instance (7.2)": ("chw-instance", crowded),
    "read elsewhere (10.3)": ("in-offset", elsewhere),
    "33 layers (1.2)": ("layers-max", too_many_layers),
}  # fmt: skip


def larger_channels(dice: Random, layer: DrawnLayer85) -> DrawnLayer85 | None:
    """More than 1024 output channels, or more than 512 with bias (1.2)."""
    return _with_outputs(layer, 513 if layer.bias else 1025) if layer.weighted else None


def larger_weights(dice: Random, layer: DrawnLayer85) -> DrawnLayer85 | None:
    """More kernels than weight memory has columns (5.7)."""
    fits = layer.shape.kernel == (3, 3) and layer.bits == 8 and not layer.bias
    return _with_outputs(layer, 769) if fits else None


def _with_outputs(layer: DrawnLayer85, count: int) -> DrawnLayer85:
    return replace(layer, out_channels=count, outputs=(1 << per_pass(count)) - 1)


def shifted_outputs(dice: Random, layer: DrawnLayer85) -> DrawnLayer85 | None:
    """Narrow weights, and outputs that do not begin at a multiple of 4 (5.6)."""
    return replace(layer, outputs=layer.outputs << 1) if layer.weighted and layer.bits < 8 and (
        layer.outputs.bit_length() < 64 and layer.outputs & 1) else None


def spread_outputs(dice: Random, layer: DrawnLayer85) -> DrawnLayer85 | None:
    """Outputs with holes of a 1x1 convolution (findings, 7)."""
    fits = layer.shape.kernel == (1, 1) and 1 < layer.out_channels <= 16
    return replace(layer, outputs=sum(1 << 4 * n for n in range(layer.out_channels))) if fits else None


def far_outputs(dice: Random, layer: DrawnLayer85) -> DrawnLayer85 | None:
    """A layer without weights whose outputs are in another quadrant (4.3.5)."""
    fits = not layer.weighted and layer.processors < 1 << 16
    return replace(layer, outputs=((1 << layer.out_channels) - 1) << 48) if fits else None


Other = Callable[[Random, DrawnLayer85], DrawnLayer85 | None]
LAST: dict[str, tuple[str, Other]] = {  # what is changed of the last layer, weights included, and the broken rule
    "more than 1024 output channels (1.2)": ("channels-max", larger_channels),
    "more than 768 columns (5.7)": ("weight-memory", larger_weights),
    "narrow weights, unaligned outputs (5.6)": ("output-lanes", shifted_outputs),
    "outputs with holes (findings, 7)": ("output-holes", spread_outputs),
    "copy to another quadrant (4.3.5)": ("pass-through-map", far_outputs),
}


VALUES: dict[str, list[Any]] = {
    "pad": [0, 1, 2], "max_pool": [0, 1, 2, [1, 2], [3, 2], 16], "avg_pool": [0, 2, [2, 3], 5],
    "pool_stride": [1, 2, 3], "activate": ["none", "relu", "abs"], "op": ["conv1d", "conv2d", "linear", "none"],
    "flatten": [True, False],
    "output_shift": [-15, -8, 0, 3, 7, 15], "output_width": [8, 32], "quantization": [1, 2, 4, 8],
    "kernel_size": ["1x1", "3x3", 1, 3, 9], "dilation": [1, 2, 5, 20], "bias_group": [0, 1, 2, 3, [0, 1]],
    "in_dim": [1, [1, 1], 16, [4, 4], [2, 8]], "data_format": ["chw", "hwc"], "in_sequences": [-1, 0, [0, 1], [-1, 0]],
    "in_offset": [0, 4, 256, 8192], "out_offset": [0, 4, 256, 8192, 16384, 32764], "name": ["x", "input"],
    "output_processors": [1, 3, 14, 15, 255, 0xFFFF, 0xF000, 1 << 63, 2**64 - 1], "in_channels": [1, 4, 64],
    "processors": [1, 3, 15, 30, 255, 0xFFFF, 2**64 - 1], "operands": [2], "eltwise": ["add"], "write_gap": [1],
}  # fmt: skip


def anywhere(dice: Random, network: DrawnNetwork85, described: list[Described]) -> bool:
    """One key of one layer gets another value, or goes; that may be legal or not."""
    layer = dice.choice(described)
    if dice.randint(0, 3) == 0:
        layer.pop(dice.choice([key for key in layer if key != "processors"]))
    else:
        key = dice.choice(list(VALUES))
        layer[key] = dice.choice(VALUES[key])
    return True


def change_files(dice: Random, network: DrawnNetwork85, change: Change, folder: Path) -> bool:
    """Write the files of a network with a changed description; False if that change is not possible."""
    network.write(folder)
    whole = yaml.safe_load((folder / "net.yaml").read_text())
    if not change(dice, network, whole["layers"]):
        return False
    if any("output_processors" in layer for layer in whole["layers"][-1:]):
        whole.pop("output_map", None)
    (folder / "net.yaml").write_text(yaml.safe_dump(whole, default_flow_style=None, sort_keys=False))
    return True


def change_last(dice: Random, network: DrawnNetwork85, change: Other) -> DrawnNetwork85 | None:
    """The network with another last layer; None if that change is not possible."""
    *before, last = network.layers
    other = change(dice, last)
    return replace(network, layers=(*before, other)) if other else None


def refusal(network: DrawnNetwork85, folder: Path) -> set[str]:
    """The rules that the files in a folder break; none where they are accepted."""
    try:
        pipeline.build_model(request(network, folder))
    except RuleError as error:
        return {violation.rule for violation in error.violations}
    return set()


def accepted(network: DrawnNetwork85, folder: Path) -> bool:
    """Whether the files are accepted; then the program must give the reference's output on the chip model."""
    try:
        model = pipeline.build_model(request(network, folder))
    except IzerError:
        return False
    with Chip(85) as chip:
        run_program(chip, pipeline.embedded_program(model), model.values[-1].output)
    return True
