"""Compiles the C model into a shared library on first use; the file name holds a hash of sources and compiler."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from chip.errors import BuildError

FOLDER = Path(__file__).parent
FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-shared", "-fPIC")


def host_compiler() -> list[str]:
    """The command of a C compiler for this machine: `cc` if there is one, else the Python package ziglang.

    Raises BuildError if there is neither.
    """
    if cc := shutil.which("cc"):
        return [cc]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise BuildError("no C compiler: install cc (Debian: apt install gcc) or the Python package ziglang")


def library() -> Path:
    """The shared library of the model, compiled if the sources have changed since the last time.

    Safe when several processes do it at once: each compiles to a file of its own and moves it in place.
    Raises BuildError with the compiler's messages.
    """
    command = [*host_compiler(), *FLAGS]
    target = FOLDER / "build" / f"chip-{_digest(command)}.so"
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            _compile(command, Path(folder) / target.name)
            os.replace(Path(folder) / target.name, target)
    return target


def _digest(command: list[str]) -> str:
    digest = hashlib.sha256(" ".join(command).encode())
    for source in sorted(FOLDER.glob("*.[ch]")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _compile(command: list[str], target: Path) -> None:
    sources = [str(source) for source in sorted(FOLDER.glob("*.c"))]
    result = subprocess.run([*command, "-o", str(target), *sources], capture_output=True, text=True)
    if result.returncode:
        raise BuildError(f"the chip model does not compile:\n{result.stderr.strip()}")
