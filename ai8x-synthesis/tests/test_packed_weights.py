"""Weight columns in the packed format, against the numbers that the AI85 hardware reference gives for MNIST."""

import numpy as np

from izer.operations import Access, CopyPacked, Verify

KERNEL = np.array([[51, 17, 4, 41, -10, -22, 44, -12, -9]], np.int8).view(np.uint8)  # 5.1, worked example


def test_the_first_run_of_mnist_is_packed_as_documented():
    """60 columns: address code 0x50180000, 135 words, the first of them 0x33110429 (5.8, example)."""
    run = CopyPacked("kernels", 0x50180000, KERNEL.repeat(60, axis=0), "processor 0")
    assert (run.code, len(run.words), run.words[0]) == (0x50180000, 0x87, 0x33110429)


def test_the_second_run_of_mnist_has_the_documented_code_and_length():
    """Column 128, 18 columns: code 0x50180200, 41 words, of which the last has two bytes and zeros."""
    run = CopyPacked("kernels", 0x50180000 + 16 * 128, KERNEL.repeat(18, axis=0), "processor 0")
    assert (run.code, len(run.words), run.words[-1]) == (0x50180200, 41, 0xF4F70000)


def test_the_column_is_set_by_a_byte_and_the_words_follow():
    run = CopyPacked("kernels", 0x50584010, KERNEL, "processor 17, column 1")
    assert list(run.accesses()) == [
        Access("B", 0x50584005, 0xFF, 1),
        Access("W", 0x50584004, 0xFFFFFFFF, 0x33110429), Access("W", 0x50584008, 0xFFFFFFFF, 0xF6EA2CF4),
        Access("W", 0x5058400C, 0xFFFFFFFF, 0xF7000000),
    ]  # fmt: skip


def test_columns_read_back_in_the_plain_layout():
    """B[0]; B[1..4]; B[5..8]; 0, in 16 address bytes (5.9, 5.11)."""
    run = CopyPacked("kernels", 0x50584010, KERNEL, "processor 17, column 1")
    assert [(a.kind, a.address, a.value) for a in Verify(run).accesses()] == [
        ("P", 0x50584010, 0x33), ("P", 0x50584014, 0x110429F6), ("P", 0x50584018, 0xEA2CF4F7), ("P", 0x5058401C, 0),
    ]  # fmt: skip
