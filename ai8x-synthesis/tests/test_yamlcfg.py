"""YAML descriptions: defaults, order, and one message for everything that is wrong."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from izer.errors import IzerError, RuleError
from izer.grammars import AI85_KEYS
from izer.yamlcfg import read_description

GOOD = """arch: net
dataset: MNIST
layers:
- processors: 1
  data_format: CHW
  activate: ReLU
- processors: 0xfff0
  max_pool: 2
  pool_stride: 2
  pad: 2
  out_offset: 0x2000
"""


def read(tmp_path, text):
    path = tmp_path / "net.yaml"
    path.write_text(text)
    return read_description(path)


def violations(tmp_path, text):
    with pytest.raises(RuleError) as error:
        read(tmp_path, text)
    return [str(v).removeprefix(f"{tmp_path}/") for v in error.value.violations]


def test_keys_defaults_and_lines(tmp_path):
    description = read(tmp_path, GOOD)
    first, second = description.layers
    assert (description.arch, description.dataset, description.output_map) == ("net", "MNIST", None)
    assert (first.processors, first.data_format, first.activate) == (1, "chw", "relu")
    assert (first.pad, first.out_offset) == (None, 0)
    assert (second.max_pool, second.pool_stride, second.pad, second.out_offset) == ((2, 2), (2, 2), 2, 0x2000)
    assert (second.activate, second.data_format) == (None, None)
    assert (second.line_of("pad"), second.line_of("activate")) == (10, 7)


def test_layers_are_ordered_by_sequence_and_gaps_are_contracted(tmp_path):
    text = "arch: a\ndataset: d\nlayers:\n" + "".join(
        f"- {{processors: {p}{s}}}\n" for p, s in ((1, ""), (2, ", sequence: 9"), (4, ""), (8, ", sequence: 3"))
    )
    assert [layer.processors for layer in read(tmp_path, text).layers] == [1, 8, 2, 4]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pad: 2", "padding: 2", "net.yaml:10, layer 1: rule unknown-layer-key: Only documented keys are allowed in a "
         "layer. Given: `padding`. Allowed: sequence, processors, "),
        ("pad: 2", "pad: two", "net.yaml:10, layer 1: rule type: `pad` is an integer. Given: 'two'."),
        ("pad: 2", "pad: true", "net.yaml:10, layer 1: rule type: `pad` is an integer. Given: True."),
        ("pad: 2", "max_pool: 4", "net.yaml:10, layer 1: rule duplicate-key: Every key stands once. "
         "Given: `max_pool` in lines 8 and 10. Remove one."),
        ("0xfff0", "0", "net.yaml:7, layer 1: rule type: `processors` is a 64-bit integer (a bit map) with at least "
         "one bit set. Given: 0."),
        ("0xfff0", "0x1ffffffffffffffff", "net.yaml:7, layer 1: rule type: `processors` is a 64-bit integer"),
        ("activate: ReLU", "activate: Abs", "net.yaml:6, layer 0: rule type: `activate` is one of relu, none. "
         "Given: 'Abs'."),
        ("activate: ReLU", "quantization: 4", "net.yaml:6, layer 0: rule type: `quantization` is 8. Given: 4."),
        ("activate: ReLU", "op: conv3d", "net.yaml:6, layer 0: rule type: `op` is one of conv2d, conv1d. "
         "Given: 'conv3d'."),
        ("activate: ReLU", "sequence: 32", "net.yaml:6, layer 0: rule type: `sequence` is an integer from 0 to 31."),
        ("arch: net\n", "", "net.yaml: rule missing-key: `arch` is mandatory. Given: nothing. Add it."),
        ("arch: net\n", "arch: net\nnetwork: x\n", "net.yaml:2: rule unknown-key: Only documented keys are allowed."),
        ("arch: net", "arch: 5", "net.yaml:1: rule type: `arch` is a text. Given: 5."),
    ],
)  # fmt: skip
def test_each_mistake_has_its_message(tmp_path, old, new, message):
    found = violations(tmp_path, GOOD.replace(old, new, 1))
    assert len(found) == 1
    assert found[0].startswith(message)


def test_all_mistakes_are_reported_together(tmp_path):
    text = GOOD.replace("arch: net", "arch: []").replace("pad: 2", "pad: x").replace("activate", "activat")
    assert len(violations(tmp_path, text)) == 3


def test_repeated_sequence_and_missing_processors(tmp_path):
    text = "arch: a\ndataset: d\nlayers:\n- {processors: 1, sequence: 2}\n- {processors: 1, sequence: 2}\n- pad: 1\n"
    found = violations(tmp_path, text)
    assert "rule missing-key: `processors` is mandatory in every layer." in found[0]
    assert "rule sequence: Every layer has a sequence number of its own. Given: 2 in lines 4 and 5." in found[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a network description is a mapping"),
        (b"- a\n- b\n", "a network description is a mapping"),
        (b"arch: [1\n", "not valid YAML"),
        (b"arch:\tx\n\ty: 1\n", "not valid YAML"),
        (b"\xff\xfe\x00a", "not UTF-8"),
        (b"a: &a [*a]\n", "rule"),
        (b"arch: !!python/object/apply:os.system [id]\n", "rule"),
        (b"a: 1\n---\nb: 2\n", "not valid YAML"),
        (b"[" * 100_000, "nested too deeply"),
        (b"a: " + b"x" * (1 << 20), "at most 1048576 bytes"),
    ],
    ids=range(10),
)
def test_files_that_are_no_descriptions(tmp_path, content, message):
    path = tmp_path / "net.yaml"
    path.write_bytes(content)
    with pytest.raises(IzerError, match=message):
        read_description(path)


def test_aliases_that_would_explode_do_no_harm(tmp_path):
    bomb = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    assert len(violations(tmp_path, "a: &a [x]\n" + bomb + GOOD)) == 9


def test_missing_file(tmp_path):
    with pytest.raises(IzerError, match="cannot read the network description: No such file"):
        read_description(tmp_path / "missing.yaml")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_descriptions_are_read_or_refused_but_never_crash(tmp_path, data):
    text = GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        piece = data.draw(st.sampled_from(["", ":", "- ", "\t", "&a ", "*a", "!!", "{", "]", "'", "0x", "-1", "1e999",
                                           "\u2028", "\x00", "null", "2026-01-01", "<<: ", "? ", "|\n", "%"]))
        text = text[:start] + piece + text[start + data.draw(st.integers(0, 3)):]
    try:
        read(tmp_path, text)
    except IzerError as error:
        assert str(tmp_path) in str(error)


GOOD85 = """arch: net
dataset: MNIST
layers:
- name: first
  processors: '0000.0000.0000_0001'
  op: Conv2D
  max_pool: [2, 3]
  activation: None
  quantization: 2
