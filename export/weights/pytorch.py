"""PyTorch's checkpoints without PyTorch: a pickle that builds tensors, plain containers and inert stand-ins, and runs nothing."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError

Value = TypeVar("Value")

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
# Where checkpoints keep the weights, the first that is there; then whatever single entry holds tensors.
_USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params", "ema")
_NOT_WEIGHTS = ("optim", "scheduler", "lr_sched", "scaler")  # what the names of a trainer's own state begin with
_WRAPPERS = {"module", "_orig_mod"}  # of DataParallel, of torch.compile
_DEEPEST = 32  # dictionaries inside dictionaries
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")


class _Storage(NamedTuple):
    kind: str
    key: str
    numbers: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _StandIn(dict[Any, Any]):
    """An object of a class that is not known here: it holds what the pickle puts into it, and does nothing.

    Attributes:
        called: the class or function that the pickle named.
    """

    called = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __call__(self, *_: Any, **__: Any) -> _StandIn:
        return type(self)()

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                dict.update(self, part)

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def append(self, _: Any) -> None:
        """Lists are not kept: no tensor is named by a place."""

    def extend(self, _: Any) -> None:
        """See `append`."""

    def add(self, _: Any) -> None:
        """See `append`."""


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """Tensors of a state_dict by name; of a checkpoint, those under "state_dict", "model", "net" or the like.

    Both forms are read: the zip archive (PyTorch 1.6 and later) and the older stream. Dictionaries inside dictionaries, and a whole
    module that was saved, give names with dots. A prefix that all names share is dropped: `module.` of DataParallel, `_orig_mod.` of
    torch.compile, `model.` of Lightning, or any other. Nothing in the file is ever run: an object of any other class becomes an
    inert stand-in.

    Raises:
        PosetrtError: truncated, no checkpoint, a tensor that lies outside its storage, or an object that is none where a tensor should be.
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
        RecursionError,
        MemoryError,
        UnicodeDecodeError,
        NotImplementedError,
        zlib.error,
        struct.error,
        zipfile.BadZipFile,
    ) as error:
        raise PosetrtError(f"{path} cannot be read as a PyTorch checkpoint (truncated, or another format?): {error}") from error


def _rebuilt(storage: Any, offset: Any = 0, size: Any = (), stride: Any = (), *_: Any) -> Any:
    """What torch._utils._rebuild_tensor_v2 would give, or a stand-in where its arguments are none."""
    whole = (offset, *size, *stride) if isinstance(size, tuple) and isinstance(stride, tuple) else (None,)
    if not isinstance(storage, _Storage) or len(size) != len(stride) or not all(type(one) is int for one in whole):
        return _stand_in("torch._utils._rebuild_tensor_v2")()
    return _Tensor(storage, offset, size, stride)


def _first(value: Any = None, *_: Any) -> Any:
    return value


def _rebuilt_from_type(function: Any = None, _: Any = None, arguments: Any = (), *__: Any) -> Any:
    return function(*arguments) if function in (_rebuilt, _first) and isinstance(arguments, tuple) else _stand_in("torch tensor")()


def _size(numbers: Any = (), *_: Any) -> Any:
    return tuple(numbers) if isinstance(numbers, list | tuple) else ()


_KNOWN = {
    "collections.OrderedDict": collections.OrderedDict,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _rebuilt,
    "torch._utils._rebuild_tensor_v2": _rebuilt,
    "torch._utils._rebuild_tensor_v3": _rebuilt,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _rebuilt_from_type,
}


def _stand_in(called: str) -> type[_StandIn]:
    """A class of stand-ins that remembers the name that the pickle asked for."""
    return type("_StandIn", (_StandIn,), {"called": called})


