"""Knowledge distillation: the loss is that of the definition, and a run with a teacher learns from it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ai85net
import checkpoint
import construction
from datasets import fashionmnist
from distillation import Teacher
from options import parse

STUDENT = ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST"]
LAST = torch.channels_last
SHORT = ["--no-tensorboard", "-b", "16", "--optimizer", "Adam", "--lr", "0.005", "--seed", "3", "--vs", "0.2"]


def best_of(out: Path) -> Path:
    return out / os.readlink(out / "latest") / "best.pth.tar"


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), temperature=st.floats(0.5, 8), distill=st.floats(0, 2), student=st.floats(0, 2))
def test_loss_is_that_of_the_definition(seed, temperature, distill, student):
    random = np.random.default_rng(seed)
    scores, taught = random.normal(0, 3, (2, 5, 10)).astype(np.float32)
    teacher = Teacher(nn.Identity(), lambda images: images, temperature, distill, student)
    loss = teacher.loss(torch.tensor(scores), torch.tensor(taught), torch.tensor(1.25))
    p, q = softmax(taught.astype(float) / temperature), softmax(scores.astype(float) / temperature)
    divergence = (p * np.log(p / q)).sum(1).mean()
    assert float(loss) == pytest.approx(distill * temperature**2 * divergence + student * 1.25, rel=1e-3, abs=1e-4)


def test_a_student_is_taught_by_a_network_for_the_other_device(call, tmp_path):
    network = ["--device", "85", "--model", "ai85netextrasmall", "--dataset", "FashionMNIST", "--batch-norm"]
    status, _, errors = call(*network, *SHORT, "--epochs", 2, "--out-dir", "teacher")
    assert (status, errors) == (0, "")
    teacher = best_of(tmp_path / "teacher")
    lesson = ["--kd-teacher", "ai85netextrasmall", "--kd-resume", teacher, "--kd-temp", 4]
    ended = {}
    for name, options in {
        "alone": [],
        "taught": [*lesson, "--kd-dw", 0.7, "--kd-sw", 0.3],
        "ignored": [*lesson, "--kd-dw", 0, "--kd-sw", 1],
    }.items():
        status, _, errors = call(*STUDENT, *SHORT, *options, "--epochs", 2, "--out-dir", name)
        assert (status, errors) == (0, "")
        ended[name] = checkpoint.load(best_of(tmp_path / name).with_name("checkpoint.pth.tar"))
    weights = {name: found.weights["conv2.conv2d.weight"] for name, found in ended.items()}
    assert torch.equal(weights["alone"], weights["ignored"])
    assert not torch.equal(weights["alone"], weights["taught"])
    assert ended["taught"].extras["run"]["kd_teacher"] == "ai85netextrasmall"
    assert json.dumps(ended["taught"].extras["run"]).count("teacher/") == 0


def test_teacher_and_its_weights_need_each_other(call):
    status, _, errors = call(*STUDENT, "--kd-teacher", "ai84net5")
    assert (status, "--kd-teacher NAME and --kd-resume FILE need each other" in errors) == (2, True)


def test_teacher_that_does_not_fit_its_weights_is_refused_before_anything_is_written(call, tmp_path):
    call(*STUDENT, *SHORT, "--epochs", 1, "--out-dir", "teacher")
    best = best_of(tmp_path / "teacher")
    status, _, errors = call(*STUDENT, *SHORT, "--kd-teacher", "ai84net5", "--kd-resume", best)
    assert (status, errors) == (
        1, f"train.py: error: {best}: is a checkpoint of ai84netextrasmall; given --model ai84net5\n")  # fmt: skip
    assert not (tmp_path / "logs").exists()


def test_a_teacher_reads_the_same_images_as_it_was_trained_on(call, tmp_path):
    network = ["--device", "85", "--model", "ai85foldednet", "--dataset", "FashionMNIST_folded", "--batch-norm"]
    status, _, errors = call(*network, *SHORT, "--epochs", 1, "--out-dir", "teacher")
    assert (status, errors) == (0, "")
    best = best_of(tmp_path / "teacher")
    lesson = ["--kd-teacher", "ai85foldednet", "--kd-resume", str(best)]
    teacher = construction.build_teacher(parse([*STUDENT, *lesson]), torch.device("cpu"))
    images = torch.arange(2 * 28 * 28, dtype=torch.uint8).reshape(2, 1, 28, 28)
    alone = ai85net.ai85foldednet(bias=True).eval()
    alone.load_state_dict(checkpoint.load(best).weights)
    values = fashionmnist.folded.arrange(images).double()
    signed = torch.where(values < 128, values - 128, torch.minimum(values - 127, torch.tensor(127.0)))
    assert torch.equal(teacher.scores(images), alone((signed / 128).float().contiguous(memory_format=LAST)))
    status, _, errors = call(*STUDENT, *SHORT, *lesson, "--epochs", 1)
    assert (status, errors) == (0, "")


def test_a_teacher_of_other_images_is_refused(call, tmp_path):
    call(*STUDENT, *SHORT, "--epochs", 1, "--out-dir", "teacher")
    best = best_of(tmp_path / "teacher")
    student = ["--model", "ai84netextrasmall", "--dataset", "MNIST"]
    status, _, errors = call(*student, *SHORT, "--kd-teacher", "ai84netextrasmall", "--kd-resume", best)
    reason = "was trained on FashionMNIST; a teacher must know the images of the run, MNIST"
    assert (status, errors) == (1, f"train.py: error: {best}: {reason}\n")


def test_missing_teacher_is_reported(call):
    status, _, errors = call(*STUDENT, *SHORT, "--kd-teacher", "ai84net5", "--kd-resume", "none.pth.tar")
    assert status == 1
    assert errors == "train.py: error: none.pth.tar: there is no such checkpoint\n"
