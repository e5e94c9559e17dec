"""The committed figures are what their scripts draw, and their numbers are those of the hardware."""

import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
sys.path.insert(0, str(FIGURES))

import block_figures  # noqa: E402
import draw  # noqa: E402
import drawing  # noqa: E402
import format_figures  # noqa: E402
import memory_figures  # noqa: E402


def test_the_command_draws_exactly_the_committed_files(tmp_path):
    subprocess.run([sys.executable, FIGURES / "draw.py", "--out", tmp_path], check=True)
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in FIGURES.glob("*.svg")}
    assert sorted(drawn) == sorted(committed)
    different = [name for name in drawn if drawn[name] != committed[name]]
    assert not different, "draw them again with: python3 docs/figures/draw.py"


def test_an_unknown_figure_is_refused():
    result = subprocess.run([sys.executable, FIGURES / "draw.py", "nothing"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "no such figure: nothing" in result.stderr


@pytest.mark.parametrize("name", draw.FIGURES)
def test_no_text_overlaps_another_or_leaves_the_card(name):
    axes = draw.FIGURES[name]()
    renderer = FigureCanvasAgg(axes.figure).get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer).padded(-0.5)) for text in axes.texts]
    card = axes.get_window_extent(renderer)
    outside = [content for content, box in boxes if not (card.x0 < box.x0 and box.x1 < card.x1
                                                         and card.y0 < box.y0 and box.y1 < card.y1)]
    clashes = [(a, b) for i, (a, first) in enumerate(boxes) for b, second in boxes[:i] if first.overlaps(second)]
    assert not outside
    assert not clashes


def test_a_box_refuses_text_that_does_not_fit():
    with pytest.raises(ValueError, match="its box has 24"):
        drawing.box(drawing.card(100, "title"), 10, 10, 30, 20, drawing.FILE, "too long for this box")


def test_weight_memory_shows_the_columns_of_the_hardware_reference():
    """AI84 hardware reference 4.5, example E4; E2 has shifted maps, E3 gaps."""
    layers = memory_figures.allocate_columns(memory_figures.FASHION_MAPS)
    assert [(layer.first, layer.count) for layer in layers] == [(0, 60), (0, 60), (60, 56), (116, 12)]
    shifted = 0x7FFFFFFFFFFFFFF8
    layers = memory_figures.allocate_columns([(0x7, shifted), (shifted, shifted), (shifted, 0x0FFFFFFFFFFFFFF0)])
    assert [(layer.first, layer.count) for layer in layers] == [(0, 63), (0, 63), (64, 56)]
    gaps = 0xFFFEFFFEFFFEFFFE
    layers = memory_figures.allocate_columns([(0x0000000100010001, gaps), (gaps, gaps), (gaps, 0x7FFE7FFE7FFE7FFE)])
    assert [(layer.first, layer.count) for layer in layers] == [(0, 64), (0, 64), (64, 63)]

    # Seven kernels, then an output in lane 3: 7 - 3 = 4 is the first column, so lanes 0 to 2 lie on older kernels.
    layers = memory_figures.allocate_columns([(0x1, 0x7F), (0x7F, 0x8)])
    assert [(layer.first, layer.count) for layer in layers] == [(0, 7), (4, 4)]


def test_runs_of_a_map_with_a_gap():
    assert memory_figures.runs(0b1101 | 1 << 63) == [(0, 1), (2, 2), (63, 1)]


def test_kernel_packing_shows_the_words_of_the_hardware_reference():
    """AI84 hardware reference 4.2, both examples."""
    assert memory_figures.kernel_words(((1, 2, 3), (4, 5, 6), (7, 8, 9))) == (1, 0x02030405, 0x06070809, 0)
    assert memory_figures.kernel_words(((17, -11, 0), (4, -1, 1), (-14, 18, 1))) == (0x11, 0xF50004FF, 0x01F21201, 0)


def test_formats_show_the_addresses_of_the_hardware_reference():
    """AI84 hardware reference 2.3, 6.1 and 6.2."""
    byte = format_figures.hwc(59, 2, 3, 28)
    assert (byte.instance, byte.word, byte.lane) == (14, 59, 3)
    assert format_figures.address(byte) == 0x50418000 + 4 * 59
    byte = format_figures.chw(32, 2, 3, 28)
    assert (byte.instance, byte.word, byte.lane) == (8, 14, 3)
    assert format_figures.address(byte) == 0x50310000 + 4 * 14


def test_layer_shows_the_example_of_the_hardware_reference():
    """AI84 hardware reference 1.4, micro example and table of roundings."""
    acc = block_figures.sums(((85, 112), (69, 81)), ((-16, 26, 35), (-6, -40, -31), (-27, -54, -51)))
    assert acc == [[-14729, -11227], [859, -2102]]
    assert [[block_figures.scaled(value) for value in row] for row in acc] == [[-115, -88], [7, -16]]
    assert [block_figures.scaled(value) for value in (64, 63, -64, -65, 16129, 16384)] == [1, 0, 0, -1, 126, 127]
