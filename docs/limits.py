#!/usr/bin/env python3
"""Write docs/limits.md from the rules that cnn-gen.py checks."""

import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "ai8x-synthesis"))

from izer.cmsis_rules import CMSIS_RULES  # noqa: E402
from izer.rules import Rule  # noqa: E402
from izer.targets import TARGETS  # noqa: E402

HEAD = """# Limits of the devices

Written by `docs/limits.py` from the rules in `ai8x-synthesis/izer/`: the text of a rule is also its error message. All
violations of a network are reported together. `cnn-gen.py --check` checks a network before it is trained, `train.py`
checks the rules of layers when it builds the network. Sections are those of the device's hardware reference.
"""

DEVICE = """
## {name}

"""

CMSIS = """
## Software with CMSIS-NN

These rules hold too where `--cmsis-software-nn` generates [code for CMSIS-NN](cmsis-nn.md).

"""


def table(rules: list[Rule[Any]]) -> str:
    """One row per rule."""
    rows = "".join(f"| `{rule.id}` | {rule.text} | {rule.sections} |\n" for rule in rules)
    return "| Rule | What must hold | Sections |\n|------|----------------|----------|\n" + rows


def limits() -> str:
    """The page."""
    devices = [DEVICE.format(name=target.device.name) + table([*target.description_rules, *target.rules])
               for target in TARGETS.values()]  # fmt: skip
    return HEAD + "".join(devices) + CMSIS + table(CMSIS_RULES)


if __name__ == "__main__":
    (DOCS / "limits.md").write_text(limits(), encoding="utf-8")
