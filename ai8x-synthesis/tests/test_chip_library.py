"""The model compiles itself on first use, with either compiler, also when several processes do it at once."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chip import BuildError, library

PACKAGE = Path(library.__file__).parent
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from chip import Chip
Chip().write32(0x50100008, 3)
print("works")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that has not been compiled yet."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "chip", ignore=shutil.ignore_patterns("build", "__pycache__")))


def start_process(folder: Path, path: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", RUN, str(folder)], stdout=subprocess.PIPE, text=True,
                            env={"PATH": path, "HOME": str(Path.home())})


def test_processes_that_start_together_share_one_library(package: Path):
    processes = [start_process(package.parent, "/usr/bin:/bin") for _ in range(4)]
    assert [process.communicate()[0] for process in processes] == ["works\n"] * 4
    assert [path.suffix for path in (package / "build").iterdir()] == [".so"]


def test_the_package_ziglang_compiles_where_there_is_no_cc(package: Path, tmp_path: Path):
    assert start_process(package.parent, str(tmp_path)).communicate()[0] == "works\n"


def test_a_changed_source_is_compiled_again(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(library, "FOLDER", package)
    first = library.library()
    assert library.library() == first
    (package / "run.c").write_text((package / "run.c").read_text() + "/* changed */\n")
    assert library.library() != first


def test_an_error_in_the_sources_shows_the_compilers_message(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(library, "FOLDER", package)
    (package / "run.c").write_text("int broken(void) { return oops; }\n")
    with pytest.raises(BuildError, match=r"the chip model does not compile:\n(.|\n)*oops"):
        library.library()
    assert list((package / "build").iterdir()) == []


def test_without_any_compiler_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(library.shutil, "which", lambda name: None)
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BuildError, match=r"no C compiler: install cc .* or the Python package ziglang"):
        library.host_compiler()
