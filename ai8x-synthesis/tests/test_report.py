"""The HTML report: the same bytes every time, nothing from elsewhere, and pictures whose areas are what they show."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from izer import pipeline
from izer.device import DEVICES
from izer.placement import set_bits
from izer.report import histograms, maps, page, palette

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = [(84, "cifar10-hwc", "ai84-cifar10"), (84, "mnist-chw-extrasmallnet", "ai84-mnist-extrasmallnet"),
            (85, "ai85/fashionmnist-mixed", "ai85-fashionmnist-mixed"), (85, "ai85/mnist-80wide", None),
            (85, "ai85/kws20", None)]  # fmt: skip


def request(device: int, network: str, checkpoint: str | None) -> pipeline.Request:
    trained = checkpoint and ROOT / "trained" / f"{checkpoint}.pth.tar"
    return pipeline.Request(DEVICES[device], ROOT / "networks" / f"{network}.yaml", trained or None, check_only=True)


class Elements(HTMLParser):
    """Counts open elements, and collects attributes that could load something."""

    VOID = ("meta", "path", "rect", "br", "line")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.loads += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize(("device", "network", "checkpoint"), NETWORKS)
def test_the_page_is_complete_needs_nothing_else_and_is_the_same_every_time(device, network, checkpoint):
    wanted = request(device, network, checkpoint)
    model = pipeline.build_model(wanted)
    rules = pipeline.device_rules(wanted)
    content = page.render(model, rules, "cnn-gen.py --with <this>").decode()
    assert content == page.render(pipeline.build_model(wanted), rules, "cnn-gen.py --with <this>").decode()
    elements = Elements()
    elements.feed(content)
    assert (elements.open, elements.loads) == ([], [])
    assert not re.search(r"https?://|url\(|@import|<script", content)
    assert "prefers-color-scheme: dark" in content and "@media print" in content
    assert "cnn-gen.py --with &lt;this&gt;" in content
    for layer in model.network.layers:
        shape = "×".join(map(str, (layer.out_channels, layer.out_height, layer.out_width)))
        assert layer.name in content and shape in content
    assert [rule.id for rule in rules if f"<code>{rule.id}</code>" not in content] == []
    assert [clocks for clocks in model.clocks if f"{clocks:,}" not in content] == []
    assert str(ROOT) not in content.replace(str(wanted.config_file), "").replace(str(wanted.checkpoint_file), "")


@pytest.mark.parametrize(("device", "network", "checkpoint"), NETWORKS)
def test_the_kernel_map_covers_every_written_column_once(device, network, checkpoint):
    model = pipeline.build_model(request(device, network, checkpoint))
    size = model.device.processors, model.device.mask_columns
    drawn = np.zeros(size, int)
    for box in maps.kernel_boxes(model.device, model.network, model.placement):
        first, last = (round(size[0] * each / 100) for each in (box.y, box.y + box.height))
        left, right = (round(size[1] * each / 100) for each in (box.x, box.x + box.width))
        drawn[first:last, left:right] += 1
    expected = np.zeros(size, int)
    for place in model.placement.layers:
        if place.columns and place.stored:
            expected[np.ix_(set_bits(place.processors), place.kernel_column + np.array(place.columns))] += 1
    assert np.array_equal(drawn, expected)


def test_the_timeline_shows_an_output_from_its_layer_to_its_last_reader():
    model = pipeline.build_model(request(*NETWORKS[0]))
    boxes = {(box.layer, box.state, round(box.x / 25)) for panel in maps.panels(model.device, model.network,
             model.placement) for box in panel.boxes}  # fmt: skip
    assert boxes == {(-1, "read", 0), (0, "written", 0), (0, "read", 1), (1, "written", 1), (1, "read", 2),
                     (2, "written", 2), (2, "read", 3), (3, "written", 3)}  # fmt: skip
    found = maps.lives(model.network, model.placement)
    first = 1 * 4 * 32 * 32  # the input: 3 channels in one instance, a word for each pixel
    assert maps.live_bytes(found, 0) == first + 15 * 4 * 32 * 32  # and 60 channels in 15 instances


@given(st.lists(st.integers(0, 63), unique=True))
def test_ranges_are_the_numbers_again(numbers):
    found = maps.runs(sorted(numbers))
    assert [n for each in found for n in each] == sorted(numbers)
    assert all(after.start > before.stop for before, after in pairwise(found))


def test_histograms_count_values_zeros_and_what_was_clipped():
    model = pipeline.build_model(request(*NETWORKS[0]))
    for layer, values in zip(model.network.layers, model.values, strict=True):
        weights, outputs = histograms.weight_histogram(layer), histograms.output_histogram(layer, values)
        assert (weights.total, outputs.total) == (layer.weight.size, values.output.size)
        assert weights.zeros == int((layer.weight == 0).sum())
        assert weights.limits == int(np.isin(layer.weight, (-128, 127)).sum())
        assert outputs.too_high == int((np.floor(values.accumulator / 128 + 0.5) > 127).sum())
        assert outputs.too_low == 0
        bins = np.bincount((layer.weight.astype(int).ravel() + 128) // 4, minlength=64)
        assert weights.counts == tuple(bins.tolist())


@given(st.integers(-1, 31))
def test_text_on_a_colour_is_legible(layer):
    colour = palette.layer_colour(layer)
    assert palette.contrast(colour.fill, colour.ink) >= 4.5


def test_colours_of_all_layers_differ():
    assert len({palette.layer_colour(n).fill for n in range(-1, 32)}) == 33


def test_the_option_writes_the_page_beside_the_program(tmp_path):
    command = [sys.executable, ROOT / "cnn-gen.py", "--config-file", ROOT / "networks" / "mnist-chw-extrasmallnet.yaml",
               "--seed", "1", "--report", tmp_path / "report.html"]  # fmt: skip
    done = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert done.returncode == 0 and "report.html: the report; open it in a browser" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    done = subprocess.run([*command, "--test-dir", tmp_path, "--prefix", "net", "--embedded-code"], capture_output=True)
    assert done.returncode == 0 and {path.name for path in tmp_path.iterdir()} == {"report.html", "net"}
    assert b"--embedded-code" in (tmp_path / "report.html").read_bytes()
