#!/usr/bin/env python3
"""Check conformance cases and print a table; the exit status is 1 if one differs.

A case is a folder with meta.json (a network that must be accepted) or rule.json (one that must be refused).
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE / "conformance")]

from tabulate import tabulate  # noqa: E402

from conformance_checks import INVALID, VALID  # noqa: E402
from izer.device import DEVICES  # noqa: E402


def find_cases(folder: Path) -> Iterator[Path]:
    """All cases at any depth."""
    for name in ("meta.json", "rule.json"):
        yield from sorted(path.parent for path in folder.rglob(name))


def run_checks(case: Path) -> dict[str, list[str]]:
    """The differences of every check of a case; an exception is a difference."""
    device = next((part for part in reversed(case.parts) if re.fullmatch(r"ai8\d", part)), "ai84")
    if int(device[2:]) not in DEVICES:
        return {"device": [f"{device}: no such device"]}
    results = {}
    for name, check in (VALID if (case / "meta.json").exists() else INVALID).items():
        try:
            results[name] = check(case)
        except Exception as error:
            results[name] = [f"{type(error).__name__}: {error}"]
    return results


def main() -> int:
    """Run the program; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: make conformance CASES=folder")
    own = HERE / "conformance" / "ai84"
    parser.add_argument("folder", type=Path, nargs="?", default=own, help="where the cases are (default: AI84's here)")
    folder = parser.parse_args().folder
    cases = list(find_cases(folder))
    if not cases:
        print(f"run_conformance.py: {folder}: no cases there", file=sys.stderr)
        return 1
    rows, different = [], 0
    for case in cases:
        results = run_checks(case)
        differences = [f"{name}: {text}" for name, texts in results.items() for text in texts]
        different += bool(differences)
        rows.append((case.relative_to(folder), ", ".join(results), differences[0][:100] if differences else "equal"))
    print(tabulate(rows, ("case", "checked", "result")))
    print(f"\n{different} of {len(cases)} cases differ" if different else f"\n{len(cases)} cases, all equal")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
