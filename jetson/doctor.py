"""What this machine has, what is missing, what that stops, and the command that mends it."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        what: the thing looked for.
        found: its version or state; None where it is missing.
        stops: what cannot be done without it.
        remedy: the command that mends it, or "" where nothing needs mending.
    """

    what: str
    found: str | None
    stops: str = ""
    remedy: str = ""


def examine(root: Path = Path("/")) -> list[Finding]:
    """Look at Python, packages, TensorRT, CUDA, GPU and board.

    Args:
        root: where the board's own files are read from; tests replace it.
    """
    board = jetson_board(root)
    on_jetson = board is not None
    python = platform.python_version()
    old = sys.version_info < (3, 10)
    findings = [
        Finding("Python", python, "everything" if old else "", "install Python 3.10 or newer" if old else ""),
        Finding("Jetson", board or "not a Jetson"),
        _package("numpy", "numpy", "everything", "pip install numpy"),
        _opencv(on_jetson),
        _package("ONNX Runtime", "onnxruntime", "running and calibrating on the CPU", "pip install 'posetrt[desk]'"),
        _package("onnx", "onnx", "export and calibrate (not needed on the robot)", "pip install 'posetrt[desk]'"),
        _package("onnxsim", "onnxsim", "export (not needed on the robot)", "pip install 'posetrt[desk]'"),
        _package("pycocotools", "pycocotools", "eval and bench --coco", "pip install 'posetrt[desk]'"),
        _package("matplotlib", "matplotlib", "charts", "pip install 'posetrt[desk]'"),
        _driver(),
        _cuda(root),
        _tensorrt(on_jetson),
        _package("pycuda", "pycuda", "running TensorRT engines", "pip install pycuda (with CUDA's bin folder first on PATH)"),
    ]
    if on_jetson:
        findings.append(_package("jetson-stats", "jtop", "power and clocks beside fps", "sudo pip install jetson-stats"))
    return findings


def can_run(findings: list[Finding]) -> bool:
    """Whether people can be found on this machine at all: OpenCV, and ONNX Runtime or TensorRT with pycuda and a driver."""
    has = {finding.what for finding in findings if finding.found is not None and not finding.remedy.startswith("install Python")}
    return {"numpy", "OpenCV"} <= has and ("ONNX Runtime" in has or {"TensorRT", "pycuda", "NVIDIA driver"} <= has)


def jetson_board(root: Path = Path("/")) -> str | None:
    """Model and L4T release from the board's own files; None where this is no Jetson."""
    release = root / "etc/nv_tegra_release"
    model = root / "proc/device-tree/model"
    if not release.is_file():
        return None
    name = model.read_text(encoding="utf-8", errors="replace").strip("\0\n ") if model.is_file() else "unknown board"
    first_line = release.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    return f"{name}, {first_line.lstrip('# ').partition(', GCID')[0]}"


def _package(what: str, module: str, stops: str, remedy: str) -> Finding:
    try:
        imported = importlib.import_module(module)
    except ImportError as error:
        # A package that is there but does not import needs another cure than one that is absent.
        reason = (
            "" if isinstance(error, ModuleNotFoundError) and error.name == module else f" (it is installed, but fails to import: {error})"
        )
        return Finding(what, None, stops + reason, remedy)
    version = getattr(imported, "__version__", None)
    if version is None:
        try:
            version = importlib.metadata.version(module)
        except importlib.metadata.PackageNotFoundError:
            version = "of unknown version"
    return Finding(what, str(version))


def _opencv(on_jetson: bool) -> Finding:
    remedy = "sudo apt install nvidia-opencv" if on_jetson else "pip install 'posetrt[desk]'"
    finding = _package("OpenCV", "cv2", "reading photographs, videos and cameras", remedy)
    if finding.found is None:
        return finding
    information: Callable[[], str] = importlib.import_module("cv2").getBuildInformation
    gstreamer = next((line.split(":", 1)[1].strip() for line in information().splitlines() if line.strip().startswith("GStreamer:")), "NO")
    if gstreamer.startswith("YES"):
        return Finding("OpenCV", f"{finding.found} with GStreamer {gstreamer.removeprefix('YES').strip(' ()')}")
    if on_jetson:
        cure = "pip uninstall opencv-python opencv-python-headless; sudo apt install nvidia-opencv"
        return Finding(
            "OpenCV", f"{finding.found} without GStreamer", "CSI cameras and hardware decoding: pip's OpenCV hides JetPack's", cure
        )
    return Finding("OpenCV", f"{finding.found} without GStreamer (photographs, files and USB cameras work)")


def _driver() -> Finding:
    stops = "building and running TensorRT engines"
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Finding(
            "NVIDIA driver", None, stops, "on a computer with an NVIDIA GPU, install its driver; on a CPU, use --backend onnxruntime"
        )
    code = cuda.cuInit(0)
    if code != 0:
        return Finding(
            "NVIDIA driver",
            None,
            f"{stops}: cuInit failed with CUDA error {code}",
            "check nvidia-smi, and that this user may open /dev/nvidia*",
        )
    version, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    cuda.cuDeviceGetCount(ctypes.byref(count))
    return Finding("NVIDIA driver", f"CUDA {version.value // 1000}.{version.value % 1000 // 10}, {count.value} GPU")


def _cuda(root: Path) -> Finding:
    nvcc = shutil.which("nvcc") or next((str(path) for path in sorted(root.glob("usr/local/cuda*/bin/nvcc"))), None)
    return (
        Finding("CUDA toolkit", nvcc, "building pycuda", "sudo apt install cuda-toolkit, or JetPack's: sudo apt install nvidia-jetpack")
        if nvcc is None
        else Finding("CUDA toolkit", nvcc)
    )


def _tensorrt(on_jetson: bool) -> Finding:
    remedy = (
        "sudo apt install python3-libnvinfer, in a virtual environment made with --system-site-packages"
        if on_jetson
        else "pip install tensorrt"
    )
    finding = _package("TensorRT", "tensorrt", "TensorRT engines; ONNX Runtime is used instead", remedy)
    if finding.found is None:
        rtx = _package("TensorRT", "tensorrt_rtx", "", "")
        if rtx.found is not None:
            return Finding("TensorRT", None, f"{finding.stops} (TensorRT for RTX {rtx.found} is here: parses and builds)", remedy)
    return finding
