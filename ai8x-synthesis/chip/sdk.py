"""A generated program for MAX78000, built with a stand-in for the vendor's SDK."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chip.demo import build
from chip.errors import FirmwareError

RUNTIME = Path(__file__).resolve().parents[1] / "Device"
SHARED = ("link.ld", "sections.ld", "startup.c", "platform.c", "tornadocnn.h")


@contextmanager
def built(folder: Path, show: Callable[[str], None], optimize: str = "-O2") -> Iterator[Path]:
    """The program of a folder, built in a temporary one, so that only what belongs into the vendor's SDK is in it.

    `show` gets each line that make prints. Raises FirmwareError if a file cannot be read, BuildError if the program
    does not build.
    """
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        sources = sorted(path for path in folder.iterdir() if path.suffix in (".c", ".h"))
        support = [path for path in (RUNTIME / "max78000").iterdir() if path.is_file()]
        try:
            for path in [*(RUNTIME / shared for shared in SHARED), *support, *sources]:
                shutil.copy(path, temporary)
            shutil.copy(RUNTIME / "Makefile", temporary / "device.mk")
            shutil.copytree(RUNTIME / "max78000" / "sdk", temporary / "sdk")
        except OSError as error:
            raise FirmwareError(f"{error.filename}: {error.strerror}; generate the folder again") from error
        yield build(temporary, show, folder, optimize)
