"""Weight files to named arrays: .caffemodel, .pth, .npz and .safetensors, without Caffe and without PyTorch."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.export.weights.caffe import read_caffemodel
from posetrt.export.weights.pytorch import read_state_dict, without_shared_prefix
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import parse_json


def load_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of a weight file by name.

    Args:
        path: `.caffemodel` (names are `layer.weight`, `layer.bias`), `.pth`, `.pt`, `.ckpt`, `.bin` or `.pth.tar` (a
            state_dict, also inside a checkpoint), `.npz` or `.safetensors`. A prefix that all names share is dropped.

    Raises:
        UsageError: a suffix that is none of these.
        PosetrtError: missing, truncated, another format than its suffix says, or a pickle that asks for more than tensors.
    """
    readers = {
        ".caffemodel": read_caffemodel,
        ".pth": read_state_dict,
        ".pt": read_state_dict,
        ".ckpt": read_state_dict,
        ".bin": read_state_dict,
        ".tar": read_state_dict,
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path.name}: weights come as {', '.join(readers)}; for a graph use `posetrt export onnx --weights FILE.onnx`")
    if not path.is_file():
        raise PosetrtError(f"there is no weight file {path}")
    if path.stat().st_size < 8:
        raise PosetrtError(f"{path} has {path.stat().st_size} bytes: an interrupted download? Fetch it again")
    if path.read_bytes()[:15].lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise PosetrtError(f"{path} is a web page, not weights: the server answered with an error page. Fetch it again")
    try:
        arrays = reader(path)
    except OSError as error:
        raise PosetrtError(f"cannot read {path}: {error.strerror or error}") from error
    if not arrays:
        raise PosetrtError(f"{path} holds no weights (a network's description without its training?)")
    return without_shared_prefix(arrays)


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError, MemoryError) as error:
        raise PosetrtError(f"{path} cannot be read as .npz (truncated, or holding objects in place of arrays?): {error}") from error


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """The format is eight bytes of length, a JSON header, then raw arrays (github.com/huggingface/safetensors)."""
    kinds: dict[str, Any] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "I8": "i1"}
    data = np.memmap(path, np.uint8, "r")
    try:
        (length,) = struct.unpack("<Q", data[:8].tobytes())
        if length > data.size - 8:
            raise ValueError(f"its header claims {length} bytes, the file has {data.size}")
        header = parse_json(data[8 : 8 + length].tobytes(), str(path), "safetensors header")
        body, arrays = data[8 + length :], {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            first, last = entry["data_offsets"]
            kind = np.dtype(kinds[entry["dtype"]])
            if not 0 <= first <= last <= body.size or last - first != kind.itemsize * int(np.prod(entry["shape"])):
                raise ValueError(f"{name} claims {entry['shape']} at bytes {first} to {last} of {body.size}")
            array = body[first:last].view(kind).reshape(entry["shape"])
            arrays[name] = (array.astype(np.uint32) << 16).view(np.float32) if entry["dtype"] == "BF16" else np.array(array)
        return arrays
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error) as error:
        raise PosetrtError(f"{path} cannot be read as .safetensors: {error}") from error
