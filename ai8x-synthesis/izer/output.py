"""Files appear when they are complete, or not at all."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import IzerError


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder: all of them to a temporary folder beside it, then each is moved in place.

    A name may have folders in front. Other files are left alone. Raises IzerError if anything cannot be written; then
    nothing is changed.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name[:40]}-") as temporary:
            for name, data in files.items():
                (Path(temporary) / name).parent.mkdir(parents=True, exist_ok=True)
                (Path(temporary) / name).write_bytes(data)
            for name in files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(temporary) / name, folder / name)
    except OSError as error:
        raise IzerError(f"{folder}: cannot write the output: {error}.") from None


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file unless it is there; the file is replaced as a whole. Raises IzerError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if line not in lines:
            write_folder(path.parent, {path.name: ("\n".join([*lines, line]) + "\n").encode()})
    except (OSError, UnicodeDecodeError) as error:
        raise IzerError(f"{path}: cannot add to the list of tests ({error}).") from None
