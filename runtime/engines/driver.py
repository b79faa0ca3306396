"""What the CUDA driver says of this machine, asked through ctypes before TensorRT or pycuda sees it.

`tensorrt.Runtime()` on a machine without a driver ends the process, so the question comes first, and from a library
that can be absent. Functions and numbers: cuda.h, "CUDA Driver API".
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from posetrt.runtime.errors import PosetrtError

LIBRARY = "libcuda.so.1"

# CUdevice_attribute of cuda.h.
_INTEGRATED, _MAJOR, _MINOR = 18, 75, 76
_NO_DEVICE = 100


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        index: CUDA's ordinal.
        name: as the driver prints it: "Orin", "NVIDIA GeForce RTX 3060".
        sm: compute capability times ten: 87 for 8.7.
        memory_bytes: all of it; on an integrated GPU the memory that it shares with the CPU.
        integrated: the GPU shares the CPU's memory, as on a Jetson, so that copies can be left out.
    """

    index: int
    name: str
    sm: int
    memory_bytes: int
    integrated: bool


@dataclass(frozen=True)
class Driver:
    """The driver: the newest CUDA that it runs, as (major, minor), and its GPUs."""

    cuda: tuple[int, int]
    gpus: tuple[Gpu, ...]


@cache
def probe(library: str = LIBRARY) -> Driver:
    """Ask the driver for its version and its GPUs.

    Args:
        library: the driver's library; another one in tests.

    Raises:
        PosetrtError: no driver, no GPU, or a driver that does not start; says what to do.
    """
    try:
        cuda = ctypes.CDLL(library)
    except OSError as error:
        raise PosetrtError(f"no NVIDIA driver: {library} does not load ({error}). {_remedy()}") from error
    code = int(cuda.cuInit(0))
    if code == _NO_DEVICE:
        raise PosetrtError(f"the NVIDIA driver finds no GPU (cuInit: {_name_of(cuda, code)}). {_remedy()}")
    if code:
        raise PosetrtError(f"the NVIDIA driver does not start (cuInit: {_name_of(cuda, code)}). {_remedy()}")
    version, count = ctypes.c_int(), ctypes.c_int()
    _check(cuda, "cuDriverGetVersion", ctypes.byref(version))
    _check(cuda, "cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        raise PosetrtError(f"the NVIDIA driver finds no GPU. {_remedy()}")
    return Driver((version.value // 1000, version.value % 1000 // 10), tuple(_gpu(cuda, index) for index in range(count.value)))


def gpu(index: int = 0) -> Gpu:
    """One GPU by CUDA's ordinal.

    Raises:
        PosetrtError: no driver, or no GPU of that number.
    """
    gpus = probe().gpus
    if not 0 <= index < len(gpus):
        raise PosetrtError(f"there is no GPU {index}; this machine has {', '.join(f'{one.index}: {one.name}' for one in gpus)}")
    return gpus[index]


def release_primary_context(index: int, library: str = LIBRARY) -> None:
    """Give back one hold on a GPU's primary context; whoever else holds it keeps it.

    Raises:
        PosetrtError: the driver refuses.
    """
    cuda = ctypes.CDLL(library)
    device = ctypes.c_int()
    _check(cuda, "cuDeviceGet", ctypes.byref(device), index)
    _check(cuda, "cuDevicePrimaryCtxRelease_v2", device)


def board_name(model: Path = Path("/proc/device-tree/model")) -> str | None:
    """A Jetson's own name, as in "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"; None on any other computer."""
    try:
        text = model.read_bytes().rstrip(b"\0").decode("utf-8", "replace").strip()
    except OSError:
        return None
    return text if "NVIDIA" in text else None


def _gpu(cuda: ctypes.CDLL, index: int) -> Gpu:
    device, value, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    _check(cuda, "cuDeviceGet", ctypes.byref(device), index)
    _check(cuda, "cuDeviceGetName", name, len(name), device)
    _check(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    attributes = []
    for attribute in (_MAJOR, _MINOR, _INTEGRATED):
        _check(cuda, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        attributes.append(value.value)
    major, minor, integrated = attributes
    return Gpu(index, name.value.decode("utf-8", "replace"), major * 10 + minor, memory.value, bool(integrated))


def _check(cuda: ctypes.CDLL, function: str, *arguments: object) -> None:
    code = int(getattr(cuda, function)(*arguments))
    if code:
        raise PosetrtError(f"the NVIDIA driver failed in {function}: {_name_of(cuda, code)}. {_remedy()}")


def _name_of(cuda: ctypes.CDLL, code: int) -> str:
    text = ctypes.c_char_p()
    cuda.cuGetErrorName(code, ctypes.byref(text))
    return text.value.decode("ascii", "replace") if text.value else f"error {code}"


def _remedy() -> str:
    if board_name():
        return "On a Jetson the driver comes with JetPack: check with `posetrt doctor`, and in a container start it with --runtime nvidia"
    return "Check with `nvidia-smi`; in a container start it with --gpus all; without a GPU use --backend onnxruntime"
