"""Checkpoints: contents, names of the first generation, atomic writing, and messages for files that do not fit."""

import pickletools
import zipfile

import pytest
import torch

import ai84net
import checkpoint
import files
from errors import UserError


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ai84net.ai84netextrasmall(num_channels=1)


@pytest.fixture
def optimizer(model):
    """Adam after one step, so that it has a state."""
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.rand(2, 1, 28, 28)).sum().backward()
    adam.step()
    return adam


def save(path, model, optimizer=None, **extras):
    checkpoint.save(path, model, "ai84netextrasmall", 4, optimizer, {"masks_dict": {}}, extras)


def classes_in(path):
    """The globals that the pickle inside a checkpoint names, as (module, name)."""
    with zipfile.ZipFile(path) as archive:
        pickle = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    strings, found = [], set()
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name in ("BINUNICODE", "SHORT_BINUNICODE"):
            strings.append(argument)
        if opcode.name == "GLOBAL":
            found.add(tuple(argument.split(" ")))
        if opcode.name == "STACK_GLOBAL":
            found.add(tuple(strings[-2:]))
    return found


def test_contents_are_tensors_and_plain_containers(tmp_path, model, optimizer):
    path = tmp_path / "checkpoint.pth.tar"
    save(path, model, optimizer, current_top1=50.0, best_top1=51.0, best_epoch=3)
    contents = torch.load(path, weights_only=True)
    assert list(contents) == [
        "epoch",
        "arch",
        "state_dict",
        "optimizer_state_dict",
        "optimizer_type",
        "compression_sched",
        "extras",
    ]
    assert (contents["epoch"], contents["arch"], contents["optimizer_type"]) == (4, "ai84netextrasmall", "Adam")
    assert contents["extras"] == {"current_top1": 50.0, "best_top1": 51.0, "best_epoch": 3}
    assert classes_in(path) == {
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch", "FloatStorage"),
        ("collections", "OrderedDict"),
    }


def test_tensors_are_stored_contiguous(tmp_path, model):
    path = tmp_path / "checkpoint.pth.tar"
    save(path, model.to(memory_format=torch.channels_last))
    stored = torch.load(path, weights_only=True)["state_dict"]
    assert not all(tensor.is_contiguous() for tensor in model.state_dict().values())
    assert all(tensor.is_contiguous() for tensor in stored.values())
    assert all(torch.equal(stored[name], tensor) for name, tensor in model.state_dict().items())


def test_saved_weights_and_optimizer_come_back(tmp_path, model, optimizer):
    path = tmp_path / "checkpoint.pth.tar"
    save(path, model, optimizer, best_epoch=3)
    found = checkpoint.load(path)
    other = ai84net.ai84netextrasmall(num_channels=1)
    checkpoint.load_weights(other, found, "ai84netextrasmall")
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert (found.epoch, found.optimizer_type, found.extras) == (4, "Adam", {"best_epoch": 3})
    for index, state in optimizer.state_dict()["state"].items():
        assert all(torch.equal(tensor, found.optimizer_state["state"][index][name]) for name, tensor in state.items())


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_first_generation_file_loads(tmp_path, model, kind, prefix):
    """Legacy stream, a class as optimizer_type, old names of the classification layer."""
    path = tmp_path / "old.pth.tar"
    state = {prefix + name.replace("fc.linear.", "fc."): tensor for name, tensor in model.state_dict().items()}
    torch.save(
        {"epoch": 199, "arch": "AI84NetExtraSmall", "state_dict": state, "optimizer_type": kind},
        path,
        _use_new_zipfile_serialization=False,
    )
    found = checkpoint.load(path)
    assert (found.epoch, found.arch, found.optimizer_type) == (199, "ai84netextrasmall", kind.__name__)
    other = ai84net.ai84netextrasmall(num_channels=1)
    checkpoint.load_weights(other, found, "ai84netextrasmall")
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in model.state_dict().items())


