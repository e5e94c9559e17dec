"""Reading and writing PyTorch checkpoints without PyTorch; the truth is what PyTorch reads and writes."""

import pickle
import random
import zipfile
from collections import OrderedDict
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from izer import torchfile
from izer.errors import IzerError

CONTENT = {
    "epoch": 3,
    "arch": "net",
    "state_dict": OrderedDict(
        a=torch.arange(24, dtype=torch.float32).reshape(2, 3, 4),
        b=torch.arange(6, dtype=torch.int64).reshape(2, 3).t(),
        c=torch.tensor(2.5, dtype=torch.float64),
        d=torch.tensor([True, False]),
        e=torch.arange(10, dtype=torch.int16)[3:7],
        f=torch.zeros(0, 3),
        g=torch.nn.Parameter(torch.ones(2)),
    ),
    "extras": {"top1": 91.5, "none": None, "list": [1, (2, "x")]},
}


def save(path: Path, content: object, zipped: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_both_layouts_read_as_torch_wrote_them(tmp_path, zipped):
    read = torchfile.read(save(tmp_path / "c.pth.tar", CONTENT, zipped))
    assert list(read) == list(CONTENT)
    assert read["extras"] == CONTENT["extras"]
    assert list(read["state_dict"]) == list(CONTENT["state_dict"])
    for name, tensor in CONTENT["state_dict"].items():
        expected = tensor.detach().numpy()
        assert read["state_dict"][name].dtype == expected.dtype
        np.testing.assert_array_equal(read["state_dict"][name], expected, strict=True)


def test_torch_reads_what_is_written_and_bytes_repeat(tmp_path):
    content = torchfile.read(save(tmp_path / "c.pth.tar", CONTENT, True))
    torchfile.write(tmp_path / "one.pth.tar", content)
    torchfile.write(tmp_path / "two.pth.tar", content)
    assert (tmp_path / "one.pth.tar").read_bytes() == (tmp_path / "two.pth.tar").read_bytes()
    loaded = torch.load(tmp_path / "one.pth.tar", weights_only=True)
    assert loaded["extras"] == CONTENT["extras"]
    for name, tensor in CONTENT["state_dict"].items():
        assert loaded["state_dict"][name].dtype == tensor.dtype
        assert torch.equal(loaded["state_dict"][name], tensor.detach())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.pth.tar", "one.pth.tar", "two.pth.tar"]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_optimizer_class_of_the_first_generation_becomes_its_name(tmp_path, zipped):
    content = {"state_dict": {}, "optimizer_type": torch.optim.SGD}
    assert torchfile.read(save(tmp_path / "c.pth.tar", content, zipped))["optimizer_type"] == "SGD"


class Runs:
    """Pickles as a call of a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("function", [eval, exec, open, print, getattr, __import__, Path.touch, torch.load])
def test_every_other_name_is_refused_and_nothing_runs(tmp_path, zipped, function):
    hostile = save(tmp_path / "c.pth.tar", {"state_dict": Runs(function, str(tmp_path / "created"), "w")}, zipped)
    with pytest.raises(IzerError, match=r"c\.pth\.tar: not a usable checkpoint: it names .* refused"):
        torchfile.read(hostile)
    assert not (tmp_path / "created").exists()


def test_optimizer_name_cannot_be_called(tmp_path):
    hostile = tmp_path / "c.pth.tar"
    with zipfile.ZipFile(hostile, "w") as archive:
        archive.writestr("archive/data.pkl", b"ctorch.optim.sgd\nSGD\n(tR.")
    with pytest.raises(IzerError, match="not a usable checkpoint"):
        torchfile.read(hostile)


def tensor_pickle(size: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """The pickle of one float tensor, written by hand."""
    numbers = "".join(f"({''.join(f'I{n}{chr(10)}' for n in values)}t" for values in (shape, stride))
    return (f"ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI{size}\ntQ"
            f"I{offset}\n{numbers}I00\nccollections\nOrderedDict\n(tRtR.").encode()  # fmt: skip


@pytest.mark.parametrize(
    ("size", "offset", "shape", "stride"),
    [(4, 0, (5,), (1,)), (4, 1, (4,), (1,)), (4, 0, (2, 2), (4, 1)), (4, -1, (2,), (1,)), (4, 0, (1000000,), (0,)),
     (4, 0, (2,), (-1,)), (1 << 40, 0, (2,), (1,)), (5, 0, (2,), (1,))],
)  # fmt: skip
def test_tensors_that_leave_their_storage_are_refused(tmp_path, size, offset, shape, stride):
    hostile = tmp_path / "c.pth.tar"
    with zipfile.ZipFile(hostile, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(size, offset, shape, stride))
        archive.writestr("archive/data/0", bytes(16))
    with pytest.raises(IzerError, match="not a usable checkpoint"):
        torchfile.read(hostile)


def test_hand_written_tensor_pickle_is_read_when_it_is_right(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.pth.tar", "w") as archive:
        archive.writestr("archive/data.pkl", b"(Vx\n" + tensor_pickle(4, 1, (3,), (1,))[:-1] + b"d.")
        archive.writestr("archive/data/0", np.arange(4, dtype=np.float32).tobytes())
    np.testing.assert_array_equal(torchfile.read(tmp_path / "c.pth.tar")["x"], [1, 2, 3])


def test_compressed_records_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.pth.tar", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": "0" * 100000}))
    with pytest.raises(IzerError, match="compressed"):
        torchfile.read(tmp_path / "c.pth.tar")


def test_containers_shared_many_times_are_read_once(tmp_path):
    """Thirty doublings would be a billion copies."""
    content: object = ["x"]
    for _ in range(30):
        content = [content, content]
    assert "deep" in torchfile.read(save(tmp_path / "c.pth.tar", {"deep": content}, True))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_every_truncation_gives_one_message(tmp_path, zipped):
    whole = save(tmp_path / "c.pth.tar", CONTENT, zipped).read_bytes()
    cut = tmp_path / "cut.pth.tar"
    for length in random.Random(1).sample(range(len(whole)), 60):
        cut.write_bytes(whole[:length])
        with pytest.raises(IzerError, match=r"cut\.pth\.tar: "):
            torchfile.read(cut)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), zipped=st.booleans())
def test_damaged_files_are_read_or_refused_but_never_crash(tmp_path, data, zipped):
    whole = bytearray(save(tmp_path / "c.pth.tar", CONTENT, zipped).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "damaged.pth.tar").write_bytes(whole)
    try:
        torchfile.read(tmp_path / "damaged.pth.tar")
    except IzerError as error:
        assert str(error).startswith(str(tmp_path / "damaged.pth.tar"))


def test_a_truncated_zip_file_is_called_truncated(tmp_path):
    whole = save(tmp_path / "c.pth.tar", CONTENT, True).read_bytes()
    (tmp_path / "cut.pth.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IzerError, match="a zip file whose end is missing: it is truncated"):
        torchfile.read(tmp_path / "cut.pth.tar")


def test_missing_file_and_unwritable_folder_are_one_message(tmp_path):
    with pytest.raises(IzerError, match="cannot read the checkpoint: No such file"):
        torchfile.read(tmp_path / "missing")
    with pytest.raises(IzerError, match="cannot write the checkpoint: No such file"):
        torchfile.write(tmp_path / "no folder" / "c.pth.tar", {})
