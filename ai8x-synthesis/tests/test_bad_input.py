"""Three thousand bad inputs: each gives one clear message and the right exit status, and leaves nothing behind.

The programs run in this process; any exception that escapes them fails the test.
"""

import importlib.util
import io
import pickle
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from conformance_cases import CASES, CASES85, ROOT
from izer import torchfile


@dataclass(frozen=True)
class Source:
    """Where good inputs of a device come from, the options that its programs want, and how many tries there are."""

    options: tuple[str, ...]
    case: Path
    others: tuple[Path, ...]
    share: float


SOURCES = {
    "ai84": Source((), CASES / "valid" / "pad0_relu", tuple(sorted((CASES / "valid").iterdir())), 1),
    "ai85": Source(("--ai85",), CASES85 / "valid" / "tier1-quant-mixed", tuple(sorted(CASES85.glob("valid/tier1-*"))),
                   0.5),
}  # fmt: skip
PIECES = [
    "", ":", "- ", "\t", "&a ", "*a", "!!", "{", "]", "'", '"', "0x", "-1", "1e999", "99999999999999999999", "null",
    "~", "true", "[1, 2]", "{a: b}", "\x00", "\ufeff", "\u2028", "é", "<<: *a", "? ", "|\n", "%YAML 1.9\n", "---\n",
    "processors: 0\n", "pad: 1\n", "\n\n", "#", "max_pool: 3\n", "out_offset: 0xffff\n", "sequence: 31\n",
]  # fmt: skip
VALUES = [
    "5.5", "-3", "1e400", "1" + "0" * 400, "[]", "{}", "text", "", "yes", "2026-11-22", "0b12", "!!binary aGk=",
    "!!python/name:os.system", "&x [*x]", "'\\0'", "0x" + "f" * 17, "0x" + "f" * 400,
]  # fmt: skip


def load(name: str) -> ModuleType:
    """A command line program as a module."""
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Inputs:
    """The files of one try, as bytes; None: the file is missing."""

    yaml: bytes | None
    checkpoint: bytes | None
    sample: bytes | None
    label: bytes | None = None


def good(case: Path) -> Inputs:
    names = ("network.yaml", "checkpoint.pth.tar", "sample.npy")
    return Inputs(*((case / name).read_bytes() for name in names))


def damage(data: bytes, dice: random.Random) -> bytes:
    """Cut off, or change some bytes."""
    if dice.random() < 0.4:
        return data[: dice.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 2, 5, 20])):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def typo(source: Source, dice: random.Random) -> Inputs:
    """Characters of the description are removed, replaced or inserted."""
    inputs = good(source.case)
    text = inputs.yaml.decode()
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        start = dice.randrange(len(text))
        text = text[:start] + dice.choice(PIECES) + text[start + dice.choice([0, 1, 1, 3, 10]) :]
    inputs.yaml = text.encode()
    return inputs


def wrong_value(source: Source, dice: random.Random) -> Inputs:
    """A value of the description is replaced by one of another type or size; a key may go or come twice."""
    inputs = good(source.case)
    lines = inputs.yaml.decode().splitlines()
    line = dice.choice([n for n, text in enumerate(lines) if ":" in text])
    key = lines[line].split(":")[0]
    lines[line] = dice.choice([f"{key}: {dice.choice(VALUES)}", f"{lines[line]}\n{lines[line]}", "", f"{key}s: 1"])
    inputs.yaml = "\n".join(lines).encode()
    return inputs


def encoding(source: Source, dice: random.Random) -> Inputs:
    """The description in another encoding, as random bytes, or not there."""
    inputs = good(source.case)
    text = inputs.yaml.decode()
    inputs.yaml = dice.choice([
        text.encode("utf-16"), text.encode("utf-32"), text.replace("ReLU", "ReLÜ").encode("latin-1"),
        b"\xef\xbb\xbf" + inputs.yaml, dice.randbytes(dice.randrange(400)), b"\x00" * 100,
        b"[" * dice.randrange(1, 5000), b"a: " * dice.randrange(1, 500),
        "".join(f"k{n}: &k{n} [*k{n - 1}, *k{n - 1}]\n" if n else "k0: &k0 x\n" for n in range(60)).encode(), None,
    ])  # fmt: skip
    return inputs


