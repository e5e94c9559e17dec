"""cnn-gen.py as a whole process: files, log, refusals, reproducibility."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conformance_cases import CASES, ROOT

CASE = CASES / "valid" / "fashion_chw"
EMBEDDED = ("--fc-layer", "--embedded-code")


def run(folder: Path, *arguments: str, case: Path = CASE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "cnn-gen.py"), "--top-level", "cnn", "--test-dir", "out", "--prefix", "demo",
               "--checkpoint-file", str(case / "checkpoint.pth.tar"), "--config-file", str(case / "network.yaml"),
               "--sample-input", str(case / "sample.npy"), *arguments]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_embedded_demo_has_all_files_and_says_what_to_do_next(tmp_path):
    done = run(tmp_path, *EMBEDDED, "--verbose", "-L")
    assert done.returncode == 0, done.stderr
    assert "Next: ./cnn-run.py out/demo" in done.stdout
    names = {path.name for path in (tmp_path / "out" / "demo").iterdir()}
    runtime = {path.name for path in (ROOT / "Device").iterdir() if path.is_file()}
    assert names == runtime | {"main.c", "weights.h", "sampledata.h", "cnn-run.json", "sample.npy", "log.txt"}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["demo"]  # no temporary folder stays


def test_rtl_test_has_its_documented_layout(tmp_path):
    done = run(tmp_path, "--autogen", "list", "-L")
    assert done.returncode == 0, done.stderr
    name = ("demo-1x28x28b_0x0s1p1m60_relu-60x28x28l_max2x2s2p2m60_relu-60x16x16l_max2x2s2p1m56_relu-"
            "56x8x8l_avg2x2s2p1m12_relu")  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "out" / name).iterdir()) == ["log.txt", "run_test.sv", "test.c"]
    line = f"tests/cnn/{name}/run_test:lowp\n"
    assert (tmp_path / "list" / "autogen_list").read_text() == line
    assert "`define ARM_PROG_SOURCE test.c\ndefparam REPEAT_TIMEOUT = 4;\n" in (
        tmp_path / "out" / name / "run_test.sv"
    ).read_text()
    run(tmp_path, "--autogen", "list", "-L")
    assert (tmp_path / "list" / "autogen_list").read_text() == line  # listed once


def test_same_command_gives_same_bytes(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        assert run(tmp_path / folder, *EMBEDDED, "--verbose", "-L").returncode == 0
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / f / "out" / "demo").iterdir()} for f in ("a", "b"))
    assert one == two
    assert b"Created by: cnn-gen.py --top-level cnn" in one["main.c"]


def test_kernel_map_of_the_hardware_reference_is_printed(tmp_path):
    """Chapter 10 describes the map of this network row by row."""
    done = run(tmp_path, *EMBEDDED, "--verbose")
    lines = done.stdout.splitlines()
    start = lines.index("Kernel map")
    assert lines[start + 1] == lines[start + 66] == "-" * 128
    rows = lines[start + 2 : start + 66]
    assert rows[0] == "0" * 60 + "X" * 68
    assert rows[1:4] == ["X" * 128] * 3
    assert rows[4:60] == ["1" * 60 + "2" * 56 + "3" * 12] * 56
    assert rows[60:] == ["1" * 60 + "2" * 56 + "X" * 12] * 4
    assert "10,749,888 macc; 128,576 comp; 3,584 add; 8,447,280 macc without padding" in done.stdout
    assert "Software: 1,920 macc" in done.stdout


@pytest.mark.parametrize("case", ["pad_3", "output_overlaps_input", "unknown_layer_key", "layers_33"])
def test_refusal_is_a_message_with_status_1_and_nothing_is_written(tmp_path, case):
    done = run(tmp_path, *EMBEDDED, case=CASES / "invalid" / case)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("cnn-gen.py: error: ")
    assert "network.yaml:" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_overlap_can_be_allowed(tmp_path):
    done = run(tmp_path, "--embedded-code", "--overwrite-ok", case=CASES / "invalid" / "output_overlaps_input")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [("--fc-layer",), ("--stop-after", "-1"), ("--unknown",), ("--prefix", "a/b"),
                                       ("--prefix", ".."), ("--prefix", "a\nb"), ("--device", "83")])  # fmt: skip
def test_wrong_options_have_status_2(tmp_path, arguments):
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_does_not_exist_cannot_be_the_last(tmp_path):
    done = run(tmp_path, "--stop-after", "4")
    assert done.returncode == 1
    assert done.stderr.endswith("network.yaml: --stop-after 4: the last layer is 3.\n")


def test_label_of_the_sample_is_a_class(tmp_path):
    shutil.copy(CASE / "sample.npy", tmp_path / "sample.npy")
    (tmp_path / "sample.json").write_text('{"label": 10}')
    done = run(tmp_path, *EMBEDDED, "--sample-input", "sample.npy")
    assert done.returncode == 1
    assert "sample.npy: the label of the sample is 0 to 9 for FashionMNIST; given 10." in done.stderr


def test_line_breaks_in_arguments_stay_inside_the_comment(tmp_path):
    assert run(tmp_path, *EMBEDDED, "--autogen", "a\n#error b").returncode == 0
    assert "\n#error" not in (tmp_path / "out" / "demo" / "main.c").read_text()


def test_unwritable_output_is_one_message(tmp_path):
    (tmp_path / "out").write_text("a file where a folder should be")
    done = run(tmp_path, *EMBEDDED)
    assert done.returncode == 1
    assert done.stderr.startswith("cnn-gen.py: error: out/demo: cannot write the output: ")
    assert done.stderr.count("\n") == 1


def test_missing_files_are_one_message_each(tmp_path):
    for option in ("--checkpoint-file", "--config-file", "--sample-input"):
        done = run(tmp_path, *EMBEDDED, option, "missing")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "missing: cannot read the" in done.stderr


def test_other_bus_address(tmp_path):
    assert run(tmp_path, *EMBEDDED, "--apb-base", "0x60100000").returncode == 0
    source = (tmp_path / "out" / "demo" / "main.c").read_text()
    assert "0x60100000" in source
    assert "0x5010" not in source


def test_help_has_an_example():
    done = subprocess.run([sys.executable, ROOT / "cnn-gen.py", "--help"], capture_output=True, text=True, check=True)
    assert "example:\n  ./cnn-gen.py" in done.stdout


@pytest.mark.parametrize("module", ["torch", "torchvision"])
def test_synthesis_works_without_pytorch(tmp_path, module):
    """Both tools run where an import of PyTorch would fail."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / f"{module}.py").write_text("raise ImportError('not here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "path")}
    done = subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, capture_output=True, check=False)
    assert done.returncode == 1  # the trap works
    command = [sys.executable, ROOT / "cnn-gen.py", "--top-level", "cnn", "--test-dir", "out", "--prefix", "demo",
               "--checkpoint-file", CASE / "checkpoint.pth.tar", "--config-file", CASE / "network.yaml",
               "--sample-input", CASE / "sample.npy", *EMBEDDED]  # fmt: skip
    subprocess.run(command, env=environment, capture_output=True, check=True, cwd=tmp_path)
    command = [sys.executable, ROOT / "ai84ize.py", CASE / "checkpoint.pth.tar", "out.pth.tar", "--scale", "1"]
    subprocess.run(command, env=environment, capture_output=True, check=True, cwd=tmp_path)


def test_verbose_prints_every_value_of_every_layer(tmp_path):
    done = run(tmp_path, *EMBEDDED, "--verbose")
    printed = dict(block.split(":\n", 1) for block in done.stdout.split("\n\n") if ":\n" in block)
    sample = np.load(CASE / "sample.npy")
    assert np.array_equal(np.loadtxt(printed["Network input 1x28x28"].splitlines(), int), sample.reshape(-1, 28))
    with np.load(CASE / "layers.npz") as layers:
        for name, output in layers.items():
            title = f"Layer {name[-1]}: output {'x'.join(map(str, output.shape))}"
            text = printed[title].splitlines()
            assert np.array_equal(np.loadtxt(text, int), output.reshape(-1, output.shape[-1])), title
            unlimited = printed[title.replace("output", "accumulator")].splitlines()
            expected = np.clip((np.loadtxt(unlimited, int) + 64) // 128, 0, 127)  # every layer of this case has ReLU
            assert np.array_equal(expected, output.reshape(-1, output.shape[-1])), title
