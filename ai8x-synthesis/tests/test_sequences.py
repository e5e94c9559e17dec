"""Layers that read other layers than the one before: `in_sequences`, `in_offset`, `in_dim` and the given channels."""

import numpy as np
import pytest

from chip import Chip
from conformance_checks import run_on_chip
from izer import pipeline, torchfile
from izer.device import AI84
from izer.errors import RuleError

HEAD = "arch: net\ndataset: MNIST\n"


def request(folder, layers, channels, head=HEAD, shape=(2, 6, 4)):
    """A network of 3x3 layers with random weights; `channels` are pairs (in, out)."""
    random = np.random.default_rng(len(layers))
    state = {f"l{n}.weight": random.integers(-40, 40, (out, given, 3, 3)).astype(np.float32)
             for n, (given, out) in enumerate(channels)}  # fmt: skip
    torchfile.write(folder / "c.pth.tar", {"arch": "net", "state_dict": state})
    np.save(folder / "sample.npy", random.integers(-128, 128, shape))
    (folder / "net.yaml").write_text(f"{head}layers:\n{layers}")
    return pipeline.Request(AI84, folder / "net.yaml", folder / "c.pth.tar", folder / "sample.npy")


def convolution(data, weight):
    """A layer with padding 1 and without activation in plain sums."""
    padded = np.pad(data.astype(np.int64), ((0, 0), (1, 1), (1, 1)))
    _, height, width = data.shape
    taps = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    kernels = weight.reshape(*weight.shape[:2], 9).astype(np.int64)
    total = sum(np.einsum("oc,cyx->oyx", kernels[:, :, n], tap) for n, tap in enumerate(taps))
    return np.clip((total + 64) >> 7, -128, 127)


def check_on_chip(model, expected):
    """The reference gives what is expected, and the chip model passes every check of the program."""
    np.testing.assert_array_equal(model.values[-1].output, expected)
    program = pipeline.embedded_program(model)
    with Chip() as chip:
        run_on_chip(chip, program)
        for check in program.check.accesses():
            assert chip.read32(check.address) & check.mask == check.value


def violations(made):
    with pytest.raises(RuleError) as error:
        pipeline.build_model(made)
    return {violation.rule: str(violation).partition("Given: ")[2] for violation in error.value.violations}


CONCATENATED = """\
- {processors: 0x3, out_offset: 0x1000, output_processors: 0xf0}
- {processors: 0x3, in_sequences: -1, in_offset: 0, out_offset: 0x1000, output_processors: 0x700}
- {processors: 0x7f0, in_sequences: [0, 1], out_offset: 0x2000}
"""


def test_outputs_of_two_layers_that_read_the_network_input_are_concatenated(tmp_path):
    model = pipeline.build_model(request(tmp_path, CONCATENATED, [(2, 4), (2, 3), (7, 5)]))
    weights = [layer.weight for layer in model.network.layers]
    joined = np.concatenate([convolution(model.data, weights[0]), convolution(model.data, weights[1])])
    check_on_chip(model, convolution(joined, weights[2]))


INPUT_AGAIN = """\
- {processors: 0x3, out_offset: 0x1000, output_processors: 0x70}
- {processors: 0x73, in_sequences: [input, 0], in_offset: 0x1000, out_offset: 0x2000}
"""


def test_the_network_input_is_read_again_together_with_a_layer(tmp_path):
    made = request(tmp_path, INPUT_AGAIN, [(2, 3), (5, 4)])
    given = "0x1000, but the network input is at 0x0."
    assert violations(made) == {"in-offset": given}  # the input lies elsewhere
    moved = pipeline.Request(AI84, made.config_file, made.checkpoint_file, made.sample_input, input_offset=0x1000)
    model = pipeline.build_model(moved)
    weights = [layer.weight for layer in model.network.layers]
    joined = np.concatenate([model.data, convolution(model.data, weights[0])])
    check_on_chip(model, convolution(joined, weights[1]))


def test_a_result_is_read_with_other_rows_and_columns(tmp_path):
    layers = "- {processors: 0x3, out_offset: 0x1000}\n- {processors: 0x70, in_dim: [3, 8], out_offset: 0x2000}\n"
    model = pipeline.build_model(request(tmp_path, layers, [(2, 3), (3, 4)]))
    first, second = (layer.weight for layer in model.network.layers)
    check_on_chip(model, convolution(convolution(model.data, first).reshape(3, 3, 8), second))


def test_sequence_numbers_with_gaps_name_layers(tmp_path):
    gaps = CONCATENATED.replace("in_sequences: -1", "sequence: 7, in_sequences: -1").replace("[0, 1]", "[0, 7]")
    model = pipeline.build_model(request(tmp_path, gaps, [(2, 4), (2, 3), (7, 5)]))
    assert [layer.sources for layer in model.network.layers] == [(-1,), (-1,), (0, 1)]


@pytest.mark.parametrize(
    ("old", "new", "rule", "given"),
    [
        ("in_sequences: [0, 1]", "in_sequences: [1, 0]", "map-chain",
         "0x00000000000007f0 reads 0x0000000000000700, 0x00000000000000f0. Leave out `output_processors` of the layer "
         "before, or make it the same."),
        ("out_offset: 0x1000, output_processors: 0x700", "out_offset: 0x1100, output_processors: 0x700", "in-offset",
         "0x1000, but layer 1 writes at 0x1100"),
        ("output_processors: 0xf0", "out_channels: 5, output_processors: 0xf0", "channels-given",
         "5, but 4 in the checkpoint's l0"),
        ("{processors: 0x7f0", "{in_channels: 8, processors: 0x7f0", "channels-given",
         "8, but 7 in the checkpoint's l2"),
        ("in_sequences: [0, 1]", "in_sequences: 0", "unread", "layer 1 is read by none"),
        ("{processors: 0x7f0", "{in_dim: [5, 5], processors: 0x7f0", "in-dim", "5x5 for 6x4 pixels"),
        ("in_offset: 0, out_offset: 0x1000", "in_offset: 0, pad: 0, out_offset: 0x1000", "in-sizes", "6x4, 4x2"),
        ("in_sequences: [0, 1]", "in_sequences: [0, 2]", "in-sequences",
         "sequence 2. Use -1 for the network input."),
    ],
)  # fmt: skip
def test_layers_that_do_not_belong_together_are_refused(tmp_path, old, new, rule, given):
    made = request(tmp_path, CONCATENATED.replace(old, new), [(2, 4), (2, 3), (7, 5)])
    assert violations(made)[rule].startswith(given)


def test_data_that_a_later_layer_reads_is_not_overwritten(tmp_path):
    layers = CONCATENATED.replace("out_offset: 0x1000, output_processors: 0x700",
                                  "out_offset: 0x1000, output_processors: 0x700, processors: 0x3", 1)  # fmt: skip
    layers = layers.replace("{processors: 0x3, in_sequences", "{in_sequences")
    layers = layers.replace("0x700", "0xe0").replace("0x7f0", "0xf0")  # the second layer writes over the first
    found = violations(request(tmp_path, layers, [(2, 4), (2, 3), (4, 5)]))
    assert found["overlap"].startswith("input of layer 2 words 1024-1047, output words 1024-1047 of instance 1.")


def test_only_the_first_layer_reads_a_chw_input(tmp_path):
    layers = CONCATENATED.replace("{processors: 0x3,", "{processors: 0x11,")
    layers = layers.replace("0x11,", "0x11, data_format: chw,", 1)
    found = violations(request(tmp_path, layers, [(2, 4), (2, 3), (7, 5)]))
    assert found["data-format"].startswith("a CHW network input")
