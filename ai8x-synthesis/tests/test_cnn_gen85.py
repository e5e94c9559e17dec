"""cnn-gen.py --ai85 as whole processes: what it writes runs on the emulated MAX78000."""

import filecmp
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conformance_cases import CASES85, ROOT
from izer.yamlcfg import SUPPORTED_DATASETS
from test_scripts import command, run_all

NETWORKS = sorted(path.stem for path in (ROOT / "networks" / "ai85").glob("*.yaml"))
TRAINED = dict(line.split() for line in (ROOT / "networks" / "ai85" / "checkpoints.txt").read_text().splitlines())

EMBEDDED = ("--embedded-code",)
RTL = ("--top-level", "cnn", "--autogen", "None")
FEATURES = ["tier1-conv1d-k5-k7", "tier1-dilated-long", "tier1-flatten-multipass", "tier1-multipass-both",
            "tier1-passthrough-avg-slots", "tier1-quant-mixed", "tier1-unaligned-out",
            "tier1-wide32-multipass"]  # fmt: skip


def cnn_gen(folder: Path, case: str, *options: str, status: int = 0) -> str:
    """What cnn-gen.py prints for a conformance case; its output goes below `folder`."""
    files = CASES85 / "valid" / case
    return command(sys.executable, ROOT / "cnn-gen.py", "--ai85", "--test-dir", folder, "--prefix", "t",
                   "--checkpoint-file", files / "checkpoint.pth.tar", "--config-file", files / "network.yaml",
                   "--sample-input", files / "sample.npy", *options, expect=status)  # fmt: skip


def generated(folder: Path, case: str, *options: str) -> Path:
    """The folder that cnn-gen.py wrote."""
    cnn_gen(folder, case, *options)
    (made,) = folder.iterdir()
    return made


def test_every_network_becomes_a_demo_that_passes_and_knows_its_sample(tmp_path):
    command(ROOT / "gen-demos-ai85.sh", tmp_path)
    folders = sorted(tmp_path.iterdir())
    assert [folder.name.removeprefix("ai85-") for folder in folders] == NETWORKS
    for network, (printed, result) in zip(NETWORKS, run_all(folders), strict=True):
        assert result["passed"], network
        assert "*** PASS ***" in printed
        if network in TRAINED:
            assert result["predicted"] == result["label"], network


def test_every_network_becomes_a_listed_rtl_test(tmp_path):
    """One of them is run: these programs are large, and the demos have shown what the networks compute."""
    command(ROOT / "gen-rtlsims-ai85.sh", tmp_path)
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    assert len(folders) == len(NETWORKS)
    listed = sorted((tmp_path / "autogen_list").read_text().splitlines())
    assert listed == sorted(f"tests/cnn/{path.name}/run_test:lowp" for path in folders)
    (chosen,) = (path for path in folders if path.name.startswith("ai85-mnist-mixed"))
    assert [result["passed"] for _, result in run_all([chosen])] == [True]


@pytest.mark.parametrize("kind", [EMBEDDED, RTL], ids=["embedded", "rtlsim"])
@pytest.mark.parametrize("case", FEATURES)
def test_programs_for_conformance_cases_pass(tmp_path, case, kind):
    ((printed, result),) = run_all([generated(tmp_path / "out", case, *kind)])
    expected = json.loads((CASES85 / "valid" / case / "latency.json").read_text())["total"]
    assert (result["passed"], result["cycles"]) == (True, expected)
    assert "*** PASS ***" in printed


@pytest.mark.parametrize("options", [("--verify-writes",), ("--verify-kernels", "--init-tram", "--ready-sel", "2"),
                                     ("--timer", "0", "--boost", "2.5", "--no-wfi"), ("--no-unload",),
                                     ("--max-checklines", "3")], ids=lambda options: options[0])  # fmt: skip
def test_options_leave_the_result_as_it_is(tmp_path, options):
    ((_, result),) = run_all([generated(tmp_path / "out", "tier1-wide32", *EMBEDDED, *options)])
    assert result["passed"]


