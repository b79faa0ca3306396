"""The command that installs a missing Python package on this machine.

A Jetson has its OpenCV from JetPack: the `desk` extra would pull pip's there, which hides it.
"""

from __future__ import annotations

from posetrt.runtime.engines.driver import board_name

# JetPack 6 packs an OpenCV with GStreamer; JetPack 7 leaves it to Ubuntu's own.
JETPACK_OPENCV = "sudo apt install nvidia-opencv (where JetPack has none: sudo apt install python3-opencv)"

# What the `desk` extra of pyproject.toml names.
DESK = frozenset(
    {"av", "matplotlib", "onnx", "onnx-ir", "onnxruntime", "onnxsim", "opencv-python", "pillow", "protobuf", "pycocotools", "scipy", "tqdm"}
)

# What no other extra has: the web page, a computer's GPU, a cluster, a server, an autopilot, rules files, sinks.
_EXTRAS = {
    "aiohttp": "web",
    "foxglove-sdk": "mcap",
    "grpc": "triton",
    "paho-mqtt": "mqtt",
    "pymavlink": "mavlink",
    "pyarrow": "parquet",
    "pycuda": "gpu",
    "ray": "cluster",
    "rerun-sdk": "rerun",
    "tensorrt": "gpu",
    "tritonclient": "triton",
}
# JetPack has it for the system's Python.
JETPACK_TENSORRT = (
    "sudo apt install python3-libnvinfer (it comes with JetPack; a virtual environment sees it when made with: "
    "python3 -m venv --system-site-packages)"
)

# Modules whose package has another name.
_PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "foxglove": "foxglove-sdk",
    "google": "protobuf",
    "jtop": "jetson-stats",
    "onnx_ir": "onnx-ir",
    "paho": "paho-mqtt",
    "rerun": "rerun-sdk",
}


def install_hint(module: str, on_jetson: bool | None = None) -> str:
    """What to type so that a module can be imported.

    Args:
        module: as it is imported, or as pip names its package.
        on_jetson: whether the machine is a Jetson; asked of the machine where None.

    Returns:
        `pip install` of that one package on a Jetson, and apt's for OpenCV and TensorRT; elsewhere the extra that has the package.
    """
    package = _PACKAGES.get(module.partition(".")[0], module.partition(".")[0])
    if board_name() is not None if on_jetson is None else on_jetson:
        return {"opencv-python": JETPACK_OPENCV, "tensorrt": JETPACK_TENSORRT}.get(package, f"pip install {package}")
    extra = "desk" if package in DESK else _EXTRAS.get(package)
    return f"pip install 'posetrt[{extra}]'" if extra else f"pip install {package}"
