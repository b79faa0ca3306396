"""Caffe's weight files, read with the few protobuf messages that they need (BVLC/caffe, src/caffe/proto/caffe.proto)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError

_ROLES = ("weight", "bias")


def read_caffemodel(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a .caffemodel: `layer.weight` is a layer's first blob, `layer.bias` its second, then `layer.2` and so on.

    Both forms are read, `layer` (since 2014) and the older `layers`; numbers packed or not, float or double; shapes as `shape`
    or as num, channels, height, width, whose leading ones are dropped from biases and slopes.

    Raises:
        PosetrtError: truncated, no .caffemodel, or a blob whose numbers do not fill its shape.
    """
    from google.protobuf.message import DecodeError

    packed, plain = _messages()
    data = path.read_bytes()
    try:
        net = packed.FromString(data)
    except DecodeError as error:
        raise PosetrtError(
            f"{path} is not a whole .caffemodel ({error}): an interrupted download, or another format. Fetch it again"
        ) from error
    arrays: dict[str, NDArray[Any]] = {}
    for layer in [*net.layer, *net.layers]:
        for index, blob in enumerate(layer.blobs):
            role = _ROLES[index] if index < len(_ROLES) else str(index)
            arrays[f"{layer.name}.{role}"] = _array(blob, plain, f"{path}: layer {layer.name}, blob {index}")
    return arrays


def _array(blob: Any, plain: Any, where: str) -> NDArray[Any]:
    """One blob; `plain` reads numbers that were written one by one."""
    values: NDArray[Any]
    if blob.data:
        values = _joined(blob.data, np.dtype("<f4"), where)
    elif blob.double_data:
        values = _joined(blob.double_data, np.dtype("<f8"), where)
    else:
        single = plain.FromString(blob.SerializeToString())
        values = np.array(single.data, np.float32) if single.data else np.array(single.double_data, np.float64)
    legacy = (blob.num, blob.channels, blob.height, blob.width)
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else legacy
    if not blob.HasField("shape") and legacy[:3] == (1, 1, 1):
        shape = legacy[3:]
    count = 1
    for dim in shape:
        count *= dim
    if count != values.size or min(shape, default=1) < 1:
        raise PosetrtError(f"{where} claims the shape {'×'.join(map(str, shape))}, but holds {values.size} numbers; the file is damaged")
    return values.reshape(shape)


def _joined(chunks: Any, kind: np.dtype[Any], where: str) -> NDArray[Any]:
    raw = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if len(raw) % kind.itemsize:
        raise PosetrtError(f"{where} ends in the middle of a number; the file is damaged")
    return np.frombuffer(raw, kind)


@functools.cache
def _messages() -> tuple[Any, Any]:
    """NetParameter whose packed numbers stay bytes, so that they cost nothing to read; and BlobProto for numbers one by one."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="posetrt/caffe.proto", package="posetrt.caffe", syntax="proto2")

    def message(name: str, *fields: tuple[str, int, Any, bool, str]) -> None:
        entry = file.message_type.add(name=name)
        for label, number, kind, repeated, type_name in fields:
            entry.field.add(
                name=label,
                number=number,
                type=kind,
                label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL,
                type_name=f".posetrt.caffe.{type_name}" if type_name else None,
            )

    sizes = [(name, number, field.TYPE_INT32, False, "") for number, name in enumerate(("num", "channels", "height", "width"), start=1)]
    shape = ("shape", 7, field.TYPE_MESSAGE, False, "BlobShape")
    message("BlobShape", ("dim", 1, field.TYPE_INT64, True, ""))
    message("PackedBlob", *sizes, ("data", 5, field.TYPE_BYTES, True, ""), shape, ("double_data", 8, field.TYPE_BYTES, True, ""))
    message("Blob", *sizes, ("data", 5, field.TYPE_FLOAT, True, ""), shape, ("double_data", 8, field.TYPE_DOUBLE, True, ""))
    message("Layer", ("name", 1, field.TYPE_STRING, False, ""), ("blobs", 7, field.TYPE_MESSAGE, True, "PackedBlob"))
    message("OldLayer", ("name", 4, field.TYPE_STRING, False, ""), ("blobs", 6, field.TYPE_MESSAGE, True, "PackedBlob"))
    message("Net", ("layer", 100, field.TYPE_MESSAGE, True, "Layer"), ("layers", 2, field.TYPE_MESSAGE, True, "OldLayer"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    net, blob = (message_factory.GetMessageClass(pool.FindMessageTypeByName(f"posetrt.caffe.{name}")) for name in ("Net", "Blob"))
    return net, blob
