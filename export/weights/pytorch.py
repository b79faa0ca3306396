"""PyTorch's checkpoints without PyTorch: a pickle that may build tensors and plain containers, and nothing else."""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError

_KINDS = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "BFloat16Storage": "<u2",
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


class _Storage(NamedTuple):
    kind: str
    key: str
    numbers: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """Tensors of a state_dict by name; of a checkpoint, those under "state_dict" or "model".

    Both forms are read: the zip archive (PyTorch 1.6 and later) and the older stream. The prefix `module.` of
    DataParallel is dropped.

    Raises:
        PosetrtError: truncated, no checkpoint, a tensor that lies outside its storage, or a pickle that asks for anything
            but tensors and containers: it is refused before any of its code runs.
    """
    try:
        found, storage = _read_zip(path) if zipfile.is_zipfile(path) else _read_stream(path)
        tensors = _named_tensors(found, path)
        return {name: _array(tensor, storage(tensor.storage), f"{path}: {name}") for name, tensor in tensors.items()}
    except PosetrtError:
        raise
    except (
        pickle.UnpicklingError,
        EOFError,
        KeyError,
        ValueError,
        TypeError,
        IndexError,
        AttributeError,
        OverflowError,
        zipfile.BadZipFile,
    ) as error:
        raise PosetrtError(f"{path} cannot be read as a PyTorch checkpoint (truncated, or another format?): {error}") from error


class _Unpickler(pickle.Unpickler):
    """Knows the names that a state_dict needs; every other is refused."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor")):
            return lambda storage, offset, size, stride, *_: _Tensor(storage, offset, tuple(size), tuple(stride))
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in _KINDS:
            return name
        raise PosetrtError(
            f"{self._path} asks for {module}.{name}, which no state_dict needs: it was not run. A pickle can run any code; if you trust "
            "the file, save its state_dict alone with torch.save(network.state_dict(), FILE), or as .safetensors"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, name, key, _, count, *_ = pid
        if kind != "storage" or name not in _KINDS:
            raise pickle.UnpicklingError(f"unknown storage {name!r}")
        return _Storage(name, str(key), int(count))


def _read_zip(path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    with zipfile.ZipFile(path) as archive:
        entries = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(entries) != 1:
            raise PosetrtError(f"{path} is a zip archive without data.pkl, so no PyTorch checkpoint (a TorchScript or .npz file?)")
        found = _Unpickler(io.BytesIO(archive.read(entries[0])), path).load()
    root = entries[0][: -len("data.pkl")]

    def storage(wanted: _Storage) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"{root}data/{wanted.key}")

    return found, storage


def _read_stream(path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    """The form before PyTorch 1.6: magic number, protocol, machine, the object, keys of the storages, then each one's bytes."""
    data: dict[str, bytes] = {}
    kinds: dict[str, _Storage] = {}
    with path.open("rb") as file:
        if _Unpickler(file, path).load() != _LEGACY_MAGIC or _Unpickler(file, path).load() != _LEGACY_PROTOCOL:
            raise PosetrtError(f"{path} is no PyTorch checkpoint")
        _Unpickler(file, path).load()

        class Remembering(_Unpickler):
            def persistent_load(self, pid: Any) -> _Storage:
                storage = super().persistent_load(pid)
                kinds[storage.key] = storage
                return storage

        found = Remembering(file, path).load()
        for key in _Unpickler(file, path).load():
            (count,) = np.frombuffer(file.read(8), "<i8")
            size = int(count) * np.dtype(_KINDS[kinds[str(key)].kind]).itemsize
            if size < 0 or size > path.stat().st_size:
                raise PosetrtError(f"{path}: storage {key} claims {count} numbers, more than the file holds; it is damaged")
            data[str(key)] = file.read(size)
    return found, lambda wanted: data[wanted.key]


def _named_tensors(found: Any, path: Path) -> dict[str, _Tensor]:
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
            break
    tensors = {str(name): value for name, value in found.items() if isinstance(value, _Tensor)} if isinstance(found, dict) else {}
    if not tensors:
        raise PosetrtError(f"{path} holds no state_dict: a mapping of names to tensors was expected, found {type(found).__name__}")
    prefix = "module." if all(name.startswith("module.") for name in tensors) else ""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items()}


def _array(tensor: _Tensor, raw: bytes, where: str) -> NDArray[Any]:
    kind = np.dtype(_KINDS[tensor.storage.kind])
    flat = np.frombuffer(raw[: len(raw) - len(raw) % kind.itemsize], kind)
    reach = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.size, tensor.stride, strict=True))
    empty = 0 in tensor.size
    if tensor.offset < 0 or min(tensor.stride, default=0) < 0 or min(tensor.size, default=0) < 0 or (not empty and reach >= flat.size):
        raise PosetrtError(f"{where} reaches number {reach} of a storage of {flat.size}: the file is truncated or damaged. Fetch it again")
    strides = [stride * kind.itemsize for stride in tensor.stride]
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.size, strides, writeable=False)
    if tensor.storage.kind == "BFloat16Storage":
        return (view.astype(np.uint32) << 16).view(np.float32)
    return np.array(view)
