"""Builds small programs for the emulated Cortex-M4 with the run-time files of Device/."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

DEVICE = Path(__file__).parents[1] / "Device"


def build_firmware(folder: Path, source: str) -> Path:
    """Compile main.c with the run-time of Device/ and return the program; warnings are errors."""
    for path in DEVICE.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    (folder / "main.c").write_text(source)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(["make", "CFLAGS=-Werror"], cwd=folder, env={**os.environ, "PATH": path},
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "build" / "firmware.elf"
