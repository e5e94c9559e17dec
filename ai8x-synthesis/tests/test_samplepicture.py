"""The picture of a sample shows what the sample is."""

import numpy as np

import samplepicture


def test_pictures_have_a_grey_level_for_each_pixel():
    image = np.array([[[-128, 127], [0, -128], [127, 127]]], np.int8)
    assert samplepicture.grey_levels(image).tolist() == [[0, 255], [128, 0], [255, 255]]
    assert samplepicture.of(image, colour=False).plain == "  @@\n++\n@@@@"
    text = samplepicture.of(image, colour=True)
    assert text.plain == "▀▀\n▀▀\n"
    assert [str(span.style) for span in text.spans] == [
        "rgb(0,0,0) on rgb(128,128,128)", "rgb(255,255,255) on rgb(0,0,0)", "rgb(255,255,255) on rgb(0,0,0)",
        "rgb(255,255,255) on rgb(0,0,0)"]  # fmt: skip


def test_a_colour_picture_is_drawn_as_the_mean_of_its_channels():
    image = np.array([[[-128, 0]], [[127, 0]], [[1, 0]]], np.int8)
    assert samplepicture.grey_levels(image).tolist() == [[128, 128]]


def test_a_signal_is_drawn_as_a_curve_of_its_first_channel():
    """Sixteen rows of sixteen values: 127 lies in row 0, 0 in row 7, -128 in row 15."""
    signal = np.zeros((2, 72, 1), np.int8)
    signal[0, 2:4, 0], signal[0, 4:6, 0], signal[1] = (127, -128), (-128, -128), 50
    lines = samplepicture.of(signal, colour=False).plain.split("\n")
    assert len(lines) == 16
    columns = [[line.ljust(72)[2 * n] == "@" for line in lines] for n in range(36)]
    assert columns[0] == columns[35] == [row == 7 for row in range(16)]
    assert columns[1] == [True] * 16
    assert columns[2] == [row == 15 for row in range(16)]


def test_a_short_signal_has_a_column_for_each_sample():
    lines = samplepicture.of(np.array([[[127], [0], [-128]]], np.int8), colour=False).plain.split("\n")
    assert [number for number, line in enumerate(lines) if line] == [0, 7, 15]
    assert (lines[0], lines[7], lines[15]) == ("@@", "  @@", "    @@")