class _Unpickler(pickle.Unpickler):
    """Knows the names that a state_dict needs; every other becomes a stand-in."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, encoding="utf-8")

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            return name
        return _KNOWN.get(f"{module}.{name}") or _stand_in(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, name, key, _, count, *_ = pid
        if kind != "storage" or not isinstance(name, str):
            raise pickle.UnpicklingError(f"unknown storage {name!r}")
        return _Storage(name, str(key), int(count))


def _read_zip(path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    with zipfile.ZipFile(path) as archive:
        entries = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(entries) != 1:
            raise PosetrtError(f"{path} is a zip archive without data.pkl, so no PyTorch checkpoint (a TorchScript or .npz file?)")
        found = _Unpickler(io.BytesIO(archive.read(entries[0]))).load()
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
        first = _Unpickler(file).load()
        if isinstance(first, _StandIn):
            raise _refusal(path, first.called, "the whole file")
        if first != _LEGACY_MAGIC or _Unpickler(file).load() != _LEGACY_PROTOCOL:
            raise PosetrtError(f"{path} is no PyTorch checkpoint")
        _Unpickler(file).load()

        class Remembering(_Unpickler):
            def persistent_load(self, pid: Any) -> _Storage:
                storage = super().persistent_load(pid)
                kinds[storage.key] = storage
                return storage

        found = Remembering(file).load()
        if not _has_tensor(found) and (called := _foreign(found)) is not None:
            raise _refusal(path, called, "the whole file")
        for key in _Unpickler(file).load():
            (count,) = np.frombuffer(file.read(8), "<i8")
            kind = kinds[str(key)].kind
            if kind not in _KINDS:
                raise PosetrtError(f"{path} holds numbers of the kind {kind}, which is not read; save the network's weights in float32")
            size = int(count) * np.dtype(_KINDS[kind]).itemsize
            if size < 0 or size > path.stat().st_size:
                raise PosetrtError(f"{path}: storage {key} claims {count} numbers, more than the file holds; it is damaged")
            data[str(key)] = file.read(size)
    return found, lambda wanted: data[wanted.key]


def _named_tensors(found: Any, path: Path) -> dict[str, _Tensor]:
    """The tensors of a checkpoint by their names in the network."""
    chosen = _weights_of(found, path)
    leaves = dict(_leaves(chosen))
    tensors = {name: value for name, value in leaves.items() if isinstance(value, _Tensor)}
    foreign = [name for name, value in leaves.items() if isinstance(value, _StandIn) and not name.endswith("_extra_state")]
    if foreign:
        raise _refusal(path, leaves[foreign[0]].called, foreign[0])
    return without_shared_prefix(tensors)


def _refusal(path: Path, called: str, where: str) -> PosetrtError:
    return PosetrtError(
        f"{path} asks for {called} where tensors were expected ({where}): it was not run. A pickle can run any code; if you trust "
        "the file, save its state_dict alone with torch.save(network.state_dict(), FILE), or as .safetensors"
    )


def _foreign(found: Any, depth: int = 0) -> str | None:
    """What the pickle asked for that is no tensor and no container: the first of it."""
    if isinstance(found, _StandIn):
        return found.called
    inner = found.values() if isinstance(found, dict) and depth <= _DEEPEST else ()
    return next((called for value in inner if (called := _foreign(value, depth + 1)) is not None), None)


def _weights_of(found: Any, path: Path) -> Any:
    """The part of a checkpoint that holds the network's weights."""
    if isinstance(found, dict):
        for key in _USUAL_KEYS:
            if isinstance(found.get(key), dict) and _has_tensor(found[key]):
                # A trainer may put its state_dict into a dictionary of its own.
                return _weights_of(found[key], path) if any(inner in found[key] for inner in _USUAL_KEYS[:2]) else found[key]
        if any(isinstance(value, _Tensor) for value in found.values()) or any(part in found for part in _MODULE_PARTS):
            return found
        holding = [key for key, value in found.items() if _has_tensor(value) and not str(key).lower().startswith(_NOT_WEIGHTS)]
        if len(holding) == 1:
            return found[holding[0]]
        if holding and not any(str(key).lower().startswith(_NOT_WEIGHTS) for key in found):
            return found  # a dictionary for each part of the network
    if (called := _foreign(found)) is not None:
        raise _refusal(path, called, "the checkpoint")
    held = ", ".join(str(key) for key in list(found)[:12]) if isinstance(found, dict) and found else type(found).__name__.lstrip("_")
    raise PosetrtError(
        f"{path} holds no state_dict: a mapping of names to tensors was expected, under one of {', '.join(_USUAL_KEYS)} or alone; it holds {held}"
    )


def _leaves(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Name and value of all that is no dictionary; of a module, its parameters, buffers and modules."""
    if depth > _DEEPEST:
        return
    if not isinstance(value, dict) or (isinstance(value, _StandIn) and not _has_tensor(value)):
        yield name, value
        return
    if any(part in value for part in _MODULE_PARTS):
        parts = [value[part] for part in _MODULE_PARTS if isinstance(value.get(part), dict)]
        pairs = [pair for part in parts for pair in dict.items(part) if pair[1] is not None]
    else:
        pairs = list(dict.items(value))
    for key, inner in pairs:
        yield from _leaves(inner, f"{name}.{key}" if name else str(key), depth + 1)


def _has_tensor(value: Any, depth: int = 0) -> bool:
    if isinstance(value, _Tensor):
        return True
    return isinstance(value, dict) and depth <= _DEEPEST and any(_has_tensor(inner, depth + 1) for inner in dict.values(value))


def without_shared_prefix(named: Mapping[str, Value]) -> dict[str, Value]:
    """The same under names without the first parts that all of them share; each keeps a layer and a parameter, but for known wrappers."""
    names = list(named)
    while len(shared := {name.partition(".")[0] for name in names}) == 1:
        least = 1 if shared <= _WRAPPERS else 2
        if any(name.count(".") < least for name in names):
            break
        names = [name.partition(".")[2] for name in names]
    return dict(zip(names, named.values(), strict=True))


def _array(tensor: _Tensor, raw: bytes, where: str) -> NDArray[Any]:
    if tensor.storage.kind not in _KINDS:
        raise PosetrtError(f"{where} is of the kind {tensor.storage.kind}, which is not read; save the network's weights in float32")
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
