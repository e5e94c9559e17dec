"""AI85's networks have the published shapes and sizes; each fits the rules; the scripts name what there is."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

import ai85
import ai85net
import construction
import options
import qat
from distiller import read_schedule

TRAINING = Path(options.__file__).parent
SHAPES = {"ai85nascifarnet": (3, 32, 32), "ai85kws20net": (128, 128, 1), "ai85signalnet": (1, 512, 1)}


def build(name, **arguments):
    channels, *dimensions = SHAPES.get(name, (1, 28, 28))
    return ai85net.models[name](**{"num_channels": channels, "dimensions": tuple(dimensions)} | arguments)


@pytest.mark.parametrize(
    "name, arguments, count",
    [
        ("ai85net5", {}, 71_158),
        ("ai85net5", {"num_channels": 3, "dimensions": (32, 32)}, 72_238),
        ("ai85net5", {"bias": True}, 71_158 + 60 + 60 + 56 + 12),
        ("ai85net80wide", {}, 82_138),
        ("ai85netextrasmall", {}, 2_514),
        ("ai85nascifarnet", {"bias": True}, 302_602),
        ("ai85kws20net", {"num_classes": 21}, 126_490),
        ("ai85signalnet", {"num_classes": 5}, (24 + 24 * 32 + 32 * 48 + 48 * 48) * 5 + 48 * 8 * 5 + 5),
    ],
)
def test_parameter_counts(name, arguments, count):
    assert sum(parameter.numel() for parameter in build(name, **arguments).parameters()) == count


@pytest.mark.parametrize("name", ai85net.models)
def test_scores_have_the_shape_of_the_classes_in_every_mode(name):
    data = torch.zeros(2, *SHAPES.get(name, (1, 28, 28)))
    for arguments in ({}, {"batch_norm": True}, {"simulate": True, "bias": True}):
        assert build(name, num_classes=7, **arguments)(data).shape == (2, 7)


def test_layers_are_listed_in_execution_order_with_their_state_before_their_weights():
    names = list(build("ai85kws20net", bias=True).state_dict())
    layers = list(dict.fromkeys(name.split(".")[0] for name in names))
    assert layers == [*(f"voice_conv{n}" for n in range(1, 5)), *(f"kws_conv{n}" for n in range(1, 6)), "fc"]
    assert names[:8] == [f"voice_conv1.{name}" for name in (*ai85.STATE, "op.weight", "op.bias")]


def test_layer_output_shapes_of_the_speech_network():
    model, seen = build("ai85kws20net"), []
    for name in model.layer_names:
        hook = lambda layer, inputs, output: seen.append(tuple(output.shape[1:]))  # noqa: E731
        model.get_submodule(name).register_forward_hook(hook)
    model(torch.zeros(1, 128, 128, 1))
    assert seen == [(100, 128), (100, 128), (50, 128), (16, 128), (32, 16, 8), (64, 16, 8), (64, 16, 8), (30, 16, 8),
                    (7, 16, 8), (21,)]  # fmt: skip


def test_only_the_last_layer_is_wide_and_its_scores_are_in_q17_14():
    model = build("ai85nascifarnet")
    assert [layer.settings.wide for layer in model.children()] == [False] * 10 + [True]
    assert model.score_unit == 2**14
    model.fc.weight_bits.fill_(2)
    assert model.score_unit == 2**8


@pytest.mark.parametrize(
    "layers, dimensions, in_dims, message",
    [
        ({"a": ai85.MaxPool2d(2)}, (1, 9), {}, "AI85 rule pool-fits: .* Given: 1x9 pixels"),
        ({"a": ai85.Conv2d(4, 4, 3)}, (1024, 2), {}, "AI85 rule size-max: .* Given: 1024x2 to 1022x0"),
        ({"a": ai85.Conv2d(4, 4, 1)}, (8, 8), {"a": (5, 5)},
         r"AI85 rule in-dim: A reshaped image keeps its number of pixels. Given: 8x8 read as 5x5 \(a\)"),
        ({"a": ai85.Conv2d(4, 4, 1)}, (17, 16), {}, "AI85 rule flatten: .* Given: 4x17x16"),
        ({"a": ai85.Conv2d(4, 70, 1), "b": ai85.MaxPool2d(2)}, (8, 8), {},
         "AI85 rule pool-channels: .* Given: 70 channels of 4x4"),
        ({str(n): ai85.Conv2d(4, 4, 1) for n in range(32)}, (8, 8), {}, "AI85 rule layers-max: .* Given: 33 layers"),
    ],
)  # fmt: skip
def test_networks_that_break_a_rule_are_refused(layers, dimensions, in_dims, message):
    with pytest.raises(ValueError, match=message):
        ai85net.Ai85Net(layers, 3, 4, dimensions, in_dims=in_dims)


def test_pooling_of_many_channels_to_one_pixel_is_accepted():
    ai85net.Ai85Net({"a": ai85.Conv2d(4, 70, 1), "b": ai85.AvgPool2d(8)}, 3, 4, (8, 8))


@pytest.fixture
def commands(tmp_path):
    """Runs a script and gives the command lines of train.py in it: `python3` only writes them down."""
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nprintf '%s\\t' \"$@\" >> lines\necho >> lines\n")
    python.chmod(0o755)
    environment = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}

    def run(script, *arguments):
        subprocess.run([TRAINING / script, *arguments], check=True, cwd=tmp_path, env=environment, capture_output=True)
        lines = [line.rstrip("\t").split("\t") for line in (tmp_path / "lines").read_text().splitlines()]
        assert {Path(line[0]).name for line in lines} == {"train.py"}
        return [options.parse(line[1:]) for line in lines]

    return run


def test_there_are_scripts_to_train_and_to_evaluate_the_networks_of_ai85():
    names = ("cifar_ai85", "fashionmnist_ai85", "kws20", "mnist_ai85", "mnist_wide")
    assert all((TRAINING / f"{verb}_{name}.sh").is_file() for verb in ("go", "evaluate") for name in names)


@pytest.mark.parametrize("script", sorted(path.name for path in TRAINING.glob("go_*.sh")))
def test_training_scripts_fit_the_device_and_name_files_that_exist(script, commands):
    for chosen in commands(script, "--epochs", "3"):
        assert chosen.epochs == 3
        model = construction.build_model(chosen, torch.device("cpu"))
        assert read_schedule(chosen.compress).policies
        if chosen.qat_policy:
            chosen.device.check_policy(qat.read_policy(chosen.qat_policy), model)
    assert chosen.qat_policy or chosen.device.name == "AI84"


@pytest.mark.parametrize("script", sorted(path.name for path in TRAINING.glob("evaluate_*.sh")))
def test_evaluation_scripts_take_the_files_they_are_given(script, commands):
    floats, integers = commands(script, "a.pth.tar", "b.pth.tar")
    training = TRAINING / script.replace("evaluate", "go")
    assert f"--model {floats.arch} --dataset {floats.dataset} " in training.read_text()
    assert f"--device {floats.device.synonyms[0]} " in training.read_text()
    assert floats.use_bias == integers.use_bias == (floats.device.name == "AI85")
    assert [(str(run.exp_load_weights_from), run.simulate) for run in (floats, integers)] == [
        ("a.pth.tar", False), ("b.pth.tar", True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "script, names",
    [("evaluate_fashionmnist_ai85.sh", ["ai85-fashionmnist-float.pth.tar", "ai85-fashionmnist-q8.pth.tar"]),
     ("evaluate_mnist_ai85.sh", ["ai85-mnist-float.pth.tar", "ai85-mnist-q8.pth.tar"]),
     ("evaluate_mnist.sh", ["mnist.pth.tar", "ai84-mnist.pth.tar"])],
)  # fmt: skip
def test_evaluation_scripts_take_the_committed_networks_where_no_files_are_given(script, names, commands):
    assert [run.exp_load_weights_from.name for run in commands(script)] == names
