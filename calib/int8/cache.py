"""TensorRT's calibration cache: ranges as the text that TensorRT 8 and 10 read instead of calibrating."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from posetrt.calib.int8.ranges import Range
from posetrt.runtime.errors import PosetrtError, UsageError

ALGORITHMS = ("EntropyCalibration2", "MinMaxCalibration")


def cache_header(tensorrt_version: str, algorithm: str = "EntropyCalibration2") -> str:
    """The first line of a cache of a named TensorRT, such as "TRT-100300-EntropyCalibration2" for 10.3.0.

    A cache with another header is skipped by TensorRT without a word. Before TensorRT 10 the number has four digits
    (8.6.1: 8601), from 10 on two a part (10.3.0: 100300).

    Raises:
        UsageError: no version such as "8.6.1" or "10.3"; TensorRT 11 and later, which calibrate nothing; or another algorithm.
    """
    parts = tensorrt_version.split(".")
    if not 2 <= len(parts) <= 4 or not all(part.isdigit() for part in parts):
        raise UsageError(f"a TensorRT version is written as 8.6.1 or 10.3, not {tensorrt_version!r}")
    major, minor, patch = (*(int(part) for part in parts[:3]), 0)[:3]
    if major >= 11 or major < 7:
        raise UsageError(
            f"TensorRT {tensorrt_version} reads no calibration cache: 7 to 10 do. From 11 on INT8 is what the graph says: use variants/int8-trt.onnx"
        )
    if algorithm not in ALGORITHMS:
        raise UsageError(f"a calibration cache is of {' or '.join(ALGORITHMS)}, not {algorithm!r}")
    number = major * 1000 + minor * 100 + patch if major < 10 else major * 10000 + minor * 100 + patch
    return f"TRT-{number}-{algorithm}"


def cache_text(ranges: Mapping[str, Range], tensorrt_version: str, algorithm: str = "EntropyCalibration2") -> str:
    """The whole cache: a line a tensor, its scale (amax / 127) as the big-endian hex of a float32.

    Args:
        ranges: by tensor name, as in variants/int8-base.onnx.

    Raises:
        UsageError: as `cache_header`.
        PosetrtError: there are no ranges, or a name has a line break.
    """
    lines = [cache_header(tensorrt_version, algorithm)]
    if not ranges:
        raise PosetrtError(
            "there is no range to write into a cache: the INT8 graph of this folder came from another tool, with its own scales"
        )
    for name, one in ranges.items():
        if "\n" in name:
            raise PosetrtError(f"tensor {name!r} has a line break in its name, which a calibration cache cannot hold")
        lines.append(f"{name}: {struct.pack('>f', max(one.amax, 1e-8) / 127).hex()}")
    return "\n".join(lines) + "\n"


def read_cache(text: str) -> tuple[str, dict[str, float]]:
    """Header and scales (amax / 127) of a calibration cache.

    Raises:
        PosetrtError: no cache of TensorRT's.
    """
    header, *lines = text.splitlines() or [""]
    if not re.fullmatch(r"TRT-\d+-\w+", header):
        raise PosetrtError(f"a calibration cache begins with a line such as TRT-100300-EntropyCalibration2, not {header[:60]!r}")
    scales = {}
    for number, line in enumerate(lines, 2):
        name, colon, digits = line.rpartition(": ")
        if not colon or not re.fullmatch(r"[0-9a-f]{8}", digits):
            raise PosetrtError(f"line {number} of the calibration cache is not 'tensor: 8 hex digits': {line[:60]!r}")
        scales[name] = struct.unpack(">f", bytes.fromhex(digits))[0]
    return header, scales
