#!/usr/bin/env python3
"""Draw the figures of the documentation."""

import argparse
from collections.abc import Callable
from pathlib import Path

import block_figures
import flow_figures
import format_figures
import memory_figures
from drawing import svg
from matplotlib.axes import Axes

FIGURES: dict[str, Callable[[], Axes]] = {
    "architecture": block_figures.draw_architecture,
    "chw": format_figures.draw_chw,
    "data-memory": memory_figures.draw_data_memory,
    "flow": flow_figures.draw_flow,
    "hwc": format_figures.draw_hwc,
    "kernel-packing": memory_figures.draw_kernel_packing,
    "layer": block_figures.draw_layer,
    "pipeline": flow_figures.draw_pipeline,
    "weight-memory": memory_figures.draw_weight_memory,
}


def main() -> None:
    """Command line: draw all figures, or those named."""
    parser = argparse.ArgumentParser(
        description="Draw the figures of the documentation as SVG. The same bytes are written in every run.",
        epilog="example: python3 docs/figures/draw.py hwc chw",
    )
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"which ones: {', '.join(FIGURES)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="FOLDER",
                        help="where to write (default: beside this script)")
    options = parser.parse_args()
    if unknown := sorted(set(options.figures) - set(FIGURES)):
        parser.error(f"no such figure: {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.figures or FIGURES:
        (options.out / f"{name}.svg").write_bytes(svg(FIGURES[name](), name))


if __name__ == "__main__":
    main()
