#!/usr/bin/env python3
"""Write docs/ai84net.xlsx: which layer's kernels lie in which processor and column of the mask RAMs."""

import io
import re
import sys
import zipfile
from pathlib import Path

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

DOCS = Path(__file__).resolve().parent
SYNTHESIS = DOCS.parent / "ai8x-synthesis"
sys.path.insert(0, str(SYNTHESIS))

from izer import pipeline  # noqa: E402
from izer.device import AI84  # noqa: E402
from izer.emit.ctext import network_summary  # noqa: E402
from izer.placement import LayerPlace, set_bits  # noqa: E402
from izer.report.palette import layer_colour  # noqa: E402

NETWORKS = {
    "fashionmnist-chw": "ai84-fashionmnist", "cifar10-hwc": "ai84-cifar10", "cifar10-chw": "ai84-cifar10-chw",
    "mnist-chw-extrasmallnet": "ai84-mnist-extrasmallnet",
}  # fmt: skip
LEFT, TOP = 2, 2  # the cells of processor 0, column 0 are behind one row and one column of headings
BOLD, SMALL = Font(bold=True), Font(size=7)
CENTRE = Alignment(horizontal="center")


def model_of(network: str) -> pipeline.Model:
    """A network of the project with its trained weights."""
    checkpoint = SYNTHESIS / "trained" / f"{NETWORKS[network]}.pth.tar"
    return pipeline.build_model(pipeline.Request(AI84, SYNTHESIS / "networks" / f"{network}.yaml", checkpoint))


def add_map(sheet: Worksheet, model: pipeline.Model) -> None:
    """A row for every processor, a cell for every column: the number of the layer, in its colour."""
    sheet.cell(1, 1, "processor").font = BOLD
    for column in range(model.device.mask_columns):
        sheet.cell(1, LEFT + column, column).font = SMALL
        sheet.column_dimensions[get_column_letter(LEFT + column)].width = 3
    for processor in range(model.device.processors):
        sheet.cell(TOP + processor, 1, processor).font = BOLD
    for index, place in enumerate(model.placement.layers):
        add_layer(sheet, index, place)
    sheet.freeze_panes = sheet.cell(TOP, LEFT)


def add_layer(sheet: Worksheet, index: int, place: LayerPlace) -> None:
    """The cells of one layer."""
    colour = layer_colour(index)
    fill, font = PatternFill("solid", colour.fill[1:]), Font(color=colour.ink[1:], size=7)
    for processor in set_bits(place.processors):
        for column in place.columns:
            cell = sheet.cell(TOP + processor, LEFT + place.kernel_column + column, index)
            cell.fill, cell.font, cell.alignment = fill, font, CENTRE


def add_layers(sheet: Worksheet, models: dict[str, pipeline.Model]) -> None:
    """A row for every layer of every network."""
    headings = ("network", "layer", "channels in", "channels out", "processors", "first column", "last column",
                "bytes of weights", "what it does")  # fmt: skip
    sheet.append(headings)
    for cell in sheet[1]:
        cell.font = BOLD
    for name, model in models.items():
        for layer, place, text in zip(model.network.layers, model.placement.layers, network_summary(model.network),
                                      strict=False):  # fmt: skip
            sheet.append((name, layer.index, layer.in_channels, layer.out_channels, f"0x{place.processors:016x}",
                          place.kernel_column, place.kernel_column + place.columns[-1], layer.weight.size, text))
    for column, width in enumerate((26, 8, 12, 12, 22, 12, 12, 16, 90)):
        sheet.column_dimensions[get_column_letter(1 + column)].width = width
    sheet.freeze_panes = "A2"


def timeless(content: bytes) -> bytes:
    """The same workbook without the time at which it was made."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(written, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            if name == "docProps/core.xml":
                part = re.sub(rb"<dcterms:.*?</dcterms:\w+>", b"", part)
            new.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
    return written.getvalue()


def workbook() -> bytes:
    """The whole file; the same bytes in every run."""
    models = {name: model_of(name) for name in NETWORKS}
    book = Workbook()
    book.properties.creator = "python3 docs/weight_storage.py"
    book.active.title = "layers"
    add_layers(book.active, models)
    for name, model in models.items():
        add_map(book.create_sheet(name), model)
    content = io.BytesIO()
    book.save(content)
    return timeless(content.getvalue())


if __name__ == "__main__":
    (DOCS / "ai84net.xlsx").write_bytes(workbook())
