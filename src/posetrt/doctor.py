"""What this machine has, what is missing, what that stops, and the command that mends it."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posetrt.jetson.board import Board, read_board, text_of
from posetrt.jetson.power import left_over, note_path
from posetrt.runtime.engines import driver, onnxruntime
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.packages import JETPACK_OPENCV, install_hint
from posetrt.runtime.sources.gstreamer import has_element

_TENSORRT = frozenset({"TensorRT", "pycuda", "NVIDIA driver"})
_PLUGINS = "gstreamer1.0-plugins-base gstreamer1.0-plugins-good"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        what: the thing looked for.
        found: its version or state; None where it is missing.
        stops: what cannot be done without it.
        remedy: the command that mends it, or "" where nothing needs mending.
        fatal: the main job cannot be done as long as it is so.
        facts: the same for machines, where `posetrt rollout` needs it.
    """

    what: str
    found: str | None
    stops: str = ""
    remedy: str = ""
    fatal: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


def examine(root: Path = Path("/")) -> list[Finding]:
    """Look at Python, packages, TensorRT, CUDA, GPU and board.

    Args:
        root: where the board's own files are read from; tests replace it.
    """
    board = read_board(root)
    on_jetson = board is not None
    python = platform.python_version()
    old = sys.version_info < (3, 10)
    return [
        Finding("Python", python, "everything" if old else "", "install Python 3.10 or newer" if old else ""),
        *(_board(board, root) if board is not None else [Finding("Jetson", "not a Jetson")]),
        _package("numpy", "numpy", "everything", "pip install numpy"),
        _opencv(on_jetson),
        _gstreamer(on_jetson),
        _package("ONNX Runtime", "onnxruntime", "running and calibrating on the CPU", install_hint("onnxruntime", on_jetson)),
        _package("onnx", "onnx", "export and calibrate (not needed on the robot)", install_hint("onnx", on_jetson)),
        _package("onnxsim", "onnxsim", "export (not needed on the robot)", install_hint("onnxsim", on_jetson)),
        _package("pycocotools", "pycocotools", "eval and bench --coco", install_hint("pycocotools", on_jetson)),
        _package("matplotlib", "matplotlib", "charts", install_hint("matplotlib", on_jetson)),
        _package("SciPy", "scipy", "eval on MPII, LSP and PoseTrack, and bench-parser", install_hint("scipy", on_jetson)),
        _package("tqdm", "tqdm", "calibrate and fetch", install_hint("tqdm", on_jetson)),
        _package("PyAV", "av", "run --write-video", install_hint("av", on_jetson)),
        _package("aiohttp", "aiohttp", "run --web and --status-port, which the service asks", install_hint("aiohttp", on_jetson)),
        _driver(on_jetson),
        _cuda(root),
        _tensorrt(on_jetson, board.tensorrt if board else None),
        _package("pycuda", "pycuda", "running TensorRT engines", "pip install pycuda (with CUDA's bin folder first on PATH)"),
        _device(board),
    ]


def model_findings(path: Path) -> list[Finding]:
    """What INT8 costs in a model folder, by layout, as `posetrt calibrate` measured it.

    Raises:
        UsageError: there is no such folder.
        PosetrtError: its calibration.json cannot be read.
    """
    from posetrt.calib.sensitivity.price import folder_line
    from posetrt.runtime.model.folder import open_folder

    folder = open_folder(path)
    command = f"posetrt calibrate {folder.path} --images DIR"
    if not folder.calibration.is_file():
        return [Finding("INT8", None, f"build {folder.path} --precision int8", command)]
    lines = {layout: folder_line(folder, layout).removeprefix("int8: ") for layout in ("ort", "trt", "ranges")}
    return [
        Finding(f"INT8, {layout}", told, "", f"{command} --sensitivity" if told.startswith(("costly", "unusable")) else "")
        for layout, told in lines.items()
    ]


def can_run(findings: list[Finding]) -> bool:
    """Whether people can be found on this machine at all: OpenCV, and ONNX Runtime or TensorRT with pycuda and a driver."""
    has = {finding.what for finding in findings if finding.found is not None and not finding.remedy.startswith("install Python")}
    if any(finding.fatal for finding in findings):
        return False
    return {"numpy", "OpenCV"} <= has and ("ONNX Runtime" in has or has >= _TENSORRT)


