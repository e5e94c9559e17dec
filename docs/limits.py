#!/usr/bin/env python3
"""Write docs/limits.md from the rules that cnn-gen.py checks."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "ai8x-synthesis"))

from izer.rules import RULES  # noqa: E402

HEAD = """# Limits of the device

Written by `docs/limits.py` from `ai8x-synthesis/izer/rules.py`: the text of a rule is also its error message. All
violations of a network are reported together. `cnn-gen.py --check` checks a network before it is trained, `train.py`
checks the rules of layers when it builds the network. Sections are those of the AI84 hardware reference.

| Rule | What must hold | Sections |
|------|----------------|----------|
"""


def limits() -> str:
    """The page."""
    return HEAD + "".join(f"| `{rule.id}` | {rule.text} | {rule.sections} |\n" for rule in RULES)


if __name__ == "__main__":
    (DOCS / "limits.md").write_text(limits(), encoding="utf-8")
