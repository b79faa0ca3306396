"""The metadata of an ONNX file, read without the onnx package and without loading the weights."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from posetrt.runtime.errors import PosetrtError


def metadata_of_onnx(path: Path) -> dict[str, str]:
    """The metadata_props of an ONNX file, read without the onnx package and without loading the weights.

    Raises:
        PosetrtError: no such file, no ONNX file, or a truncated one.
    """
    try:
        with path.open("rb") as file:
            entries = [{key: text for key, text in _fields(io.BytesIO(entry)) if text is not None} for entry in _entries(file)]
            return {entry.get(1, b"").decode("utf-8"): entry.get(2, b"").decode("utf-8") for entry in entries}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PosetrtError(f"{path} cannot be read as an ONNX file: {reason}") from error


def _entries(file: BinaryIO) -> Iterator[bytes]:
    """Each metadata_props entry: field 14 of ModelProto, a message whose fields 1 and 2 are strings (onnx.proto3)."""
    return (entry for number, entry in _fields(file, only=14) if entry is not None and number == 14)


def _fields(stream: BinaryIO, only: int | None = None) -> Iterator[tuple[int, bytes | None]]:
    """Number and bytes of each length-delimited field of a protobuf message; None in place of bytes where `only` passes them over.

    Raises:
        ValueError: the message is cut short, or is no protobuf message.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)

    def varint() -> int:
        value = shift = 0
        while shift <= 63 and (byte := stream.read(1)):
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value
            shift += 7
        raise ValueError("truncated, or no ONNX file at all")

    while stream.tell() < size:
        tag = varint()
        kind, number = tag & 7, tag >> 3
        if kind == 0:
            varint()
            continue
        length = varint() if kind == 2 else {1: 8, 5: 4}.get(kind, -1)
        if length < 0 or number == 0 or stream.tell() + length > size:
            raise ValueError("truncated, or no ONNX file at all")
        if kind == 2 and only in (None, number):
            yield number, stream.read(length)
        else:
            stream.seek(length, io.SEEK_CUR)
            if kind == 2:
                yield number, None