def verdict(findings: list[Finding]) -> str:
    """One sentence: whether people can be found here, with what, and otherwise what to do first."""
    has = {finding.what for finding in findings if finding.found is not None}
    missing = [finding.what for finding in findings if finding.found is None and finding.stops]
    if can_run(findings):
        ways = [name for name, needs in (("TensorRT on the GPU", _TENSORRT), ("ONNX Runtime on the CPU", {"ONNX Runtime"})) if needs <= has]
        lacking = f"; without {', '.join(missing)} some things do not work: see above" if missing else ""
        return f"people can be found on this machine, with {' or '.join(ways)}{lacking}"
    fatal = [finding for finding in findings if finding.fatal] or [
        finding for finding in findings if finding.found is None and finding.what in ("numpy", "OpenCV", "ONNX Runtime", "pycuda")
    ]
    first = f": first {fatal[0].what}, {fatal[0].remedy}" if fatal else ""
    return f"people cannot be found on this machine as it is{first}"


def _board(board: Board, root: Path) -> list[Finding]:
    """What the board is, its power mode, and what would surprise its user later."""
    known = board.module != "unknown module"
    name = f"{board.module} ({board.model}), sm_{board.sm or '?'}, {board.memory_gb or '?'} GiB, L4T {board.l4t or 'unknown'}"
    findings = [
        Finding("Jetson", name, "" if known else "nothing: engines are built for the GPU as it is; reports name it by its model alone"),
        _jetpack(board),
        Finding("power mode", f"{board.power_mode} of {', '.join(board.power_modes)}")
        if board.power_mode
        else Finding("power mode", None, "knowing what fps a figure belongs to", "sudo nvpmodel -q"),
    ]
    if _swap_needed(board, root):
        remedy = "sudo fallocate -l 8G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
        findings.append(Finding("swap", None, f"building pycuda and large engines in {board.memory_gb} GiB", remedy))
    try:
        before = left_over(root)
    except PosetrtError as error:
        findings.append(Finding("power note", "unreadable", str(error), f"sudo rm {note_path(root)}"))
    else:
        if before is not None:
            findings.append(
                Finding(
                    "power note",
                    "left by a run that died",
                    f"the mode {before.mode} that was set before",
                    f"sudo {shlex.quote(sys.executable)} -m posetrt doctor --restore-power",
                )
            )
    findings.append(_package("jetson-stats", "jtop", "nothing: power is read by sysfs", "sudo jetson/setup.sh --apply --jtop"))
    return [*findings, *_groups(root), _camera_daemon(root), _cameras(root)]


def _groups(root: Path) -> list[Finding]:
    """The groups that own the GPU and the cameras, where this user lacks one: the usual cause of "no GPU"."""
    lines = [line.split(":") for line in (text_of(root / "etc/group") or "").splitlines()]
    numbers = {fields[0]: int(fields[2]) for fields in lines if len(fields) == 4 and fields[2].isdigit()}
    lacking = [name for name in ("video", "render") if name in numbers and numbers[name] not in os.getgroups()]
    if getattr(os, "geteuid", lambda: 0)() == 0 or not lacking:
        return []
    remedy = f"sudo usermod -aG {','.join(lacking)} $USER, then log out and in again"
    return [Finding("groups", None, f"the GPU and the cameras: this user is not in {' and '.join(lacking)}", remedy)]


def _camera_daemon(root: Path) -> Finding:
    """NVIDIA's service that opens CSI cameras, by the socket that it listens on."""
    path = root / "tmp/argus_socket"
    if path.exists():
        return Finding("camera daemon", str(path))
    return Finding("camera daemon", None, f"csi:// cameras: {path} is not there", "sudo systemctl restart nvargus-daemon")


def _cameras(root: Path) -> Finding:
    """What Linux has of cameras: a CSI sensor is there only after its driver found it."""
    names = [
        f"{folder.name} {text_of(folder / 'name') or ''}".strip() for folder in sorted((root / "sys/class/video4linux").glob("video[0-9]*"))
    ]
    if names:
        return Finding("cameras", ", ".join(names))
    remedy = "plug it in with the power off; a CSI camera is chosen with: sudo /opt/nvidia/jetson-io/jetson-io.py; then see: sudo dmesg"
    return Finding("cameras", None, "csi:// and USB cameras: Linux has no /dev/video*", remedy)


def _jetpack(board: Board) -> Finding:
    if board.jetpack is None:
        return Finding("JetPack", f"unknown (L4T {board.l4t or 'unknown'})", "nothing, if TensorRT and CUDA below are found")
    told = f"{board.jetpack}, told by the {board.jetpack_from}; CUDA {board.cuda or 'not found'}, TensorRT {board.tensorrt or 'not found'}"
    if board.jetpack.startswith("5."):
        return Finding("JetPack", told, "everything: its Python is 3.8", "JetPack 6 or newer", fatal=True)
    return Finding("JetPack", told)


