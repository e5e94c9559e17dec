"""What tests share: the conformance cases, and the way from a case to a built model."""

import json
from pathlib import Path
from typing import Any

import pytest

from izer import pipeline
from izer.device import AI84, AI85
from izer.program import Options

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "conformance" / "ai84"
CASES85 = ROOT / "tests" / "conformance" / "ai85"


def cases(kind: str, with_file: str = "network.yaml", below: Path = CASES, name: str = "*") -> list[Any]:
    """The conformance cases of a kind ("valid", "invalid") that have a certain file, as test parameters."""
    folders = sorted(folder for folder in (below / kind).glob(name) if (folder / with_file).exists())
    return [pytest.param(folder, id=folder.name) for folder in folders]


def request_of(folder: Path, description: str, options: dict[str, Any]) -> pipeline.Request:
    """What to generate for a conformance case."""
    return pipeline.Request(AI84, folder / description, folder / "checkpoint.pth.tar", folder / "sample.npy", **options)


def model_of(folder: Path) -> pipeline.Model:
    """The model of a valid conformance case."""
    meta = json.loads((folder / "meta.json").read_text())
    return pipeline.build_model(request_of(folder, "network.yaml", meta["options"]))


def request85_of(folder: Path) -> pipeline.Request:
    """What to generate for a conformance case of AI85, whose options are those of the command line."""
    options = json.loads((folder / "meta.json").read_text())["options"]
    return pipeline.Request(
        AI85, folder / "network.yaml", folder / "checkpoint.pth.tar", folder / "sample.npy",
        options=Options(average_rounding="--avg-pool-rounding" in options),
        deduplicate="--no-deduplicate-weights" not in options,
    )  # fmt: skip


def model85_of(folder: Path) -> pipeline.Model:
    """The model of a valid conformance case of AI85."""
    return pipeline.build_model(request85_of(folder))
