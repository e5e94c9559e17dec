"""Where a data set's IDX files come from: a folder, a Debian package, or torchvision's mirrors."""

import logging
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from datasets import idx
from errors import UserError
from torchvision_shim import torchvision_datasets

log = logging.getLogger(__name__)

MIRROR_SECONDS = 20

Fetch = Callable[[Path], None]
"""Puts the four IDX files into the folder it is given; raises OSError, RuntimeError or CalledProcessError."""


def fetch_from_mirrors(name: str) -> Fetch:
    """A fetcher that lets torchvision download its data set `name`; it gives up on a mirror that is silent too long."""

    def fetch(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, socket_timeout(MIRROR_SECONDS):
            getattr(torchvision_datasets(), name)(scratch, download=True)
            move_files(Path(scratch) / name / "raw", folder)

    return fetch


@contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Limit, for a `with` block, how long new connections wait for data: torchvision sets no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def fetch_from_debian(package: str, inside: str) -> Fetch:
    """A fetcher that unpacks a Debian `package`, without root or installing it, and takes its folder `inside`."""

    def fetch(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            root = Path(scratch)
            apt = private_apt(root)
            run([*apt, "update"], root)
            run([*apt, "download", package], root)
            run(["dpkg-deb", "-x", next(str(deb) for deb in root.glob("*.deb")), "unpacked"], root)
            move_files(root / "unpacked" / inside, folder)

    return fetch


def private_apt(root: Path) -> list[str]:
    """The apt-get command that keeps its lists and its cache under `root`, so that it needs no rights."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (root / folder).mkdir(parents=True)
    options = {
        "Dir::State": root / "state",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": root / "cache",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "",
    }
    return ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]


def run(command: Sequence[str], folder: Path) -> None:
    """Run a command quietly in `folder`; CalledProcessError or FileNotFoundError when it fails."""
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def move_files(source: Path, folder: Path) -> None:
    """Move a complete set of IDX files into `folder`."""
    if not idx.complete(source):
        raise OSError(f"the four IDX files are not all in {source.name}")
    for names in idx.FILES.values():
        for name in names:
            path = idx.find(source, name)
            assert path is not None
            shutil.move(path, folder / path.name)


def locate(name: str, folders: Sequence[Path], target: Path, fetchers: dict[str, Fetch]) -> Path:
    """The first of `folders` with the four IDX files of data set `name`; else fetches them into `target`.

    Raises UserError, naming every place and why it failed, when the files are nowhere to be had.
    """
    for folder in folders:
        if idx.complete(folder):
            log.info("%s: using %s", name, folder)
            return folder
    reasons = [f"  {folder}: not there" for folder in folders]
    for source, fetch in fetchers.items():
        log.info("%s: fetching it from %s into %s", name, source, target)
        try:
            target.mkdir(parents=True, exist_ok=True)
            fetch(target)
            return target
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            reasons.append(f"  {source}: {failure(error)}")
    files = ", ".join(f"{file}[.gz]" for names in idx.FILES.values() for file in names)
    raise UserError(
        "\n".join(
            [
                f"the data set {name} is nowhere to be had:",
                *reasons,
                f"Put {files} into {target}, or name their folder with --data.",
            ]
        )
    )


def failure(error: Exception) -> str:
    """One line that says why a source failed."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {error.returncode}"]
        return f"{error.cmd[0]}: {lines[-1]}"
    return (str(error) or type(error).__name__).splitlines()[0]
