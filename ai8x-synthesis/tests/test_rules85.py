"""Every rule of AI85 refuses a network that breaks it, and says where; what it asks for is accepted."""

from pathlib import Path

import pytest

from izer.errors import RuleError
from izer.targets import TARGETS
from networks85 import ALL, Layers, conv, conv1d, model, through

TARGET = TARGETS[85]
LATER = [("streaming", True), ("write_gap", 1), ("in_crop", [1, 1]), ("output", True), ("weight_source", 0),
         ("next_sequence", "stop"), ("buffer_shift", 1), ("op", "convtranspose2d"), ("op", "add"),
         ("eltwise", "sub"), ("operands", 2)]  # fmt: skip
OTHERS = [("groups", 2), ("conv_groups", 2), ("read_gap", 1), ("pool_dilation", 2), ("bypass", True)]


def plain(**more: object) -> Layers:
    """Four channels of 8x8 pixels to four."""
    return conv("3x3", 0xF, 0xF0, 4, **more)


def linear(inputs: int, outputs: int, channels: int, **more: object) -> Layers:
    return [{"processors": inputs, "output_processors": outputs, "op": "linear", "out_channels": channels,
             "out_offset": 0x4000, **more}]  # fmt: skip


SHAPE = (4, 8, 8)
BROKEN = {  # rule: shape of the input, layers that break it
    "pool-first": (SHAPE, plain(pool_first=False)),
    "channels-max": ((1028, 2, 2), conv("1x1", ALL, 1, 1)),
    "kernel": (SHAPE, through(0xF, 0xF, kernel_size="1x1")),
    "stride": (SHAPE, plain(stride=2)),
    "pool-window": ((4, 40, 40), plain(max_pool=17)),
    "pool-stride": (SHAPE, plain(max_pool=2, pool_stride=[1, 2])),
    "pad": (SHAPE, plain(pad=3)),
    "one-dimensional": (SHAPE, conv1d(3, 0xF, 0xF)),
    "dilation": ((4, 60), conv1d(4, 0xF, 0xF, dilation=3)),
    "dimensions": ((1, 1024, 1), conv1d(1, 1, 1)),
    "pixels": ((1, 1449, 1449), conv("1x1", 1, 1, 1)),
    "linear": (SHAPE, linear(0xF, 0xF, 4)),
    "flatten": ((4, 16, 17), linear(0xF, 0xF, 4, flatten=True)),
    "flatten-inputs": ((4, 2, 2), linear(0xF, 0xF, 4, flatten=True, max_pool=2, in_dim=[4, 1])),
    "pass-through": (SHAPE, through(0xF, 0xF, activate="relu")),
    "shift": (SHAPE, plain(output_shift=12, quantization=4)),
    "wide": (SHAPE, plain(output_width=32, activate="relu")),
    "narrow-passes": ((70, 4, 4), conv("3x3", (1 << 36) - 1, 1, 1, quantization=4)),
    "popcount-in": (SHAPE, conv("3x3", 0x1F, 0xF0, 4)),
    "popcount-out": (SHAPE, conv("3x3", 0xF, 0xF0, 5)),
    "pass-through-map": (SHAPE, through(0xF, 0xF0000)),
    "output-lanes": (SHAPE, conv("3x3", 0xF, 0xE, 3, quantization=4)),
    "output-holes": (SHAPE, conv("1x1", 0xF, 0x33, 4)),
    "narrow-outputs": ((4, 4, 4), conv("3x3", 0xF, (1 << 36) - 1, 68, quantization=1)),
    "quadrants": (SHAPE, plain(bias_group=1)),
    "offset": (SHAPE, plain(out_offset=0x2002)),
    "capacity-in": ((4, 91, 91), plain(out_offset=0)),
    "capacity-out": (SHAPE, plain(out_offset=0x7F80)),
    "chw-passes": ((4, 4, 4), linear(0x1111, 0xF, 4, flatten=True, data_format="chw")),
    "weight-memory": ((1024, 2, 2), conv("3x3", ALL, (1 << 52) - 1, 52, pad=1)),
    "joined-passes": ((64, 2, 2), [*conv("1x1", ALL, ALL, 64, out_offset=0x4000),
                                   {"processors": ALL, "in_sequences": [-1, 0], "kernel_size": "1x1", "pad": 0}]),
}  # fmt: skip
LEGAL = {
    "pool-window": ((4, 40, 40), plain(max_pool=16, pool_stride=16, pad=1)),
    "pad": (SHAPE, plain(pad=2)),
    "dilation": ((4, 60), conv1d(3, 0xF, 0xF, dilation=20)),
    "dimensions": ((1, 1023, 1), conv1d(1, 1, 1, out_offset=0x4000)),
    "flatten": ((4, 16, 16), linear(0xF, 0xF, 4, flatten=True)),
    "shift": (SHAPE, plain(output_shift=11, quantization=4)),
    "narrow-passes": ((72, 4, 4), conv("3x3", (1 << 36) - 1, 1, 1, quantization=4)),
    "output-lanes": (SHAPE, conv("3x3", 0xF, 0xE, 3)),
    "output-holes": (SHAPE, conv("3x3", 0xF, 0x55, 4)),
    "capacity-in": ((4, 90, 90), plain(out_offset=0)),
    "offset": (SHAPE, plain(out_offset=0x2004)),
    "weight-memory": ((1024, 2, 2), conv("3x3", ALL, (1 << 48) - 1, 48, pad=1)),
    "pass-through-map": (SHAPE, through(0xF, 0xF00)),
}  # fmt: skip
ELSEWHERE = {"bias-memory", "columns-twice"}  # need weights of their own; below


def violated(folder: Path, shape: tuple[int, ...], layers: Layers) -> dict[str, str]:
    """Rules and where they are broken; empty for a legal network."""
    try:
        model(folder, shape, layers)
    except RuleError as error:
        return {violation.rule: str(violation) for violation in error.violations}
    return {}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_network_that_breaks_a_rule_is_refused_by_it(rule, tmp_path):
    found = violated(tmp_path, *BROKEN[rule])
    assert rule in found
    assert f"{tmp_path}/network.yaml:" in found[rule]


@pytest.mark.parametrize("rule", LEGAL)
def test_a_network_at_the_limit_of_a_rule_keeps_it(rule, tmp_path):
    found = violated(tmp_path, *LEGAL[rule])
    assert rule not in found
    assert found.keys() <= {"overlap"}


@pytest.mark.parametrize(("key", "value"), LATER)
def test_what_comes_later_is_refused_as_such(key, value, tmp_path):
    assert violated(tmp_path, SHAPE, plain(**{key: value})).keys() == {"later"}


@pytest.mark.parametrize(("key", "value"), OTHERS)
def test_what_other_devices_have_is_refused_as_such(key, value, tmp_path):
    assert violated(tmp_path, SHAPE, plain(**{key: value})).keys() == {"other-device"}


def test_every_rule_of_ai85_alone_is_tried():
    shared = {rule.id for rule in TARGETS[84].rules}
    own = {rule.id for rule in TARGET.rules} - shared
    assert own - ELSEWHERE <= BROKEN.keys()


def test_the_message_says_what_must_hold_what_was_given_and_what_to_do(tmp_path):
    (message,) = violated(tmp_path, (100, 4, 4), conv("1x1", (1 << 50) - 1, 1, 1)).values()
    assert message == (
        f"{tmp_path}/network.yaml:4, layer 0: rule popcount-in: `processors` has a bit for every input channel; above "
        "64 channels, for every channel of a pass: their number over the number of passes, rounded up to a multiple "
        "of 4. Given: 50 bits set, 52 needed for 100 input channels.")
