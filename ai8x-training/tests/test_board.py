"""TensorBoard: the events of a run, read back with TensorBoard's own reader."""

import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.graph_pb2 import GraphDef
from torch import nn

import ai84net
import train
from analysis.layers import layers_of
from board import Board
from datasets import fashionmnist


def events(directory: Path) -> EventAccumulator:
    return EventAccumulator(str(directory)).Reload()


def test_graph_has_every_layer_with_its_source_and_shape(tmp_path):
    with Board(tmp_path) as board:
        board.graph(layers_of(ai84net.ai84netextrasmall(num_channels=1), (1, 28, 28)))
    graph = events(tmp_path).Graph()
    assert isinstance(graph, GraphDef)
    nodes = {node.name: node for node in graph.node}
    assert {name: list(node.input) for name, node in nodes.items()} == {
        "input": [], "conv1": ["input"], "conv2": ["conv1"], "conv3": ["conv2"], "fc": ["conv3"]}  # fmt: skip
    sizes = {name: [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim] for name, node in nodes.items()}
    assert sizes == {"input": [1, 28, 28], "conv1": [8, 28, 28], "conv2": [8, 16, 16], "conv3": [8, 4, 4], "fc": [10]}
    assert (nodes["conv3"].op, nodes["conv3"].attr["pooling"].s) == ("Conv2d", b"Max 4x4/4")
    assert "pooling" not in nodes["conv1"].attr


def test_weights_have_their_share_of_zeros_and_a_histogram(tmp_path):
    model = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 1))
    model[0].weight.data = torch.tensor([[0.0, 1.0, 2.0, 0.0], [0.0, 1.0, 1.0, 1.0]])
    model[1].weight.data = torch.tensor([[0.0, 3.0]])
    with Board(tmp_path) as board:
        board.weights(model, 7, histograms=True)
    found = events(tmp_path)
    shares = {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    assert shares == {"sparsity/weights/0.weight": [(7, 37.5)], "sparsity/weights/1.weight": [(7, 50.0)],
                      "sparsity/weights/total": [(7, 40.0)]}  # fmt: skip
    (histogram,) = found.Histograms("0/weight")
    values = histogram.histogram_value
    assert (histogram.step, values.num, values.sum, values.min, values.max) == (7, 8, 6, 0, 2)


def test_without_the_option_there_are_no_histograms(tmp_path):
    with Board(tmp_path) as board:
        board.weights(nn.Linear(2, 1), 0, histograms=False)
    assert events(tmp_path).Tags()["histograms"] == []


@pytest.mark.parametrize(
    ("shape", "shown"), [((6, 1, 8, 8), 1), ((6, 3, 8, 8), 1), ((6, 5, 8, 8), 0), ((6, 1, 8, 1), 0)]
)
def test_pictures_are_shown_and_other_data_is_not(tmp_path, shape, shown):
    with Board(tmp_path) as board:
        board.images(torch.zeros(shape, dtype=torch.uint8))
    assert len(events(tmp_path).Tags()["images"]) == shown


def test_a_training_run_has_curves_images_and_the_graph(tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST", "--data", str(tiny_data), "--epochs", "2"]
    assert train.main([*command, "--seed", "1", "--confusion", "--param-hist"]) == 0
    found = events(tmp_path / "logs" / "latest")
    tags = found.Tags()
    assert tags["graph"]
    assert sorted(tags["images"]) == ["Training/Images", "Validation/ConfusionMatrix"]
    assert sorted(tags["histograms"]) == ["conv1/conv2d/weight", "conv2/conv2d/weight", "conv3/conv2d/weight",
                                          "fc/linear/weight"]  # fmt: skip
    assert [event.step for event in found.Scalars("sparsity/weights/total")] == [0, 1]
    assert [event.step for event in found.Scalars("Performance/Validation/Top1")] == [0, 1]
    (shown,) = found.Images("Training/Images")
    assert (shown.height, shown.width) == (4 * 28, 8 * 28)  # 32 images in rows of 8


def test_what_is_drawn_does_not_change_the_training(tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST", "--data", str(tiny_data), "--epochs", "1"]
    states = []
    for extra in (["--param-hist"], ["--no-tensorboard"]):
        assert train.main([*command, "--seed", "1", *extra]) == 0
        states.append(torch.load("logs/latest/checkpoint.pth.tar", weights_only=True)["state_dict"])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_accuracy_of_each_class_is_in_log_and_summary(tiny_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST", "--data", str(tiny_data), "--per-class"]
    assert train.main([*command, "--epochs", "1", "--no-tensorboard", "--seed", "1"]) == 0
    evaluation = [*command, "--evaluate", "--exp-load-weights-from", "logs/latest/best.pth.tar", "--json", "test.json"]
    assert train.main(evaluation) == 0
    summary = json.loads(Path("logs/latest/summary.json").read_text())
    by_class = summary["test_class_top1"]
    assert list(by_class) == list(fashionmnist.CLASSES)
    assert json.loads(Path("test.json").read_text())["class_top1"] == by_class
    labels = fashionmnist.load(tiny_data)[1].labels
    images = labels.bincount(minlength=10).tolist()
    right = sum(share * count / 100 for share, count in zip(by_class.values(), images, strict=True))
    assert right == pytest.approx(summary["test_correct"])
    assert capsys.readouterr().out.count("==> Classes:") == 2
