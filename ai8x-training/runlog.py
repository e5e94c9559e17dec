"""The log directory of a run: log file, TensorBoard events, copies of what the run was given."""

import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from errors import UserError
from launch import Processes

log = logging.getLogger(__name__)


def create(out_dir: Path, name: str | None) -> Path:
    """Make the directory `[<name>___]YYYY.MM.DD-HHMMSS` in `out_dir`; UserError when that is not possible."""
    stamp = time.strftime("%Y.%m.%d-%H%M%S")
    stem = f"{name}___{stamp}" if name else stamp
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        directory = out_dir / f"{stem}{suffix}"
        try:
            directory.mkdir(parents=True)
            return directory
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(
                f"{directory}: the log directory cannot be made ({error.strerror}); choose another with --out-dir"
            ) from error
    raise UserError(f"{out_dir / stem}: a hundred runs started in this second")


def link_latest(directory: Path) -> None:
    """Let `latest` beside the log directory point to it, at no time to nothing."""
    scratch = directory.parent / f".latest.{os.getpid()}"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(directory.name)
    scratch.replace(directory.parent / "latest")


def log_to_console(processes: Processes) -> None:
    """Print what is logged to standard output, as it is; of several processes only the main one logs."""
    handler = logging.StreamHandler(sys.stdout) if processes.is_main else logging.NullHandler()
    handler.setLevel(logging.INFO)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)


class LogFile(logging.FileHandler):
    """A log file; UserError when it cannot be written, where logging only prints a traceback and goes on."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Called while what went wrong is being handled."""
        raise UserError(f"{self.baseFilename}: cannot be written ({sys.exception()})")


@contextmanager
def log_file(directory: Path) -> Iterator[None]:
    """Also write everything logged inside the `with` block, debug messages included, to the directory's log file."""
    handler = LogFile(directory / f"{directory.name}.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s - %(message)s"))
    handler.setLevel(logging.DEBUG)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        with suppress(OSError):  # every line was written, or reported, when it was logged
            handler.close()


def log_environment(arguments: Sequence[str], device: torch.device) -> None:
    """Log what later explains the numbers: machine, versions, command line."""
    log.info("Command line: %s", shlex.join(["./train.py", *arguments]))
    log.info(
        "Python %s, PyTorch %s, %s, %d CPU threads, computing on %s",
        platform.python_version(),
        torch.__version__,
        platform.system(),
        torch.get_num_threads(),
        device,
    )
