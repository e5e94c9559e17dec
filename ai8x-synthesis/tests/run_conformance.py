#!/usr/bin/env python3
"""Check conformance cases and print a table; the exit status is 1 if one differs.

A case is a folder with meta.json (a network that must be accepted, unless that says otherwise) or rule.json (one that
must be refused). Cases of AI85 beyond tier 1 must be refused by the rule that says what is not generated yet.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE / "conformance")]

from tabulate import tabulate  # noqa: E402

from conformance_checks import INVALID, VALID, FolderCheck  # noqa: E402
from conformance_checks85 import INVALID85, LATER85, VALID85  # noqa: E402


def find_cases(folder: Path) -> Iterator[Path]:
    """All cases at any depth."""
    for name in ("meta.json", "rule.json"):
        yield from sorted(path.parent for path in folder.rglob(name))


def checks_of(case: Path) -> Mapping[str, FolderCheck]:
    """What is checked of a case: only cases of later devices name theirs."""
    if not (case / "meta.json").exists():
        return INVALID
    meta = json.loads((case / "meta.json").read_text())
    if "device" not in meta:
        return VALID
    if meta["device"] != "MAX78000":
        return {"device": lambda _: [f"{meta['device']}: no such device"]}
    if meta.get("expect") == "error":
        return INVALID85
    return LATER85 if meta["name"].startswith(("tier2-", "tier3-")) else VALID85


def run_checks(case: Path) -> dict[str, list[str]]:
    """The differences of every check of a case; an exception is a difference."""
    results = {}
    for name, check in checks_of(case).items():
        try:
            results[name] = check(case)
        except Exception as error:
            results[name] = [f"{type(error).__name__}: {error}"]
    return results


def main() -> int:
    """Run the program; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: make conformance CASES=folder")
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "conformance",
                        help="where the cases are (default: those of all devices here)")
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
