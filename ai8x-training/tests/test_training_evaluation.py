"""Accuracy, loss and confusion, worked out by hand; what a run writes beside them."""

import json
import logging
import math
import os

import pytest
import torch

import figures
import files
import runlog
from errors import UserError
from evaluation import Evaluation

SCORES = [[0, 256, 0, 0, 0, 0], [640, 0, 0, 0, 0, -128], [0, 0, 0, 384, 0, 0], [0, 0, 128, 0, 128, 0]]
LABELS = [1, 5, 3, 4]
"""Right, wrong (and last of six), right, wrong (a tie, of which the first counts)."""


@pytest.fixture
def integers() -> Evaluation:
    return Evaluation(torch.tensor(SCORES, dtype=torch.int32), torch.tensor(LABELS), 128)


def test_accuracy_counts_the_first_of_tied_classes(integers):
    assert integers.predictions.tolist() == [1, 0, 3, 2]
    assert (integers.correct, integers.top1) == (2, 50.0)


def test_top5_leaves_out_only_the_lowest_score(integers):
    assert integers.top5 == 75.0


def test_loss_reads_integer_scores_in_q8_7(integers):
    expected = 0.0
    for scores, label in zip(SCORES, LABELS, strict=True):
        values = [score / 128 for score in scores]
        expected += math.log(sum(map(math.exp, values))) - values[label]
    assert integers.loss == pytest.approx(expected / 4, rel=1e-6)


def test_loss_reads_float_scores_as_they_are(integers):
    floats = Evaluation(integers.scores.float() / 128, integers.labels, 1)
    assert floats.loss == pytest.approx(integers.loss, rel=1e-6)


def test_confusion_has_true_classes_as_rows(integers):
    expected = torch.zeros(6, 6, dtype=torch.int64)
    for true, predicted in ((1, 1), (5, 0), (3, 3), (4, 2)):
        expected[true, predicted] += 1
    assert torch.equal(integers.confusion, expected)
    text = figures.confusion_text(integers.confusion, "abcdef").splitlines()
    assert text[0].split() == list("abcdef")
    assert text[-1].split() == ["f", "1", "0", "0", "0", "0", "0"]


def test_confusion_is_drawn(integers, tmp_path):
    image = figures.confusion_image(integers.confusion, "abcdef")
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.std() > 0
    figures.save_confusion(integers.confusion, "abcdef", tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_the_same_second_get_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(runlog.time, "strftime", lambda form: "2020.05.19-120000")
    names = [runlog.create(tmp_path / "logs", name).name for name in (None, None, "demo")]
    assert names == ["2020.05.19-120000", "2020.05.19-120000-2", "demo___2020.05.19-120000"]


def test_latest_points_to_the_newest_run(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        runlog.link_latest(tmp_path / name)
        assert os.readlink(tmp_path / "latest") == name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "latest", "second"]


def test_log_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(UserError, match=r"the log directory cannot be made .*; choose another with --out-dir"):
        runlog.create(tmp_path / "logs", None)


def test_log_file_ends_with_the_run(tmp_path):
    with runlog.log_file(tmp_path):
        logging.getLogger("anything").warning("inside")
    logging.getLogger("anything").warning("outside")
    text = (tmp_path / f"{tmp_path.name}.log").read_text()
    assert "inside" in text
    assert "outside" not in text


def test_json_is_readable(tmp_path):
    files.write_json(tmp_path / "a.json", {"top1": 92.5})
    assert json.loads((tmp_path / "a.json").read_text()) == {"top1": 92.5}


def test_each_class_has_its_accuracy(integers):
    names = ["none", "one", "two", "three", "four", "five"]
    assert integers.class_top1(names) == {
        "none": None, "one": 100.0, "two": None, "three": 100.0, "four": 0.0, "five": 0.0}  # fmt: skip


def test_table_of_classes_has_accuracy_precision_and_the_commonest_mistake():
    matrix = torch.tensor([[6, 1, 1], [0, 0, 0], [0, 3, 1]])
    rows = [line.split() for line in figures.per_class_text(matrix, ["cat", "dog", "cow"]).splitlines()[2:]]
    assert rows == [
        ["cat", "8", "6", "75.00", "%", "100.00", "%", "dog", "1"],
        ["dog", "0", "0", "-", "0.00", "%"],
        ["cow", "4", "1", "25.00", "%", "50.00", "%", "dog", "3"],
    ]


def test_a_matrix_of_many_classes_is_drawn_without_numbers():
    few, many = (figures.confusion_canvas(torch.eye(count, dtype=torch.int64), [str(n) for n in range(count)]).figure
                 for count in (25, 100))  # fmt: skip
    assert (len(few.axes[0].texts), len(many.axes[0].texts)) == (625, 0)
    assert few.get_size_inches()[0] == 7
    assert many.get_size_inches()[0] == 16