def _swap_needed(board: Board, root: Path) -> bool:
    # zram lies in the memory that is short.
    swaps = [line for line in (text_of(root / "proc/swaps") or "").splitlines()[1:] if not line.startswith("/dev/zram")]
    return board.memory_gb is not None and board.memory_gb < 8 and not swaps


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
    remedy = install_hint("cv2", on_jetson)
    finding = _package("OpenCV", "cv2", "reading photographs, videos and cameras", remedy)
    if finding.found is None:
        return finding
    information: Callable[[], str] = importlib.import_module("cv2").getBuildInformation
    gstreamer = next((line.split(":", 1)[1].strip() for line in information().splitlines() if line.strip().startswith("GStreamer:")), "NO")
    if gstreamer.startswith("YES"):
        return Finding("OpenCV", f"{finding.found} with GStreamer {gstreamer.removeprefix('YES').strip(' ()')}")
    if on_jetson:
        cure = f"pip uninstall opencv-python opencv-python-headless; {JETPACK_OPENCV}"
        return Finding(
            "OpenCV",
            f"{finding.found} without GStreamer",
            "cv2.VideoCapture pipelines of your own, and packages built against JetPack's NumPy and OpenCV; "
            "posetrt's csi:// and rtsp:// do not use it (they run gst-launch-1.0). pip's OpenCV hides JetPack's",
            cure,
            fatal=True,
        )
    return Finding("OpenCV", f"{finding.found} without GStreamer (photographs, files and USB cameras work)")


def _gstreamer(on_jetson: bool) -> Finding:
    """GStreamer's own programs, which run csi:// and pipelines; the elements are asked for only where the programs are there."""
    stops = "csi://N and GStreamer strings as --source" + (
        ", and decoding rtsp:// by hardware (OpenCV decodes it on the CPU instead)" if on_jetson else ""
    )
    launch = shutil.which("gst-launch-1.0")
    if launch is None or shutil.which("gst-inspect-1.0") is None:
        return Finding("GStreamer", None, stops, f"sudo apt install gstreamer1.0-tools {_PLUGINS}")
    lacking = [name for name in ("videoconvert", "y4menc") if not has_element(name)]
    if lacking:
        return Finding("GStreamer", f"{launch} without {', '.join(lacking)}", stops, f"sudo apt install {_PLUGINS}")
    lacking = [name for name in ("nvarguscamerasrc", "nvvidconv", "nvv4l2decoder") if on_jetson and not has_element(name)]
    if lacking:
        remedy = "sudo apt install nvidia-l4t-gstreamer nvidia-l4t-camera (in a container: start it with --runtime nvidia)"
        return Finding("GStreamer", f"{launch} without {', '.join(lacking)}", "csi:// and decoding rtsp:// by hardware", remedy)
    return Finding("GStreamer", launch)


def _driver(on_jetson: bool) -> Finding:
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
            "the user must be in the groups video and render: sudo usermod -aG video,render $USER, then log out and in again"
            if on_jetson
            else "check nvidia-smi, and that this user may open /dev/nvidia*",
        )
    version, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    cuda.cuDeviceGetCount(ctypes.byref(count))
    return Finding("NVIDIA driver", f"CUDA {version.value // 1000}.{version.value % 1000 // 10}, {count.value} GPU")


def _device(board: Board | None) -> Finding:
    """What engines are built for on this machine: the CPU with its instruction sets, and the GPU where the driver shows one."""
    cpu = onnxruntime.device()
    facts: dict[str, Any] = {"cpu": cpu, "sm": board.sm if board else None, "gpu": None}
    with contextlib.suppress(PosetrtError):
        gpu = driver.gpu()
        facts |= {"sm": gpu.sm, "gpu": gpu.name}
    told = f"{cpu['machine']} with {', '.join(cpu['features']) or 'no vector extensions'}"
    return Finding("device", told + (f"; sm_{facts['sm']}" if facts["sm"] else ""), facts=facts)


def _cuda(root: Path) -> Finding:
    nvcc = shutil.which("nvcc") or next((str(path) for path in sorted(root.glob("usr/local/cuda*/bin/nvcc"))), None)
    return (
        Finding("CUDA toolkit", nvcc, "building pycuda", "sudo apt install cuda-toolkit, or JetPack's: sudo apt install nvidia-jetpack")
        if nvcc is None
        else Finding("CUDA toolkit", nvcc)
    )


def _tensorrt(on_jetson: bool, packaged: str | None) -> Finding:
    remedy = (
        "sudo apt install python3-libnvinfer, in a virtual environment made with --system-site-packages"
        if on_jetson
        else "pip install tensorrt"
    )
    stops = "TensorRT engines; ONNX Runtime is used instead"
    finding = _package(
        "TensorRT", "tensorrt", f"{stops} (JetPack's {packaged} is installed, but not seen from this Python)" if packaged else stops, remedy
    )
    if finding.found is None:
        rtx = _package("TensorRT", "tensorrt_rtx", "", "")
        if rtx.found is not None:
            return Finding("TensorRT", None, f"{finding.stops} (TensorRT for RTX {rtx.found} is here: parses and builds)", remedy)
    return finding
