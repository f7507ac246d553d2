"""Weights that PyTorch before 1.6 saved (``torch.save(module.state_dict())``), read without PyTorch.

Such a file is five pickles and then the bytes of the storages (``torch/serialization.py``, ``_legacy_save``). A pickle
can run anything, so this one is first read as a list of opcodes, of which only those that a state dict needs are
allowed, and then loaded with no other names than the three that build its tensors.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.errors import BundleError

MAX_BYTES = 1 << 30  # of a file; the largest encoders have a quarter of that

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_OPCODES = (
    {"PROTO", "STOP", "GLOBAL", "REDUCE", "BUILD", "BINPERSID"}
    | {"BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "MARK"}
    | {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"}
    | {"EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS"}
    | {"EMPTY_DICT", "SETITEM", "SETITEMS"}
)
_MOST_MEMOS = 1_000_000  # the unpickler makes room for the highest number that it meets


def read_torch_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a state dict by name, float32 or int64, C-contiguous.

    Raises
    ------
    BundleError
        Where the file cannot be read, is damaged, or holds anything but tensors; the message says what.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path} has more than {MAX_BYTES:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}") from error
    if data.startswith(b"PK"):
        raise BundleError(
            f"{path} is a file of PyTorch 1.6 or later; save it with torch.save(..., _use_new_zipfile_serialization="
            "False)"
        )
    try:
        return _read(io.BytesIO(data))
    except Exception as error:  # damaged pickles raise all sorts
        raise BundleError(f"{path} is no state dict of PyTorch, or a damaged one: {error!r}") from error


def _read(file: BinaryIO) -> dict[str, NDArray[Any]]:
    if (_load(file), _load(file)) != (_MAGIC, _PROTOCOL):
        raise ValueError("it does not begin with PyTorch's magic number and protocol 1001")
    if _load(file).get("little_endian") is not True:
        raise ValueError("it is not little-endian")
    tensors, keys = _load(file), _load(file)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
        raise ValueError("it holds more than tensors")
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if not isinstance(keys, list) or sorted(keys) != sorted(storages):
        raise ValueError("its storages are not those of its tensors")
    arrays = {key: _read_storage(file, storages[key]) for key in keys}
    if file.read(1):
        raise ValueError("something follows the last storage")
    return {str(name): _stride(arrays[tensor.storage.key], tensor) for name, tensor in tensors.items()}


def _load(file: BinaryIO) -> Any:
    start = file.tell()
    for opcode, argument, _ in pickletools.genops(file):  # executes nothing
        if opcode.name not in _OPCODES:
            raise pickle.UnpicklingError(f"the opcode {opcode.name} has no place in a state dict")
        if "PUT" in opcode.name and (argument or 0) > _MOST_MEMOS:
            raise pickle.UnpicklingError(f"it memoizes more than {_MOST_MEMOS:,} objects")
    file.seek(start)
    return _Unpickler(file).load()


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    size: int


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies in its storage, in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"it wants {module}.{name}, which is no part of a tensor")

    def persistent_load(self, saved: Any) -> _Storage:
        kind, dtype, key, _, size, view = saved
        if kind != "storage" or view is not None or type(key) is not str or not _is_count(size):
            raise pickle.UnpicklingError(f"{saved!r} is no storage")
        return _Storage(key, _DTYPES[dtype], size)


def _rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    """Stand in for ``torch._utils._rebuild_tensor_v2``, whose further arguments are of training."""
    pair = (shape, strides)
    numbers = [offset, *(number for part in pair if isinstance(part, tuple) for number in part)]
    valid = isinstance(storage, _Storage) and all(isinstance(part, tuple) for part in pair)
    if not valid or len(shape) != len(strides) or not all(map(_is_count, numbers)):
        raise pickle.UnpicklingError(f"a tensor of shape {shape!r} and strides {strides!r} at {offset!r} cannot be")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    # The strides of a dense tensor reach every element once: as many as there are, and none past the end.
    if 0 in shape or last >= storage.size or math.prod(shape) > storage.size:
        raise pickle.UnpicklingError(f"a tensor of shape {shape!r} does not fit its storage of {storage.size:,}")
    return _Tensor(storage, offset, shape, strides)


def _read_storage(file: BinaryIO, storage: _Storage) -> NDArray[Any]:
    size = int.from_bytes(file.read(8), "little")
    data = file.read(storage.size * storage.dtype.itemsize)
    if size != storage.size or len(data) != size * storage.dtype.itemsize:
        raise ValueError(f"storage {storage.key!r} is cut short, or has another size than its tensors say")
    return np.frombuffer(data, storage.dtype)


def _stride(array: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    strides = [stride * array.itemsize for stride in tensor.strides]
    return np.array(np.lib.stride_tricks.as_strided(array[tensor.offset :], tensor.shape, strides), order="C")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