- processors: 0xfff0
  in_sequences: [input, first]
  convolution: mlp
  flatten: true
  output_width: 32
  bias_quadrant: [0, 3]
  streaming: true
  in_dim: 12
"""


def test_keys_of_ai85(tmp_path):
    (tmp_path / "net.yaml").write_text(GOOD85)
    first, second = read_description(tmp_path / "net.yaml", AI85_KEYS).layers
    assert (first.name, first.processors, first.op, first.max_pool) == ("first", 1, "conv2d", (2, 3))
    assert (first.activate, first.quantization, first.output_width, first.flatten) == (None, 2, 8, False)
    assert (second.in_sequences, second.op, second.flatten, second.output_width) == ((-1, 0), "linear", True, 32)
    assert (second.bias_group, second.in_dim, second.later) == ((0, 3), (12, 1), {"streaming": True})


@pytest.mark.parametrize(("old", "new", "message"), [
    ("quantization: 2", "quantization: 3", "9, layer 0: rule type: `quantization` is 1 or 2 or 4 or 8. Given: 3."),
    ("op: Conv2D", "op: conv3d", "6, layer 0: rule type: `op` is one of conv2d, conv1d, linear, fc, mlp, "),
    ("[input, first]", "second", "11, layer 1: rule in-sequences: A layer reads the outputs of layers that run before "
     "it. Given: sequence second. Use -1 for the network input."),
    ("name: first", "name: stop", "4, layer 0: rule name: Every name of a layer is its own, and neither `input` nor "
     "`stop`. Given: `stop`."),
    ("flatten: true", "flatten: 1", "13, layer 1: rule type: `flatten` is true or false. Given: 1."),
    ("[0, 3]", "[0, 4]", "15, layer 1: rule type: `bias_quadrant` is a quadrant from 0 to 3, or a list of them."),
    ("'0000.0000.0000_0001'", "'0000.000x'", "5, layer 0: rule type: `processors` is a 64-bit integer (a bit map) "
     "with at least one bit set. Given: '0000.000x'."),
])  # fmt: skip
def test_wrong_values_of_ai85(tmp_path, old, new, message):
    assert old in GOOD85
    (tmp_path / "net.yaml").write_text(GOOD85.replace(old, new))
    with pytest.raises(RuleError) as error:
        read_description(tmp_path / "net.yaml", AI85_KEYS)
    found = [str(v).removeprefix(f"{tmp_path}/net.yaml:") for v in error.value.violations]
    assert any(text.startswith(message) for text in found), found


def test_keys_of_ai85_are_unknown_on_ai84(tmp_path):
    found = violations(tmp_path, GOOD.replace("pad: 2", "flatten: true"))
    assert found[0].startswith("net.yaml:10, layer 1: rule unknown-layer-key: ")
