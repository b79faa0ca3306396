"""TensorRT's own INT8 calibration, for those who want it: over images, or over a cache that was made before (TensorRT 8 and 10)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.cuda import Cuda
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.files import written_whole
from posetrt.runtime.model.manifest import InputSpec
from posetrt.runtime.picture import network_input
from posetrt.runtime.sources import read_photo

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp")


def cache_header(version: tuple[int, ...]) -> str:
    """First line of a calibration cache: TensorRT skips one whose number is not its own (NvInferVersion.h)."""
    major, minor, patch = (*version, 0, 0)[:3]
    number = major * 10000 + minor * 100 + patch if major >= 10 else major * 1000 + minor * 100 + patch
    return f"TRT-{number}-EntropyCalibration2"


def read_cache(path: Path, version: tuple[int, ...]) -> bytes:
    """A calibration cache that this TensorRT will take.

    Raises:
        PosetrtError: unreadable, or no calibration cache.
        EngineMismatch: of another TensorRT or method.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PosetrtError(f"cannot read the calibration cache {path}: {error.strerror or error}") from error
    header = data.split(b"\n", 1)[0].decode("ascii", "replace").strip()
    if not re.match(r"TRT-\d+-\w+$", header):
        raise PosetrtError(f"{path} is no calibration cache of TensorRT: it begins with {header[:40]!r}")
    if header != cache_header(version):
        raise EngineMismatch(
            f"{path} is for {header}, and this TensorRT takes {cache_header(version)}: it would skip the file and calibrate anew. "
            f"Write one for TensorRT {'.'.join(map(str, version[:3]))}, or give images"
        )
    return data


def batches(folder: Path, spec: InputSpec) -> Iterator[NDArray[np.float32] | NDArray[np.uint8]]:
    """The pictures of a folder as the network's input, one at a time, in the order of their names.

    Raises:
        PosetrtError: no picture can be read.
    """
    used = 0
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES):
        try:
            frame = read_photo(path)
        except PosetrtError:
            continue
        used += 1
        yield network_input(frame, spec)
    if not used:
        raise PosetrtError(f"{folder} holds no picture that can be read ({', '.join(_PICTURES)}); give a folder of photographs with people")


def on_gpu(cuda: Cuda, arrays: Iterator[NDArray[Any]]) -> Callable[[], int | None]:
    """Gives the next array's address on the device, and None after the last; one buffer serves all."""
    buffer = None
    stream = None

    def following() -> int | None:
        nonlocal buffer, stream
        array = next(arrays, None)
        if array is None:
            return None
        with cuda.current("copy a calibration image"):
            if buffer is None:
                buffer, stream = cuda.buffer(array.size, array.dtype), cuda.stream()
            np.copyto(buffer.view(array.shape), array)
            cuda.upload(buffer, array.size, stream)
            stream.synchronize()
        return buffer.address

    return following


def calibrator_for(trt: Any, following: Callable[[], int | None] | None, cache: bytes | None, keep: Path | None) -> Any:
    """A TensorRT calibrator. Keep it alive as long as the build runs.

    Args:
        following: address of the next batch of one image on the device, None after the last; None where a cache serves.
        cache: a cache to use instead of images.
        keep: where to write the cache that TensorRT finds.

    `failure` holds whatever exception ended it: TensorRT takes one that leaves a callback for "no more images" and builds from
    what it has, or ends the process.

    Raises:
        UsageError: this TensorRT has no calibrator.
    """
    if not hasattr(trt, "IInt8EntropyCalibrator2"):
        raise UsageError("this TensorRT has no calibrator of its own; take the ranges of `posetrt calibrate`")

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)
            self.failure: BaseException | None = None

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, _names: list[str]) -> list[int] | None:
            try:
                address = following() if following is not None else None
            except BaseException as error:  # noqa: BLE001 - raised again once the build has ended
                self.failure = self.failure or error
                return None
            return None if address is None else [address]

        def read_calibration_cache(self) -> bytes | None:
            return cache

        def write_calibration_cache(self, data: Any) -> None:
            if keep is None:
                return
            try:
                with written_whole(keep) as temporary:
                    temporary.write_bytes(bytes(data))
            except BaseException as error:  # noqa: BLE001 - raised again once the build has ended
                self.failure = self.failure or error

    return Calibrator()
