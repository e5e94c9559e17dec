"""A generated demo folder: its build, the images for it, and what its program leaves in memory."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chip.errors import BuildError, FirmwareError
from chip.mcu import Mcu

Image = npt.NDArray[np.int8]
Scores = npt.NDArray[np.int16]


def read_images(path: Path, shape: tuple[int, int, int]) -> Image:
    """Images int8 [N, C, H, W] for a network input of that shape; raises FirmwareError if the file holds others."""
    try:
        images = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FirmwareError(f"{path}: not readable as a NumPy array ({error})") from error
    if not isinstance(images, np.ndarray) or images.dtype != np.int8 or images.shape[1:] != shape or images.ndim != 4:
        given = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
        raise FirmwareError(f"{path}: must hold int8 images of shape [N, {', '.join(map(str, shape))}]; given: {given}")
    return images


def build(folder: Path, show: Callable[[str], None], name: Path | None = None, optimize: str = "-O2") -> Path:
    """Run make in the folder and return the program file; `show` gets each line that make prints.

    `optimize` is the compiler's option. Raises BuildError with the compiler's messages if that fails; it names the
    folder, or `name` for a temporary one.
    """
    if not shutil.which("make"):
        raise BuildError("make is not installed (Debian: apt install make)")
    # the compiler may be the package ziglang of this Python
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = ["make", "--no-print-directory", f"-j{os.cpu_count() or 1}", f"OPTIMIZE={optimize}", "all"]
    lines = []
    with subprocess.Popen(command, cwd=folder, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        for line in process.stdout or ():
            lines.append(line)
            show(line.rstrip("\n"))
    if process.returncode:
        raise BuildError(f"{name or folder}: the program does not build:\n{''.join(lines).rstrip()}")
    return folder / "build" / "firmware.elf"


def read_scores(mcu: Mcu) -> Scores:
    """The classification layer's outputs in the program's memory, Q8.7."""
    return np.frombuffer(mcu.read_symbol("fc_output"), "<i2")


def read_probabilities(mcu: Mcu) -> Scores:
    """The softmax in the program's memory, Q15."""
    return np.frombuffer(mcu.read_symbol("softmax_q15"), "<i2")
