"""docs/ai84net.xlsx is what docs/weight_storage.py writes, and says what the kernel map of the generator says."""

import io
import runpy
from pathlib import Path

import openpyxl
import pytest

from izer.kernelmap import kernel_map

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "weight_storage.py"))
BOOK = openpyxl.load_workbook(ROOT / "docs" / "ai84net.xlsx")


def values(sheet) -> list[list[object]]:
    """The cells of the map, without headings."""
    return [list(row) for row in sheet.iter_rows(2, 65, 2, 129, values_only=True)]


def test_the_file_is_up_to_date_cell_by_cell():
    """Compressed bytes depend on the version of zlib, so cells are compared."""
    fresh = openpyxl.load_workbook(io.BytesIO(SCRIPT["workbook"]()))
    assert fresh.sheetnames == BOOK.sheetnames
    for sheet in fresh:
        cells = [[(cell.value, cell.fill.fgColor.rgb) for cell in row] for row in sheet.iter_rows()]
        assert cells == [[(cell.value, cell.fill.fgColor.rgb) for cell in row] for row in BOOK[sheet.title].iter_rows()]


def test_the_same_bytes_are_written_each_time():
    assert SCRIPT["workbook"]() == SCRIPT["workbook"]()


@pytest.mark.parametrize("network", SCRIPT["NETWORKS"])
def test_a_sheet_is_the_kernel_map_of_the_generator(network):
    model = SCRIPT["model_of"](network)
    shown = ["".join("X" if value is None else str(value) for value in row) for row in values(BOOK[network])]
    assert shown == kernel_map(model.device, model.network, model.placement).splitlines()[2:-1]


def test_fashionmnist_as_the_hardware_reference_has_it():
    """AI84 hardware reference 10: row 0, rows 1-3, rows 4-59 and rows 60-63 of the printed map."""
    first, *rest = values(BOOK["fashionmnist-chw"])
    assert first == [0] * 60 + [None] * 68
    assert rest == ([[None] * 128] * 3 + [[1] * 60 + [2] * 56 + [3] * 12] * 56
                    + [[1] * 60 + [2] * 56 + [None] * 12] * 4)  # fmt: skip


def test_the_table_of_layers_gives_the_documented_columns():
    rows = [row[:7] for row in BOOK["layers"].iter_rows(2, values_only=True) if row[0] == "fashionmnist-chw"]
    assert [(row[2], row[3], row[5], row[6]) for row in rows] == [
        (1, 60, 0, 59), (60, 60, 0, 59), (60, 56, 60, 115), (56, 12, 116, 127)]  # fmt: skip
