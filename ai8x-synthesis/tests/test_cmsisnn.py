"""Demos with CMSIS-NN: every layer's output is the reference's, on the PC with sanitizers and on the Cortex-M4."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

import random_networks
from cmsisnn_tools import (
    Builder,
    assert_all_equal,
    compare_source,
    conv1d_model,
    demo_files,
    make,
    write_files,
)
from conformance_cases import ROOT, cases, model_of, request_of
from izer import pipeline, torchfile
from izer.device import AI84
from izer.emit.demofolder import fc_defines
from izer.errors import RuleError

TRAINED = dict(line.split() for line in (ROOT / "networks" / "checkpoints.txt").read_text().splitlines())
REFUSED = "padded_width_256"  # wider than CMSIS-NN's coordinates
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("cmsis"))


def network_model(name: str, folder: Path) -> pipeline.Model:
    """A network of networks/ with its trained weights; ai84net7, which nothing trained, with random ones."""
    checkpoint = ROOT / "trained" / f"{TRAINED[name]}.pth.tar" if name in TRAINED else folder / "random.pth.tar"
    if name not in TRAINED:
        subprocess.run([sys.executable, ROOT / "synthetic.py", "--checkpoint", checkpoint], check=True)
    return pipeline.build_model(pipeline.Request(AI84, ROOT / "networks" / f"{name}.yaml", checkpoint, fc_layer=True,
                                                 cmsis_nn=True))


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "networks").glob("*.yaml")))
def test_every_network_computes_the_reference_on_pc_and_cortex_m4(name, builder, tmp_path):
    model = network_model(name, tmp_path)
    done = builder.host(model)
    assert done.stderr == ""
    assert_all_equal(model, done.returncode, done.stdout)
    assert_all_equal(model, *builder.cortex_m4(model))


@pytest.mark.parametrize("folder", [case for case in cases("valid") if case.id != REFUSED])
def test_every_conformance_case_computes_the_reference_on_pc_and_cortex_m4(folder, builder):
    model = model_of(folder)
    done = builder.host(model)
    assert done.stderr == ""
    assert_all_equal(model, done.returncode, done.stdout)
    assert_all_equal(model, *builder.cortex_m4(model))


@settings(max_examples=12, deadline=None, suppress_health_check=CHECKS)
@given(network=random_networks.random_networks())
def test_random_networks_compute_the_reference_on_the_pc(network, builder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    network.write(folder)
    request = pipeline.Request(AI84, folder / "net.yaml", folder / "c.pth.tar", folder / "sample.npy", cmsis_nn=True,
                               input_offset=network.input_offset)  # fmt: skip
    try:
        model = pipeline.build_model(request)
    except RuleError as error:
        assume({violation.rule for violation in error.violations} != {"mask-ram"})
        raise
    done = builder.host(model)
    assert_all_equal(model, done.returncode, done.stdout)


@pytest.mark.parametrize("length, pads", [(33, (0, 0)), (21, (6, 3)), (90, (3, 6)), (3, (6, 6))])
def test_one_dimensional_convolutions_compute_the_reference(length, pads, builder, tmp_path):
    model = conv1d_model(tmp_path, length, pads)
    assert [layer.op for layer in model.network.layers] == ["conv1d", "conv1d"]
    done = builder.host(model)
    assert_all_equal(model, done.returncode, done.stdout)
    assert_all_equal(model, *builder.cortex_m4(model))


def small_model(**options: object) -> pipeline.Model:
    """A network of two layers with pooling and classification layer."""
    folder = next(case.values[0] for case in cases("valid") if case.id == "pool4_max_fc")
    return pipeline.build_model(request_of(folder, "network.yaml", {"fc_layer": True, "cmsis_nn": True, **options}))


def host_console(folder: Path, files: dict[str, bytes]) -> tuple[int, str]:
    write_files(folder, files)
    make(folder, "host")
    done = subprocess.run([str(folder / "build" / "host")], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_a_different_layer_is_found_by_the_comparison_that_these_tests_use(tmp_path):
    model = small_model()
    wrong = [values.output.copy() for values in model.values]
    wrong[0][-1, -1, -1] ^= 1
    status, console = host_console(tmp_path, demo_files(model) | {"compare.c": compare_source(wrong).encode()})
    size = wrong[0].size
    assert status == 0
    assert f"layer 0: {size} of {size} values, 1 differ\n" in console


@pytest.mark.parametrize("name, old, new, message", [
    ("weights.h", "#define WEIGHTS_0 { \\\n  ", "#define WEIGHTS_0 { \\\n  100 + ", "the output of the last layer"),
    ("weights.h", "#define BIAS_1 { \\\n  ", "#define BIAS_1 { \\\n  127 + 0 * ", "the output of the last layer"),
    ("sampledata.h", "#define SAMPLE_INPUT { \\\n  ", "#define SAMPLE_INPUT { \\\n  99 + ", "the output of the last"),
    ("sampledata.h", "#define SAMPLE_SCORES { \\\n  ", "#define SAMPLE_SCORES { \\\n  1 + ", "the scores"),
    ("sampledata.h", "#define SAMPLE_OUTPUT { \\\n  ", "#define SAMPLE_OUTPUT { \\\n  1 + ", "the output of the last"),
])
def test_one_wrong_value_fails(name, old, new, message, tmp_path):
    files = demo_files(small_model())
    assert old.encode() in files[name]
    files[name] = files[name].replace(old.encode(), new.encode(), 1)
    status, console = host_console(tmp_path, files)
    assert status == 1
    assert console.splitlines()[-1].startswith(f"*** FAIL *** {message}")


def test_classification_weights_for_channels_in_the_accelerators_order_fail(tmp_path):
    """The software's data is in HWC order, the accelerator's in CHW order."""
    model = small_model()
    files = demo_files(model)
    lines = files["weights.h"].decode()
    chw = fc_defines(model.network.fc.weight, None)["FC_WEIGHTS"]
    start = lines.index("#define FC_WEIGHTS")
    files["weights.h"] = f"{lines[:start]}#define FC_WEIGHTS {chw}\n{lines[lines.index('#define FC_BIAS'):]}".encode()
    status, console = host_console(tmp_path, files)
    assert status == 1
    assert console.splitlines()[-1] == "*** FAIL *** the scores differ from the known answer"


def test_a_layer_that_the_library_refuses_fails_with_its_name(tmp_path):
    """Seven of eight outputs: the fast convolution takes pairs only."""
    model = small_model()
    files = demo_files(model)
    source = files["main.c"].decode()
    layer = model.network.layers[1]
    fast = f"weights_1, {layer.out_channels},"
    assert fast in source
    assert "arm_convolve_HWC_q7_fast(" in source[source.index("*layer_1("):source.index(fast)]
    files["main.c"] = source.replace(fast, f"weights_1, {layer.out_channels - 1},").encode()
    status, console = host_console(tmp_path, files)
    assert status == 1
    assert console.splitlines()[-2:] == [f"CMSIS-NN refuses layer 1, {layer.name}",
                                         "*** FAIL *** a layer was refused"]


def test_without_classification_layer_the_output_is_printed(tmp_path):
    model = small_model(fc_layer=False)
    status, console = host_console(tmp_path, demo_files(model))
    values = model.values[-1].output.transpose(1, 2, 0).reshape(-1).tolist()
    lines = [line for line in console.splitlines()
             if not line.startswith(("layer ", "Time ", "***"))]  # fmt: skip
    assert [int(value) for line in lines for value in line.split()] == values
    assert (status, console.splitlines()[-1]) == (0, "*** PASS ***")


def refused(request: pipeline.Request) -> list[tuple[str, int | None]]:
    with pytest.raises(RuleError) as error:
        pipeline.build_model(request)
    return [(violation.rule, violation.layer) for violation in error.value.violations]


def test_an_image_that_is_too_wide_is_refused_for_cmsis_only():
    folder = next(case.values[0] for case in cases("valid") if case.id == REFUSED)
    request = request_of(folder, "network.yaml", {})
    pipeline.build_model(request)
    assert refused(replace(request, cmsis_nn=True)) == [("cmsis-image", 0)]


@pytest.mark.parametrize("size, pad", [(127, 0), (127, 1), (127, 2), (126, 2)])
def test_padding_behind_an_image_of_127_rows_is_outside_in_a_signed_char_too(size, pad):
    """in_row of the library's plain convolution is a signed char: 128 becomes -128, which is outside as well."""
    for row in range(-pad, size + pad):
        wrapped = (row + 128) % 256 - 128
        assert (0 <= wrapped < size) == (0 <= row < size)
        assert wrapped == row or not 0 <= row < size


def test_a_layer_that_joins_channels_is_refused_for_cmsis_only(tmp_path):
    (tmp_path / "net.yaml").write_text(
        "arch: join\ndataset: MNIST\noutput_map: 0x1\nlayers:\n"
        "- {processors: 0x1, out_offset: 0x2000, output_processors: 0x2}\n"
        "- {processors: 0x2, out_offset: 0x2000, output_processors: 0x1}\n"
        "- {processors: 0x3, in_offset: 0x2000, in_sequences: [1, 0], out_offset: 0}\n")
    state = {f"{name}.weight": np.ones((1, channels, 3, 3), np.float32) for name, channels in
             (("a", 1), ("b", 1), ("c", 2))}  # fmt: skip
    torchfile.write(tmp_path / "c.pth.tar", {"arch": "join", "state_dict": state})
    np.save(tmp_path / "sample.npy", np.zeros((1, 8, 8), np.int64))
    request = pipeline.Request(AI84, tmp_path / "net.yaml", tmp_path / "c.pth.tar", tmp_path / "sample.npy",
                               overwrite_ok=True)
    pipeline.build_model(request)
    assert refused(replace(request, cmsis_nn=True)) == [("cmsis-chain", 2)]
