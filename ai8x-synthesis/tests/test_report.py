"""cnn-gen.py --report: one self-contained page, whose pictures show what placement, model and values say."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_cases import ROOT
from izer import pipeline
from izer.device import AI84, AI85
from izer.kernelmap import kernel_map
from izer.report import maps, page
from izer.report.histograms import output_histogram, weight_histogram
from izer.report.palette import contrast, layer_colour

CIFAR = ("networks/cifar10-hwc.yaml", "trained/ai84-cifar10.pth.tar")
MIXED = ("networks/ai85/fashionmnist-mixed.yaml", "trained/ai85-fashionmnist-mixed.pth.tar")
VOID = {"meta", "link", "img", "br"}


@pytest.fixture(scope="module")
def cifar() -> pipeline.Model:
    return pipeline.build_model(pipeline.Request(AI84, ROOT / CIFAR[0], ROOT / CIFAR[1]))


@pytest.fixture(scope="module")
def mixed() -> pipeline.Model:
    return pipeline.build_model(pipeline.Request(AI85, ROOT / MIXED[0], ROOT / MIXED[1]))


def rendered(model: pipeline.Model, command: str = "cnn-gen.py --report x.html") -> str:
    return page.render(model, model.target.rules, command).decode()


class Tags(HTMLParser):
    """All attributes, and whether every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["cifar", "mixed"])
def test_the_page_is_well_formed_needs_no_network_and_is_the_same_each_time(name, request):
    model = request.getfixturevalue(name)
    text = rendered(model)
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert {key for key, _ in tags.attributes} & {"src", "href", "srcset", "data", "action"} == set()
    assert not re.search(r"https?:|url\(|@import|<script", text)
    assert not re.search(r"\b20[0-9]{2}-[01][0-9]-", text)
    for svg in re.findall(r"<svg.*?</svg>", text, re.S):
        ElementTree.fromstring(svg)
    assert rendered(model) == text


def test_names_and_commands_are_text_and_not_html(cifar):
    text = rendered(cifar, "cnn-gen.py --prefix '<b>&'")
    assert "<pre>cnn-gen.py --prefix &#39;&lt;b&gt;&amp;&#39;</pre>" in text


def test_every_rule_and_every_check_of_the_program_is_listed_with_its_text(cifar, mixed):
    for model in (cifar, mixed):
        listed = re.findall(r"✓</b> <code>([\w-]+)</code>", rendered(model))
        assert listed == [rule.id for rule in (*model.target.rules, *model.target.program_rules)]


@pytest.mark.parametrize("name", ["cifar", "mixed"])
def test_the_kernel_map_shows_the_columns_that_the_text_shows(name, request):
    """Painted cell by cell from the boxes; layers that share kernels have none of their own."""
    model = request.getfixturevalue(name)
    device, columns = model.device, model.device.mask_columns
    cells = [["X"] * columns for _ in range(device.processors)]
    for box in maps.kernel_boxes(device, model.network, model.placement):
        left, width = round(box.x * columns / 100), round(box.width * columns / 100)
        top, height = round(box.y * device.processors / 100), round(box.height * device.processors / 100)
        for row in cells[top : top + height]:
            row[left : left + width] = [str(box.layer)] * width
    assert all(place.stored for place in model.placement.layers)
    assert ["".join(row) for row in cells] == kernel_map(device, model.network, model.placement).splitlines()[2:-1]


def test_the_timeline_of_ai84net5_by_hand(cifar):
    """Input 32x32 words at 0 in instance 0; outputs at 0x2000, 0, 0x2000, 0 of 1024, 256, 64 and 16 words."""
    found = maps.lives(cifar.network, cifar.placement)
    assert [(life.layer, life.region.words, life.born, life.until) for life in found] == [
        (-1, range(1024), 0, 0), (0, range(2048, 2048 + 1024), 0, 1), (1, range(256), 1, 2),
        (2, range(2048, 2048 + 64), 2, 3), (3, range(16), 3, 4)]  # fmt: skip
    assert [len(life.region.instances) for life in found] == [1, 15, 15, 14, 3]
    peaks = [maps.live_bytes(found, running) for running in range(4)]
    assert peaks == [4 * (1024 + 15 * 1024), 4 * 15 * (1024 + 256), 4 * (15 * 256 + 14 * 64), 4 * (14 * 64 + 3 * 16)]
    (peak,) = (usage for usage in page.usages(cifar) if usage.name.startswith("Data"))
    assert (peak.used, peak.capacity) == (max(peaks), 256 * 1024)


