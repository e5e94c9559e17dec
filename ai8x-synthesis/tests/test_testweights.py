"""Networks without a checkpoint: synthetic test networks, random weights, and the fixed input."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chip import Chip
from conformance_checks import run_on_chip
from izer import pipeline, reference, sampledata
from izer.device import AI84
from izer.errors import IzerError, RuleError

ROOT = Path(__file__).resolve().parents[1]
TEXT = "arch: test\ndataset: fancy\n{}layers:\n- {{processors: 0x3, out_offset: 0x1000}}\n- {{processors: 0x70}}\n"
WEIGHTS = [np.arange(54).reshape(3, 2, 3, 3) - 27, np.arange(54).reshape(2, 3, 3, 3) * 2 - 54]


def write(folder, extra="", arrays=WEIGHTS, name="weights_fancy.npy"):
    (folder / "net.yaml").write_text(TEXT.format(extra))
    with (folder / name).open("wb") as file:
        for array in arrays:
            np.save(file, array)
    np.save(folder / "sample.npy", np.arange(60).reshape(2, 6, 5) - 30)
    return pipeline.Request(AI84, folder / "net.yaml", None, folder / "sample.npy")


def test_weights_stand_back_to_back_in_a_file(tmp_path):
    model = pipeline.build_model(write(tmp_path))
    for layer, weight in zip(model.network.layers, WEIGHTS, strict=True):
        np.testing.assert_array_equal(layer.weight, weight)
        assert layer.bias is None


def test_one_array_with_a_leading_dimension_holds_all_layers(tmp_path):
    layers = "- {processors: 0x3, out_offset: 0x1000}\n- {processors: 0x30}\n"
    stacked = np.arange(72).reshape(2, 2, 2, 3, 3) - 36
    request = write(tmp_path, arrays=[stacked])
    request.config_file.write_text(f"arch: Test\ndataset: fancy\nlayers:\n{layers}")
    model = pipeline.build_model(request)
    np.testing.assert_array_equal([layer.weight for layer in model.network.layers], stacked)


def test_keys_name_other_files_and_biases(tmp_path):
    request = write(tmp_path, "weights: mine\nbias: mine\n", name="weights_mine.npy")
    with (tmp_path / "bias_mine.npy").open("wb") as file:
        np.save(file, np.array([1, -2, 3]))
        np.save(file, np.array([-128, 127]))
    model = pipeline.build_model(request)
    assert [layer.bias.tolist() for layer in model.network.layers] == [[1, -2, 3], [-128, 127]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "weights_fancy.npy: cannot read the test weights: No such file or directory."),
        (b"", "A checkpoint has a convolution per layer of the description."),
        (b"\x93NUMPY rubbish", "weights_fancy.npy: not NumPy arrays back to back ("),
    ],
)
def test_files_that_hold_no_weights_are_refused(tmp_path, content, message):
    request = write(tmp_path)
    (tmp_path / "weights_fancy.npy").unlink()
    if content is not None:
        (tmp_path / "weights_fancy.npy").write_bytes(content)
    with pytest.raises(IzerError, match=message.replace("(", r"\(").replace(".", r"\.")):
        pipeline.build_model(request)


def test_biases_for_too_few_layers_are_refused(tmp_path):
    request = write(tmp_path, "bias: fancy\n")
    np.save(tmp_path / "bias_fancy.npy", np.array([1, 2, 3]))
    with pytest.raises(RuleError, match=r"A file of test biases has one array per layer\. Given: 1 for 2 layers\."):
        pipeline.build_model(request)


def test_weights_of_fractions_or_out_of_range_are_refused(tmp_path):
    with pytest.raises(RuleError, match="Weights and biases are integers from -128 to 127"):
        pipeline.build_model(write(tmp_path, arrays=[WEIGHTS[0], WEIGHTS[1] * 10]))
    with pytest.raises(IzerError, match="test weights are arrays of integers"):
        pipeline.build_model(write(tmp_path, arrays=[WEIGHTS[0] / 2]))


def test_random_weights_follow_from_the_seed_and_run_on_the_chip_model(tmp_path):
    (tmp_path / "net.yaml").write_text(TEXT.format("").replace("fancy", "CIFAR-10").replace("0x3,", "0x7,"))
    one, same, other = (pipeline.build_model(pipeline.Request(AI84, tmp_path / "net.yaml", None, seed=seed))
                        for seed in (1, 1, 2))  # fmt: skip
    np.testing.assert_array_equal(one.network.layers[0].weight, same.network.layers[0].weight)
    np.testing.assert_array_equal(one.data, same.data)
    assert (one.network.layers[0].weight != other.network.layers[0].weight).any()
    assert (one.data != other.data).any()
    program = pipeline.embedded_program(one)
    with Chip() as chip:
        run_on_chip(chip, program)
        for check in program.check.accesses():
            assert chip.read32(check.address) & check.mask == check.value


def test_the_words_of_the_fixed_input_alternate(tmp_path):
    for data_format, words in (("hwc", 30), ("chw", 8)):
        request = write(tmp_path)
        text = request.config_file.read_text().replace("0x3,", f"0x11, data_format: {data_format},")
        request.config_file.write_text(text)
        model = pipeline.build_model(pipeline.Request(AI84, request.config_file, None, request.sample_input,
                                                      fixed_input=True))  # fmt: skip
        for array in sampledata.input_arrays(model.network, model.placement.layers[0]):
            packed = sampledata.pack_input(array, model.data)
            lanes = 0xFF if data_format == "hwc" else 0xFFFFFFFF  # one channel uses the lowest byte
            pattern = np.where(np.arange(words) % 2, 0xAAAAAAAA, 0x55555555) & lanes
            pattern[-1] &= 0xFFFFFFFF if data_format == "hwc" else 0xFFFF  # 30 pixels end within a word
            assert packed.tolist() == pattern.tolist()


def test_partial_sums_end_with_the_accumulator(tmp_path):
    model = pipeline.build_model(write(tmp_path))
    for layer, value in zip(model.network.layers, model.values, strict=True):
        sums = list(reference.partial_sums(layer, value.pooled))
        assert len(sums) == layer.in_channels
        np.testing.assert_array_equal(sums[-1], value.accumulator)


def generate(folder, *options):
    return subprocess.run(
        [sys.executable, ROOT / "cnn-gen.py", "--config-file", folder / "net.yaml", "--sample-input",
         folder / "sample.npy", "--test-dir", folder / "out", "--prefix", "t", "--top-level", "cnn", *options],
        capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip


def test_layers_are_written_as_files_on_request(tmp_path):
    write(tmp_path)
    text = (tmp_path / "net.yaml").read_text().replace("0x70", "0x70, max_pool: 2, pool_stride: 1")
    (tmp_path / "net.yaml").write_text(text)
    ran = generate(tmp_path, "-e", "--log-intermediate", "--log-pooling", "--debug-computation")
    assert ran.returncode == 0, ran.stderr
    files = {path.name: path.read_text() for path in (tmp_path / "out" / "t").glob("*.*m*") if path.suffix != ".npy"}
    assert {"output-0.mem", "output.mem"} <= set(files)
    pooled = (tmp_path / "out" / "t" / "pooling-1-pooled.csv").read_text().splitlines()
    assert pooled[0] == "channel,row,column 0,column 1,column 2,column 3"
    assert [line.split(",")[:2] for line in pooled[1:]] == [[str(c), str(y)] for c in range(3) for y in range(5)]
    before = (tmp_path / "out" / "t" / "pooling-1-input.csv").read_text().splitlines()[1:]
    rows = np.array([line.split(",")[2:] for line in before], int).reshape(3, 6, 5)
    windows = np.lib.stride_tricks.sliding_window_view(rows, (2, 2), (1, 2)).max((3, 4)).reshape(15, 4)
    assert [line.split(",")[2:] for line in pooled[1:]] == [[str(n) for n in row] for row in windows.tolist()]
    assert "Layer 1: sums after input channel 2 2x5x4:" in ran.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "1", "--checkpoint-file", "c"], "--seed is a number from 0, and replaces --checkpoint-file"),
        (["--seed", "-1"], "--seed is a number from 0, and replaces --checkpoint-file"),
        (["--seed", "1", "-e", "-f"], "--seed makes the weights of convolutions only; leave out --fc-layer"),
        (["--fixed-input"], "--fixed-input needs --embedded-code"),
    ],
)
def test_options_that_exclude_each_other(tmp_path, options, message):
    write(tmp_path)
    ran = generate(tmp_path, *options)
    assert (ran.returncode, ran.stderr.splitlines()[-1]) == (2, f"cnn-gen.py: error: {message}")


def test_a_network_without_weights_is_not_generated(tmp_path):
    write(tmp_path)
    (tmp_path / "net.yaml").write_text(TEXT.format("").replace("test", "mine"))
    ran = generate(tmp_path)
    assert ran.returncode == 1
    assert "the weights of mine come from a quantized checkpoint: name it with --checkpoint-file" in ran.stderr
    assert not (tmp_path / "out").exists()