class Malicious:
    """Would create a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path):
    path, victim = tmp_path / "evil.pth.tar", tmp_path / "victim"
    torch.save({"state_dict": {}, "extras": Malicious(victim)}, path)
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        checkpoint.load(path)
    assert not victim.exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4 broken"])
def test_damaged_file_is_refused_with_advice(tmp_path, content):
    path = tmp_path / "damaged.pth.tar"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged\.pth\.tar: cannot be read as a checkpoint; .* copy it again or name"):
        checkpoint.load(path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.pth\.tar: there is no such checkpoint"):
        checkpoint.load(tmp_path / "none.pth.tar")


def test_file_without_weights_is_refused(tmp_path):
    path = tmp_path / "other.pth.tar"
    torch.save({"weights": {}}, path)
    with pytest.raises(UserError, match="is no checkpoint, it must hold a dictionary with the key 'state_dict'"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"extras": [1]}, "extras must be of type dict, it is of type list"),
        ({"extras": {"run": 3}}, "extras.run must be of type dict, it is of type int"),
        ({"extras": {"run": {"seed": "x"}}}, "extras.run.seed must be of type int, it is of type str"),
        (
            {"epoch": "one", "compression_sched": 2},
            "epoch must be of type int, it is of type str, compression_sched must be of type dict, it is of type int",
        ),
    ],
)
def test_parts_of_another_type_are_all_listed(tmp_path, parts, message):
    path = tmp_path / "other.pth.tar"
    torch.save({"state_dict": {}, **parts}, path)
    with pytest.raises(UserError, match=f"other.pth.tar: is no checkpoint of train.py; {message}$"):
        checkpoint.load(path)


def test_weights_of_another_network_are_refused(tmp_path, model):
    path = tmp_path / "checkpoint.pth.tar"
    save(path, model)
    with pytest.raises(UserError, match="is a checkpoint of ai84netextrasmall; given --model ai84net5"):
        checkpoint.load_weights(ai84net.ai84net5(num_channels=1), checkpoint.load(path), "ai84net5")


def test_weights_of_another_shape_are_listed(tmp_path, model):
    path = tmp_path / "checkpoint.pth.tar"
    save(path, model)
    other = ai84net.ai84netextrasmall(num_channels=3, bias=True)
    with pytest.raises(UserError) as caught:
        checkpoint.load_weights(other, checkpoint.load(path), "ai84netextrasmall")
    assert str(caught.value).splitlines()[1:] == [
        "  conv1.conv2d.bias: the file has nothing, the network (8,)",
        "  conv1.conv2d.weight: the file has (8, 1, 3, 3), the network (8, 3, 3, 3)",
        "  conv2.conv2d.bias: the file has nothing, the network (8,)",
        "  conv3.conv2d.bias: the file has nothing, the network (8,)",
    ]


def test_float_and_quantized_weights_are_told_apart(tmp_path, model):
    path = tmp_path / "checkpoint.pth.tar"
    save(path, model)
    floats = checkpoint.load(path)
    checkpoint.require_quantized(floats, simulate=False)
    with pytest.raises(UserError, match="-8 needs the integer weights"):
        checkpoint.require_quantized(floats, simulate=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter * 128).round())
    save(path, model)
    integers = checkpoint.load(path)
    checkpoint.require_quantized(integers, simulate=True)
    with pytest.raises(UserError, match="holds quantized weights; evaluate them with -8"):
        checkpoint.require_quantized(integers, simulate=False)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as scratch:
        scratch.write_text("half of the n")
        assert path.read_text() == "old"
        raise RuntimeError("killed")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_complete_write_replaces_the_old_file(tmp_path):
    """Whoever has the old file open goes on reading the old one: it is replaced, not overwritten."""
    path = tmp_path / "file"
    path.write_text("old")
    with path.open() as reader:
        with files.replacing(path) as scratch:
            scratch.write_text("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