def broken_checkpoint(source: Source, dice: random.Random) -> Inputs:
    """Damaged, empty or missing checkpoints."""
    inputs = good(source.case)
    inputs.checkpoint = dice.choice([damage(inputs.checkpoint, dice), damage(inputs.checkpoint, dice), b"", None,
                                     dice.randbytes(300), b"PK\x03\x04" + dice.randbytes(200)])  # fmt: skip
    return inputs


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return stream.getvalue()


HOSTILE = [
    "os\nsystem", "builtins\neval", "builtins\ngetattr", "posix\nsystem", "subprocess\nPopen", "torch\nload",
    "torch.optim.sgd\nSGD", "torch._utils\n_rebuild_tensor_v2", "collections\nOrderedDict", "numpy\nload",
]  # fmt: skip
PLAIN = [[], {}, 5, {"state_dict": 5}, {"state_dict": {}, "arch": "x"}, {"state_dict": {"a": 1}}]


def hostile_checkpoint(source: Source, dice: random.Random, folder: Path) -> Inputs:
    """Pickle streams that call something, or that hold something else than a checkpoint."""
    inputs = good(source.case)
    name = dice.choice(HOSTILE)
    call = f"c{name}\n(S'touch {folder}/created'\ntR.".encode()
    inner = f"(dS'state_dict'\nc{name}\n(S'x'\ntRs.".encode()
    chosen = dice.choice([call, inner, pickle.dumps(dice.choice(PLAIN))])
    inputs.checkpoint = dice.choice([zipped(chosen), chosen])
    return inputs


def other_weights(source: Source, dice: random.Random, folder: Path) -> Inputs:
    """Readable checkpoints with wrong values, shapes, names or numbers of layers."""
    inputs = good(source.case)
    content = torchfile.read(source.case / "checkpoint.pth.tar")
    tensors = dict(content["state_dict"])
    name = dice.choice(list(tensors))
    value = tensors[name]
    tensors[name] = dice.choice([
        value + 0.5, value * 1000, np.full_like(value, np.nan), np.full_like(value, np.inf), value[:1], value[..., :2],
        value.reshape(-1), value[None], value.astype(np.float64) * 1e30, np.zeros(0, np.float32), np.array(3.0),
    ])  # fmt: skip
    if dice.random() < 0.3:
        tensors["more.weight"] = np.ones((3, 5, 3, 3), np.float32)
    content = {**content, "state_dict": tensors, "arch": dice.choice([content["arch"], "other", 5, None])}
    torchfile.write(folder / "other.pth.tar", content)
    inputs.checkpoint = (folder / "other.pth.tar").read_bytes()
    return inputs


def mixed_cases(source: Source, dice: random.Random) -> Inputs:
    """Description, checkpoint and sample of different networks."""
    parts = [good(case) for case in dice.sample(source.others, 3)]
    return Inputs(parts[0].yaml, dice.choice(parts[:2]).checkpoint, parts[2].sample)


def bad_sample(source: Source, dice: random.Random) -> Inputs:
    """Samples of wrong shape, type or range, damaged, or with a strange label."""
    inputs = good(source.case)
    stream = io.BytesIO()
    shapes = [(3, 6, 6), (3, 6), (1, 3, 6, 6), (4, 6, 6), (3, 1, 1), (3, 300, 300), (3, 0, 6), ()]
    kinds = [np.int64, np.float32, np.uint8, np.bool_, np.complex64]
    array = (np.ones(dice.choice(shapes)) * dice.choice([1, 127, -128, 128, 1000])).astype(dice.choice(kinds))
    np.save(stream, array)
    inputs.sample = dice.choice([stream.getvalue(), damage(inputs.sample, dice), pickle.dumps({"a": 1}), b"", None])
    inputs.label = dice.choice([None, b"{", b"[]", b'{"label": "x"}', b'{"label": -1}', b'{"label": 1e9}', b"\xff"])
    return inputs


