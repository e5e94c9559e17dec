"""The page that leads from a PyTorch model to a running demo: its commands are run, and print what it shows."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "from-pytorch.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^    ((?:cd|python3|\./\w[\w-]*\.py) .*)$", re.MULTILINE)
OUTSIDE = shutil.ignore_patterns("logs", "data", "trained", "tests", "__pycache__", "demos", "rtlsim")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project, which the user of the page changes."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("ai8x-training", "ai8x-synthesis", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=OUTSIDE)
    return folder


def shown_model() -> str:
    """The function that the page lets the user write."""
    found = re.search(r"\n(    def shapenet\(.*?\n        return .*?\n)", PAGE, re.DOTALL)
    assert found is not None
    return dedent(found[1])


def write_model(project: Path, code: str) -> None:
    """Put the function and its name where the page says."""
    source = (ROOT / "ai8x-training" / "ai84net.py").read_text(encoding="utf-8")
    before, line, after = source.partition("\nmodels: ")
    after, changes = re.subn(r"for constructor in \(", r"\g<0>shapenet, ", after)
    assert (bool(line), changes) == (True, 1)
    (project / "ai8x-training" / "ai84net.py").write_text(f"{before}\n{code}\n{line}{after}", encoding="utf-8")


def run(project: Path, folder: str, command: str) -> str:
    """Run a line of the page; what it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, shell=True, cwd=project / folder, env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_every_command_of_the_page_does_what_the_page_says(project):
    commands = COMMAND.findall(PAGE)
    assert [line.split()[0] for line in commands].count("cd") == 4 and len(commands) == 11
    code, folder, printed = shown_model(), "", ""
    write_model(project, code)
    for command in commands:
        if command.startswith("cd "):
            folder = command.removeprefix("cd ").removeprefix("../")
            continue
        output = run(project, folder, command)
        printed += output
        if "--check" in command:
            smaller = code.replace("num_channels, 16, 5, ", "num_channels, 16, 3, ")
            for changed in (smaller, smaller.replace("(16, 96,", "(16, 64,").replace("(96, 16,", "(64, 16,")):
                write_model(project, changed)
                printed += run(project, folder, command)
    assert printed.endswith("\n") and "Traceback" not in printed
    shown = r"^    (train\.py: error: .*|shapenet for .*|Automatic placement: .*|\.\./shapes: .*)$"
    for line in re.findall(shown, PAGE, re.MULTILINE):
        assert line in printed
    assert min(float(top1) for top1 in re.findall(r"==> Top1: ([\d.]+)", printed)[-2:]) > 95  # in float and in 8 bits
    assert "*** PASS ***" in printed
    assert "Predicted class: 1\n" in printed and "Sample: test image 60 (cross)" in printed
    assert (project / "ai8x-synthesis" / "demos" / "shapes.html").is_file()