@pytest.mark.parametrize(("file", "define", "number"), [("sampleoutput.h", "SAMPLE_OUTPUT", 3),
                                                        ("weights.h", "KERNELS", 2)])  # fmt: skip
def test_a_changed_word_of_the_answer_or_the_weights_fails(tmp_path, file, define, number):
    """The first word of the first block: behind address, mask and count, or behind address code and count."""
    made = generated(tmp_path / "out", "tier1-flatten-linear", *EMBEDDED)
    text = (made / file).read_text()
    words = list(re.finditer("0x[0-9a-f]{8}", text[text.index(f"#define {define}") :]))
    place = text.index(f"#define {define}") + words[number].start()
    (made / file).write_text(f"{text[:place]}0x{int(text[place:place + 10], 16) ^ 0x40000000:08x}{text[place + 10:]}")
    done = subprocess.run([sys.executable, ROOT / "cnn-run.py", made], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout


def test_a_changed_answer_of_an_rtl_test_is_named_with_its_place(tmp_path):
    made = generated(tmp_path / "out", "tier1-conv1x1-chain", *RTL)
    source = (made / "test.c").read_text()
    head, _, tail = source.rpartition("!= 0x")
    value = int(tail[:8], 16)
    (made / "test.c").write_text(f"{head}!= 0x{value ^ 1:08x}{tail[8:]}")
    done = subprocess.run([sys.executable, ROOT / "cnn-run.py", made], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"0x{value ^ 1:08x} expected" in done.stdout
    assert "instance 1, word" in done.stdout


def test_the_same_command_gives_the_same_files(tmp_path):
    first = generated(tmp_path / "out", "tier1-mlp", *EMBEDDED, "--verbose", "-L")
    shutil.copytree(first, tmp_path / "first")
    second = generated(tmp_path / "out", "tier1-mlp", *EMBEDDED, "--verbose", "-L")
    names = sorted(path.name for path in second.iterdir())
    assert filecmp.cmpfiles(tmp_path / "first", second, names, shallow=False) == (names, [], [])


@pytest.mark.parametrize(("options", "message"), [
    (("--fc-layer", *EMBEDDED), "--fc-layer does not exist for AI85"),
    (("--cmsis-software-nn", *EMBEDDED), "--cmsis-software-nn does not exist for AI85"),
    (("--fifo", *EMBEDDED), "not generated yet"),
    (("--softmax",), "there are no block-level tests for AI85"),
    (("--boost", "2", *EMBEDDED), "argument --boost"),
])  # fmt: skip
def test_options_that_make_no_sense_have_status_2(tmp_path, options, message):
    assert message in cnn_gen(tmp_path, "tier1-mlp", *options, status=2)


def test_options_of_ai85_do_not_exist_for_ai84():
    printed = command(sys.executable, ROOT / "cnn-gen.py", "--check", "--config-file", "x", "--timer", "0", expect=2)
    assert "--timer does not exist for AI84" in printed


def test_softmax_of_8_bit_outputs_is_refused_and_nothing_is_written(tmp_path):
    printed = cnn_gen(tmp_path / "out", "tier1-conv1x1-chain", *EMBEDDED, "--softmax", status=1)
    assert "--softmax needs a 32-bit output" in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_keep_all_rules_without_a_checkpoint(network):
    printed = command(sys.executable, ROOT / "cnn-gen.py", "--ai85", "--check", "--config-file",
                      ROOT / "networks" / "ai85" / f"{network}.yaml")  # fmt: skip
    assert "rules of AI85 hold" in printed


def test_the_classes_of_keywords_are_those_of_training():
    from datasets import REGISTRY

    assert SUPPORTED_DATASETS["kws_20"].classes == REGISTRY["KWS_20"].classes
    assert SUPPORTED_DATASETS["kws_20"].shape == REGISTRY["KWS_20"].input