KINDS: dict[str, tuple[int, Callable[[Source, random.Random, Path], Inputs]]] = {
    "typo": (500, lambda source, dice, _: typo(source, dice)),
    "wrong value": (400, lambda source, dice, _: wrong_value(source, dice)),
    "encoding": (150, lambda source, dice, _: encoding(source, dice)),
    "broken checkpoint": (350, lambda source, dice, _: broken_checkpoint(source, dice)),
    "hostile checkpoint": (150, hostile_checkpoint),
    "other weights": (250, other_weights),
    "mixed cases": (100, lambda source, dice, _: mixed_cases(source, dice)),
    "bad sample": (150, lambda source, dice, _: bad_sample(source, dice)),
}


def write(inputs: Inputs, folder: Path) -> Iterator[str]:
    """Write the files that are not missing; yields the options that name them."""
    names = {"--config-file": ("net.yaml", inputs.yaml), "--checkpoint-file": ("c.pth.tar", inputs.checkpoint),
             "--sample-input": ("s.npy", inputs.sample), "": ("s.json", inputs.label)}  # fmt: skip
    for option, (name, content) in names.items():
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
        if option:
            yield from (option, str(folder / name))


@pytest.mark.parametrize("device", SOURCES)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_gives_a_message_and_leaves_nothing_behind(kind, device, tmp_path, capsys):
    program, source = load("cnn-gen"), SOURCES[device]
    count, make = int(KINDS[kind][0] * source.share), KINDS[kind][1]
    dice = random.Random(kind)
    accepted = 0
    for number in range(count):
        options = (*source.options, *write(make(source, dice, tmp_path), tmp_path))
        output = tmp_path / f"out{number}"
        status = program.main([*options, "--top-level", "cnn", "--prefix", "p", "--test-dir", str(output),
                               "--autogen", str(output)])  # fmt: skip
        errors = capsys.readouterr().err
        assert status in (0, 1)
        assert (status == 1) == errors.startswith("cnn-gen.py: error: "), errors
        assert "Traceback" not in errors
        assert output.exists() == (status == 0)
        accepted += status == 0
    assert not (tmp_path / "created").exists()  # no checkpoint has run a command
    assert accepted < 0.6 * count  # most changes matter; some are in comments, or give an equal network


@pytest.mark.parametrize("device", SOURCES)
@pytest.mark.parametrize("kind", ["broken checkpoint", "hostile checkpoint", "other weights"])
def test_bad_checkpoints_are_refused_by_the_quantizer_too(kind, device, tmp_path, capsys):
    program, source = load("ai84ize"), SOURCES[device]
    _, make = KINDS[kind]
    dice = random.Random(kind)
    for number in range(100):
        inputs = make(source, dice, tmp_path)
        list(write(inputs, tmp_path))
        output = tmp_path / f"{number}.pth.tar"
        options = source.options or ("--scale", "1")
        status = program.main([str(tmp_path / "c.pth.tar"), str(output), *options])
        errors = capsys.readouterr().err
        assert (status == 1) == errors.startswith("ai84ize.py: error: "), errors
        assert output.exists() == (status == 0)


def test_a_full_disk_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    """Writing fails in the middle of the output."""
    program = load("cnn-gen")
    real, written = Path.write_bytes, []

    def full(self: Path, data: bytes) -> int:
        written.append(self)
        if len(written) > 3:
            raise OSError(28, "No space left on device", str(self))
        return real(self, data)

    options = list(write(good(SOURCES["ai84"].case), tmp_path))
    monkeypatch.setattr(Path, "write_bytes", full)
    status = program.main([*options, "--embedded-code", "--top-level", "cnn", "--prefix", "p", "--test-dir",
                           str(tmp_path / "out")])  # fmt: skip
    assert status == 1
    assert "cannot write the output: [Errno 28] No space left on device" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupt_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    program = load("cnn-gen")
    options = list(write(good(SOURCES["ai84"].case), tmp_path))

    def interrupt(self: Path, data: bytes) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupt)
    status = program.main([*options, "--embedded-code", "--top-level", "cnn", "--prefix", "p", "--test-dir",
                           str(tmp_path / "out")])  # fmt: skip
    assert status == 130
    assert capsys.readouterr().err == "cnn-gen.py: interrupted, nothing was written\n"
    assert list((tmp_path / "out").iterdir()) == []
