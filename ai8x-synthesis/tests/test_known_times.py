"""The estimate against what is documented of AI84 (AI84 hardware reference, appendix D), as docs/estimate.md has it."""

from pathlib import Path

import numpy as np
import pytest

from izer import pipeline
from izer.device import AI84
from izer.estimate import Estimate, OperatingPoint, estimate
from izer.network import Layer

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT.parent / "docs" / "estimate.md").read_text(encoding="utf-8")
NET5, WIDE, MNIST = "ai84net5, CIFAR-10 (HWC)", "two layers 64-64, 45x45", "MNIST, 8-8-8 channels"
MACS = {NET5: 11_985_408, WIDE: 149_299_200, MNIST: 213_120}
SLOW, FAST = OperatingPoint(35, 0.9), OperatingPoint(50, 1.1)
KNOWN = [  # network, what, value, operating point
    (NET5, "clocks, RTL simulation", 85_664, None),
    (NET5, "ms at 50 MHz, silicon", 1.70, FAST),
    (NET5, "ms at 35 MHz, silicon", 2.442, SLOW),
    (WIDE, "ms at 50 MHz, silicon", 5.369, FAST),
    (MNIST, "ms at 35 MHz, silicon", 0.356, SLOW),
    (NET5, "microjoules at 0.9 V, 35 MHz", 24.3, SLOW),
    (WIDE, "microjoules at 50 MHz", 353, FAST),
    (MNIST, "microjoules at 35 MHz", 1.12, SLOW),
]  # fmt: skip
WIDE_YAML = """arch: test
dataset: none
output_map: 0xffffffffffffffff
layers:
  - {pad: 1, processors: 0xffffffffffffffff, out_offset: 0x2000, data_format: HWC}
  - {pad: 1, processors: 0xffffffffffffffff, out_offset: 0}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, pipeline.Model]:
    folder = tmp_path_factory.mktemp("wide")
    (folder / "wide.yaml").write_text(WIDE_YAML)
    np.save(folder / "sample.npy", np.zeros((64, 45, 45), np.int64))
    trained = {NET5: ("cifar10-hwc", "ai84-cifar10"), MNIST: ("mnist-chw-extrasmallnet", "ai84-mnist-extrasmallnet")}
    built = {name: pipeline.build_model(pipeline.Request(AI84, ROOT / f"networks/{network}.yaml",
                                                         ROOT / f"trained/{checkpoint}.pth.tar"))
             for name, (network, checkpoint) in trained.items()}  # fmt: skip
    request = pipeline.Request(AI84, folder / "wide.yaml", None, folder / "sample.npy", seed=1)
    return built | {WIDE: pipeline.build_model(request)}


def value(found: Estimate, what: str, point: OperatingPoint | None) -> float:
    if point is None:
        return found.clocks
    if what.startswith("ms"):
        return found.clocks / point.megahertz / 1000
    return found.energy(found.macs, found.clocks, point)


def rows(title: str) -> dict[tuple[str, ...], list[str]]:
    """The table behind a heading of the page, by its first two cells."""
    lines = PAGE.split(f"## {title}")[1].split("\n\n")[1].splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {(row[0], row[1]): row[2:] for row in cells}


def test_these_are_the_documented_networks(models):
    assert {name: estimate(model).macs for name, model in models.items()} == MACS


@pytest.mark.parametrize(("name", "what", "known", "point"), KNOWN)
def test_the_page_states_the_error_for_every_documented_number(models, name, what, known, point):
    found = value(estimate(models[name]), what, point)
    stated, model, error = rows("Its errors")[name, what]
    assert float(stated.replace(",", "")) == known
    digits = len(model.partition(".")[2])
    assert model == f"{found:,.{digits}f}"
    assert error == f"{found / known - 1:+.2%}".replace("%", " %")


def suggested(layer: Layer, outputs: int) -> int:
    """Appendix D: one clock per mask and output, two per padded pixel, one per pooling read."""
    padded = (layer.pooled_height + 2 * layer.pad) * (layer.pooled_width + 2 * layer.pad)
    pooled = layer.pooled_height * layer.pooled_width
    return layer.out_height * layer.out_width * outputs + 2 * padded + pooled * layer.pool_size**2


def pooled_pixels(layer: Layer) -> int:
    return layer.pooled_height * layer.pooled_width if layer.pool else 0


ALTERNATIVES = {  # clocks of a layer
    "2 clocks a padded pixel, 1 a pixel that pooling reads (suggested in appendix D)":
        lambda layer, outputs, clocks: suggested(layer, outputs),
    "the same, and 1 for every output pixel to write it":
        lambda layer, outputs, clocks: suggested(layer, outputs) + layer.out_height * layer.out_width,
    "AI85's": lambda layer, outputs, clocks: clocks - 2 * pooled_pixels(layer),
    "AI85's, 1 more for a pooled pixel": lambda layer, outputs, clocks: clocks - pooled_pixels(layer),
}  # fmt: skip


@pytest.mark.parametrize("formula", ALTERNATIVES)
def test_the_page_states_the_errors_of_other_formulas(models, formula):
    known = {NET5: 85_664, WIDE: 5.369e-3 * 50e6, MNIST: 0.356e-3 * 35e6}
    errors = []
    for name, clocks in known.items():
        model = models[name]
        layers = zip(model.network.layers, model.placement.layers, model.clocks, strict=True)
        total = sum(ALTERNATIVES[formula](layer, place.kernel_count, count) for layer, place, count in layers)
        errors.append(f"{total / clocks - 1:+.2%}".replace("%", " %"))
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {formula} |"))
    assert [cell.strip() for cell in line.split("|")[2:-1]] == errors


def test_parts_of_the_documented_network_by_hand(models):
    """Layer 1 of ai84net5: 32x32 pixels, 2x2 windows, 60 channels, padding 1; what a pixel costs is in the page."""
    clocks = models[NET5].layer_clocks[1]
    pooled, top_row, first_row = 16 * 16, 18 * 3, 18 * 3
    other_rows = 16 * (3 + 3 + 15 * 2 + 2)
    assert (clocks.reading, clocks.pooling, clocks.convolving) == (
        top_row + first_row + other_rows, pooled * (4 + 1), 16 * 16 * 60)  # fmt: skip
    assert clocks.writing == 0


def test_what_the_core_writes_by_hand(models):
    """Kernels: 4 words for each processor and channel, in quads of channels; input: a word a pixel (2, 4.2, 6.1)."""
    writes = estimate(models[NET5]).writes
    assert writes["data"] == 32 * 32
    assert writes["weights"] == 4 * (3 * 60 + 60 * 60 + 60 * 56 + 56 * 12)
    assert writes["biases"] == 0
