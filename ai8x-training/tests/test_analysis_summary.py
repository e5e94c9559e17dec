"""train.py --summary: shapes, multiplications and zeros, worked out by hand."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import ai84net
import ai85
import ai85net
import checkpoint
import train
from analysis import picture
from analysis.layers import INPUT, layers_of

NETWORK = ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST"]


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Runs train.py in this process, in an empty directory; returns (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            status = train.main(list(map(str, arguments)))
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return run


class Branches(nn.Module):
    """Two convolutions of the same data, whose sum goes to a third."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = ai85.FusedConv2dReLU(4, 8, 3, padding=1), ai85.Conv2d(4, 8, 1)
        self.last = ai85.FusedMaxPoolConv2dReLU(8, 2, 3, bias=True)

    def forward(self, data):
        return self.last(self.left(data) + self.right(data))


def test_layers_of_ai84net5_cost_what_their_shapes_say():
    layers = layers_of(ai84net.ai84net5(num_channels=1), (1, 28, 28))
    assert [layer.output for layer in layers] == [(60, 28, 28), (60, 16, 16), (56, 8, 8), (12, 4, 4), (10,)]
    # output pixels * output channels * input channels * 9, of fc inputs * outputs
    assert [layer.macs for layer in layers] == [
        28 * 28 * 60 * 9, 16 * 16 * 60 * 60 * 9, 8 * 8 * 56 * 60 * 9, 4 * 4 * 12 * 56 * 9, 192 * 10]  # fmt: skip
    assert [layer.weights for layer in layers] == [540, 32400, 30240, 6048, 1920]
    assert [layer.biases for layer in layers] == [0, 0, 0, 0, 10]
    assert [layer.sources for layer in layers] == [(INPUT,), ("conv1",), ("conv2",), ("conv3",), ("conv4",)]
    assert [layer.pooling for layer in layers] == ["", "Max 2x2/2", "Max 2x2/2", "Avg 2x2/2", ""]


def test_layers_of_one_dimension_and_a_change_of_shape():
    layers = {layer.name: layer for layer in layers_of(ai85net.ai85kws20net(), (128, 128, 1))}
    assert (layers["voice_conv1"].operation, layers["voice_conv1"].macs) == ("Conv1d", 128 * 100 * 128)
    assert (layers["kws_conv1"].input, layers["kws_conv1"].sources) == ((16, 16, 8), ("voice_conv4",))
    assert layers["kws_conv1"].macs == 16 * 8 * 32 * 16 * 9


def test_branches_and_widths_are_found_and_the_model_stays_as_it_was():
    model = Branches().train()
    model.last.weight_bits.fill_(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    left, right, last = layers_of(model, (4, 6, 6))
    assert (left.sources, right.sources, last.sources) == ((INPUT,), (INPUT,), ("left", "right"))
    assert (right.kernel, right.macs) == ("1x1", 36 * 8 * 4)
    assert (last.output, last.weights, last.biases, last.weight_bits) == ((2, 1, 1), 144, 2, 2)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_picture_has_a_box_and_two_bars_for_each_layer_and_an_arrow_for_each_source():
    axes = picture.draw(layers_of(Branches(), (4, 6, 6))).axes[0]
    kinds = [type(patch).__name__ for patch in axes.patches]
    assert (kinds.count("FancyBboxPatch"), kinds.count("Rectangle"), kinds.count("FancyArrowPatch")) == (3, 12, 4)
    texts = [text.get_text() for text in axes.texts]
    assert {"left", "right", "last", "8x6x6", "2x1x1", "input 4x6x6", "146 parameters"} <= set(texts)
    assert "Max 2x2/2  >  Conv2d 3x3  >  ReLU" in texts
    # of 288 + 32 + 144 weights, and of 36 * 288 + 36 * 32 + 144 multiplications
    assert {"62 % of weights", "31 % of weights", "89 % of MACs", "1 % of MACs"} <= set(texts)


def run_directory(tmp_path: Path) -> Path:
    (directory,) = (tmp_path / "logs").iterdir()
    return directory


def test_every_kind_is_printed_and_logged_and_the_picture_drawn(call, tmp_path):
    status, output, _ = call(*NETWORK, "--summary", "model", "compute", "sparsity", "png")
    assert status == 0
    directory = run_directory(tmp_path)  # and no link `latest`, which is for training
    assert f"Log directory: {directory.relative_to(tmp_path)}" in output
    assert "4 layers, 2,514 parameters" in output
    # 28 * 28 * 8 * 9 + 16 * 16 * 8 * 8 * 9 + 4 * 4 * 8 * 8 * 9 + 128 * 10
    assert "214,400 multiplications (MACs) for an input; 2,504 bytes of weights" in output
    assert "0 of 2,504 weights are 0" in output
    assert "214,400 multiplications" in (directory / f"{directory.name}.log").read_text()
    assert Image.open(directory / "model.png").size[0] > 400


def test_sparsity_counts_elements_kernels_filters_and_channels(call, tmp_path):
    model = ai84net.ai84netextrasmall(num_channels=1)
    weight = model.conv2.conv2d.weight.data
    weight[0] = 0  # 1 of 8 filters
    weight[:, 3:5] = 0  # 2 of 8 channels; 22 of 64 kernels
    weight[1, 0, 0, 0] = 0  # 199 of 576 elements
    checkpoint.save(tmp_path / "net.pth.tar", model, "ai84netextrasmall", 0, None, {}, {})
    status, output, _ = call(*NETWORK, "--summary", "sparsity", "--exp-load-weights-from", tmp_path / "net.pth.tar")
    assert status == 0
    (row,) = (line.split() for line in output.splitlines() if line.startswith("conv2.conv2d.weight"))
    assert row[1:12] == ["8x8x3x3", "576", "377", "34.38", "%", "12.50", "%", "25.00", "%", "34.55", "%"]
    assert "199 of 2,504 weights are 0: 7.95 %" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--summary"], "expected at least one argument"),
        (["--summary", "onnx"], "invalid choice: 'onnx'"),
        (["--summary", "model", "--check"], "--summary and --check exclude each other"),
        (["--summary", "model", "--resume-from", "auto"], "--summary and --resume-from exclude each other"),
    ],
)
def test_options_that_do_not_fit_together(call, tmp_path, arguments, message):
    status, _, error = call(*NETWORK, *arguments)
    assert status == 2
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_are_refused_before_anything_is_written(call, tmp_path):
    checkpoint.save(tmp_path / "net", ai84net.ai84netsmall(num_channels=1), "ai84netsmall", 0, None, {}, {})
    status, _, error = call(*NETWORK, "--summary", "model", "--exp-load-weights-from", tmp_path / "net")
    assert status == 1
    assert "is a checkpoint of ai84netsmall" in error
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_quantized_weights_are_summed_up_with_8(call, tmp_path):
    model = ai84net.ai84netextrasmall(num_channels=1, simulate=True)
    model.load_state_dict({name: torch.full_like(value, 3) for name, value in model.state_dict().items()})
    checkpoint.save(tmp_path / "net", model, "ai84netextrasmall", 0, None, {}, {})
    arguments = [*NETWORK, "--summary", "sparsity", "--exp-load-weights-from", tmp_path / "net"]
    assert call(*arguments)[0] == 1
    status, output, _ = call(*arguments, "-8")
    assert (status, "0 of 2,504 weights are 0" in output) == (0, True)