def test_every_instance_is_in_one_panel_with_the_data_that_lives_there(mixed):
    panels = maps.panels(mixed.device, mixed.network, mixed.placement)
    assert sorted(n for panel in panels for n in panel.instances) == list(range(16))
    for panel in panels:
        for life in maps.lives(mixed.network, mixed.placement):
            states = [box.state for box in panel.boxes if box.layer == life.layer]
            there = set(panel.instances) <= life.region.instances
            assert bool(states) == there
            assert not there or states[0] == ("written" if life.layer >= 0 else "read")


def test_histograms_count_every_value_and_what_is_clipped(cifar, mixed):
    for model in (cifar, mixed):
        for layer, values in zip(model.network.layers, model.values, strict=True):
            weights, outputs = weight_histogram(layer), output_histogram(layer, values)
            assert (weights.total, outputs.total) == (layer.weight.size, values.output.size)
            assert weights.zeros == sum(int(value) == 0 for value in layer.weight.reshape(-1))
            if not layer.wide:
                exact = values.accumulator * 2.0**layer.output_shift / 128
                assert outputs.too_high == int((np.floor(exact + 0.5) > 127).sum())
    narrow = weight_histogram(mixed.network.layers[1])
    assert len(narrow.counts) == min(64, 2 ** mixed.network.layers[1].weight_bits)


@given(st.sets(st.integers(0, 80)))
def test_ranges_hold_the_same_numbers(numbers):
    found = maps.runs(sorted(numbers))
    assert [n for each in found for n in each] == sorted(numbers)
    assert all(first.stop < second.start for first, second in pairwise(found))


def test_layers_have_different_colours_with_legible_text():
    colours = [layer_colour(index) for index in range(-1, 32)]
    assert len({colour.fill for colour in colours}) == 33
    assert min(contrast(colour.fill, colour.ink) for colour in colours) >= 4.5


def test_a_share_that_is_not_0_never_looks_like_0(cifar):
    histogram = weight_histogram(cifar.network.layers[1])
    assert histogram.share(0) == "0.0 %"
    assert histogram.share(1) == "<0.1 %"
    assert histogram.share(histogram.total) == "100.0 %"


def run(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "cnn-gen.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_a_report_is_written_beside_a_program_and_with_check_alone(tmp_path):
    network = ("--config-file", CIFAR[0], "--checkpoint-file", CIFAR[1])
    done = run(*network, "--embedded-code", "--test-dir", tmp_path, "--prefix", "net", "--report", tmp_path / "a.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "net" / "main.c").exists()
    done = run(*network, "--check", "--report", tmp_path / "b.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html", "net"]
    first, second = ((tmp_path / name).read_text().split("<h2>Made by</h2>") for name in ("a.html", "b.html"))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_an_untrained_network_has_a_report_without_histograms(tmp_path):
    done = run("--ai85", "--estimate", "--config-file", "networks/ai85/kws20.yaml", "--report", tmp_path / "a.html")
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "a.html").read_text()
    assert 'class="spread"' not in text
    assert "the network was only described" in text
    assert "µJ" not in text


def test_a_report_that_cannot_be_written_is_one_clear_message(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("--check", "--config-file", CIFAR[0], "--report", tmp_path / "file" / "a.html")
    assert done.returncode == 1
    assert done.stderr.startswith("cnn-gen.py: error: ")
    assert len(done.stderr.splitlines()) == 1
