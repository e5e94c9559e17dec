"""Builds small programs for the emulated Cortex-M4 with the run-time files of Device/."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

DEVICE = Path(__file__).parents[1] / "Device"


def build_firmware(folder: Path, source: str) -> Path:
    """Compile main.c with the run-time of Device/ and return the program; warnings are errors."""
    copy_runtime(folder)
    (folder / "main.c").write_text(source)
    result = run_make(folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "build" / "firmware.elf"


def copy_runtime(folder: Path) -> None:
    """Copy the files of Device/, without its folders."""
    for path in DEVICE.iterdir():
        if path.is_file():
            shutil.copy(path, folder)


def run_make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make with warnings as errors and without its own lines; it finds the package ziglang of this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(["make", "--no-print-directory", "CFLAGS=-Werror", *arguments], cwd=folder,
                          env={**os.environ, "PATH": path}, capture_output=True, text=True)
