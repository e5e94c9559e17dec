"""Writing files so that a reader finds either the old or the complete new one, whenever the program is killed."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from errors import UserError

SCRATCH = ".tmp"
"""The end of the names of files that are being written."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; when the `with` block succeeds, that file is made durable and takes the place of `path`.

    UserError when it cannot be written; `path` is then what it was.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}{SCRATCH}")
    try:
        yield scratch
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        scratch.unlink(missing_ok=True)


def remove_scratch(folder: Path) -> None:
    """Remove what a killed process was writing to `folder`."""
    for path in folder.glob(f".*{SCRATCH}"):
        path.unlink(missing_ok=True)


def check_room(folder: Path, sizes: Sequence[int]) -> None:
    """UserError unless files of so many bytes fit into `folder` together; they are written and removed again."""
    scratch = [folder / f".room.{os.getpid()}.{number}{SCRATCH}" for number in range(len(sizes))]
    try:
        for path, size in zip(scratch, sizes, strict=True):
            with path.open("wb") as file:
                file.write(bytes(size))
                os.fsync(file.fileno())
    except OSError as error:
        raise UserError(
            f"{folder}: {sum(sizes) / 1e6:.1f} MB for checkpoints and log cannot be written there ({error.strerror}); "
            "make room, or choose another folder with --out-dir"
        ) from error
    finally:
        for path in scratch:
            path.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as indented JSON."""
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
