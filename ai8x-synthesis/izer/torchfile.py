"""PyTorch's checkpoint files without PyTorch: read both layouts as numpy arrays, write the zip layout.

Only tensors and plain containers are accepted. A pickle stream can name any importable function; here every name that
is not listed below is refused before anything is called.
"""

import io
import math
import os
import pickle
import struct
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from .errors import IzerError

MAX_BYTES = 1 << 30
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

STORAGE_TYPES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "|b1",
}  # fmt: skip
# Class objects that first-generation checkpoints carry (`optimizer_type`): they become their name and cannot be called.
NAMES_ONLY = {("torch.optim.sgd", "SGD"), ("torch.optim.adam", "Adam"), ("torch.optim.adamw", "AdamW")}


@dataclass(frozen=True)
class Storage:
    """A storage by reference: its key in the file, element type and number of elements."""

    key: str
    dtype: str
    size: int


@dataclass(frozen=True)
class TensorReference:
    """A tensor before its data are attached; sizes in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint: containers, numbers and texts as they are, tensors as numpy arrays.

    Raises IzerError if the file is missing, truncated, no checkpoint, or names anything but tensors and containers.
    """
    try:
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size > MAX_BYTES:
                raise IzerError(f"{path}: a checkpoint has at most {MAX_BYTES} bytes.")
            content = _read_zip(stream) if zipfile.is_zipfile(stream) else _read_legacy(stream)
    except OSError as error:
        raise IzerError(f"{path}: cannot read the checkpoint: {error.strerror or error}.") from None
    except IzerError:
        raise
    except pickle.UnpicklingError as error:
        raise IzerError(f"{path}: not a usable checkpoint: {error}.") from None
    except (zipfile.BadZipFile, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, MemoryError,
            RecursionError, OverflowError, NotImplementedError, struct.error) as error:  # fmt: skip
        raise IzerError(f"{path}: not a usable checkpoint, or truncated ({type(error).__name__}: {error}).") from None
    if not isinstance(content, dict):
        raise IzerError(f"{path}: a checkpoint is a dictionary; this holds {type(content).__name__}.")
    return content


def _rebuild_tensor(storage: Storage, offset: int, shape: Any, stride: Any, *_: Any) -> TensorReference:
    """Stands for torch._utils._rebuild_tensor_v2; refuses a view that leaves its storage."""
    shape, stride = tuple(map(int, shape)), tuple(map(int, stride))
    if not isinstance(storage, Storage) or len(shape) != len(stride) or min((offset, *shape, *stride)) < 0:
        raise pickle.UnpicklingError("a tensor with impossible shape or stride")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if 0 not in shape and max(last + 1, math.prod(shape)) > storage.size:
        raise pickle.UnpicklingError(f"a tensor of shape {shape} that leaves its storage of {storage.size} elements")
    return TensorReference(storage, offset, shape, stride)


def _rebuild_parameter(data: TensorReference, *_: Any) -> TensorReference:
    """Stands for torch._utils._rebuild_parameter: a parameter is its tensor."""
    if not isinstance(data, TensorReference):
        raise pickle.UnpicklingError("a parameter that is no tensor")
    return data


class _RestrictedUnpickler(pickle.Unpickler):
    """Resolves the few names that a checkpoint of tensors needs and refuses every other."""

    def __init__(self, stream: BinaryIO, storages: dict[str, Storage]) -> None:
        super().__init__(stream, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        if (module, name) == ("torch", "Size"):
            return tuple
        if module in ("torch", "torch.cuda") and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        if (module, name) in NAMES_ONLY:
            return name
        raise pickle.UnpicklingError(f"it names {module}.{name}, neither a tensor nor a plain container; refused")

    def persistent_load(self, reference: Any) -> Storage:
        """('storage', type, key, location, elements[, view]); the location (CPU, CUDA) does not matter here."""
        kind, dtype, key, _, size = reference[:5]
        if kind != "storage" or dtype not in STORAGE_TYPES.values() or not isinstance(size, int) or size < 0:
            raise pickle.UnpicklingError("an unknown kind of storage")
        if len(reference) > 5 and reference[5] is not None:
            raise pickle.UnpicklingError("storage views, which only very old files have")
        storage = Storage(str(key), dtype, size)
        return self._storages.setdefault(storage.key, storage)


def _tensor(reference: TensorReference, data: dict[str, NDArray[Any]]) -> NDArray[Any]:
    flat = data[reference.storage.key]
    if 0 in reference.shape:
        return np.zeros(reference.shape, flat.dtype)
    strides = [step * flat.itemsize for step in reference.stride]
    return np.array(np.lib.stride_tricks.as_strided(flat[reference.offset:], reference.shape, strides))


def _map_containers(value: Any, leaf: Callable[[Any], Any], done: dict[int, Any]) -> Any:
    """`leaf` applied to everything in nested containers; each object once, however often it is shared."""
    if id(value) not in done:
        result: Any
        if isinstance(value, dict):
            result = type(value)((key, _map_containers(item, leaf, done)) for key, item in value.items())
        elif isinstance(value, (list, tuple)):
            result = type(value)(_map_containers(item, leaf, done) for item in value)
        else:
            result = leaf(value)
        done[id(value)] = result
    return done[id(value)]


def _attach(content: Any, data: dict[str, NDArray[Any]]) -> Any:
    """Replace tensor references by arrays."""
    return _map_containers(content, lambda v: _tensor(v, data) if isinstance(v, TensorReference) else v, {})


def _storage_array(raw: bytes, storage: Storage) -> NDArray[Any]:
    dtype = np.dtype(storage.dtype)
    if len(raw) != storage.size * dtype.itemsize:
        raise pickle.UnpicklingError(f"storage {storage.key} has {len(raw)} bytes instead of "
                                     f"{storage.size * dtype.itemsize}")
    return np.frombuffer(raw, dtype)


def _read_zip(stream: BinaryIO) -> Any:
    """The layout since 2020: an uncompressed zip with data.pkl and one record per storage."""
    with zipfile.ZipFile(stream) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise pickle.UnpicklingError("a zip file without data.pkl")
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise pickle.UnpicklingError("a compressed record; checkpoints are stored uncompressed")
        prefix = pickles[0].removesuffix("data.pkl")
        if prefix + "byteorder" in archive.namelist() and archive.read(prefix + "byteorder") != b"little":
            raise pickle.UnpicklingError("big-endian data")
        storages: dict[str, Storage] = {}
        content = _RestrictedUnpickler(io.BytesIO(archive.read(pickles[0])), storages).load()
        data = {key: _storage_array(archive.read(f"{prefix}data/{key}"), s) for key, s in storages.items()}
    return _attach(content, data)


def _read_legacy(stream: BinaryIO) -> Any:
    """The stream layout until 2020: magic, protocol, system information, content, storage keys, then raw storages."""
    stream.seek(0)
    if stream.read(2) == b"PK":
        raise pickle.UnpicklingError("a zip file whose end is missing: it is truncated; copy it again")
    stream.seek(0)
    storages: dict[str, Storage] = {}

    def load() -> Any:
        return _RestrictedUnpickler(stream, storages).load()

    if load() != LEGACY_MAGIC or load() != LEGACY_PROTOCOL:
        raise pickle.UnpicklingError("neither a zip file nor PyTorch's older stream layout")
    if not load().get("little_endian", True):
        raise pickle.UnpicklingError("big-endian data")
    content, keys = load(), load()
    data = {}
    for key in map(str, keys):
        storage = storages[key]
        (size,) = struct.unpack("<q", stream.read(8))
        if size != storage.size:
            raise pickle.UnpicklingError(f"storage {key} has {size} elements instead of {storage.size}")
        data[key] = _storage_array(stream.read(size * np.dtype(storage.dtype).itemsize), storage)
    return _attach(content, data)


@dataclass(frozen=True)
class _Global:
    """A name to be written into the pickle stream without importing it."""

    module: str
    name: str

    def __call__(self) -> None:
        """Never called: pickle only wants a function to be callable."""


class _Tensor:
    """Pickles as a call of torch._utils._rebuild_tensor_v2 on a storage of its own."""

    def __init__(self, key: str, array: NDArray[Any]) -> None:
        self.key, self.array = key, array

    def __reduce__(self) -> tuple[Any, ...]:
        stride = tuple(s // self.array.itemsize for s in self.array.strides)
        arguments: tuple[Any, ...] = (_StorageKey(self), 0, self.array.shape, stride, False, OrderedDict())
        return _Global("torch._utils", "_rebuild_tensor_v2"), arguments


@dataclass(frozen=True)
class _StorageKey:
    tensor: _Tensor


def _save_global(pickler: Any, value: _Global) -> None:
    pickler.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
    pickler.memoize(value)


class _Pickler(pickle._Pickler):  # the Python implementation: only it can write a name that is not importable here
    dispatch: ClassVar[Any] = {**pickle._Pickler.dispatch, _Global: _save_global}

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, _StorageKey):
            return None
        array = value.tensor.array
        storage = next(name for name, dtype in STORAGE_TYPES.items() if np.dtype(dtype) == array.dtype)
        return "storage", _Global("torch", storage), value.tensor.key, "cpu", array.size


def _detach(content: Any, tensors: list[_Tensor]) -> Any:
    """Replace arrays by tensors to be pickled, which are also collected in `tensors`."""

    def leaf(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        tensors.append(_Tensor(str(len(tensors)), np.asarray(value, order="C")))
        return tensors[-1]

    return _map_containers(content, leaf, {})


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint that torch.load(weights_only=True) reads: arrays become tensors.

    The same content gives the same bytes. The file appears when it is complete. Raises IzerError if it cannot be
    written.
    """
    tensors: list[_Tensor] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=2).dump(_detach(content, tensors))
    records = {"data.pkl": stream.getvalue(), "byteorder": b"little"}
    records |= {f"data/{tensor.key}": tensor.array.tobytes() for tensor in tensors}
    records["version"] = b"3\n"
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            try:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                    for name, data in records.items():
                        archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
                os.fchmod(file.fileno(), 0o644)
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise IzerError(f"{path}: cannot write the checkpoint: {error.strerror}.") from None
