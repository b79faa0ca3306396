"""What to carry to a machine with a GPU: model folders, float32 results to compare with, and the packages that it lacks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import posetrt
from posetrt.bench.other_runtimes import torch_path
from posetrt.bench.torch_graph import write_torch
from posetrt.calib.accuracy.agreement import agreement
from posetrt.calib.int8.calibrate import calibrate
from posetrt.calib.sensitivity.judge import Judge, runner
from posetrt.export.graph.float16 import write_fp16
from posetrt.export.graph.float_weights import float_weight_variant
from posetrt.export.graph.onnx_model import write_folder
from posetrt.export.weights.from_weights import model_from_weights
from posetrt.export.weights.random_weights import write_random_weights
from posetrt.export.weights.zoo import find_network
from posetrt.runtime.engines.onnxruntime import OnnxRuntimeEngine
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import write_json, write_text
from posetrt.runtime.model.folder import ModelFolder, open_folder
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.picture import to_input, whole_picture
from posetrt.runtime.sources import photos_in, read_photo

PIECE_BYTES = 60_000_000
TIMING_MODEL, TIMING_NETWORK = "body25-random", "openpose-body25"
RTX = "1.7.1.116"
# Packages of a bare machine: wheels for its Python, sources that are built into wheels here, and pycuda, which is built there.
WHEELS = ("numpy", "opencv-python-headless<5", f"tensorrt-rtx-cu13-libs=={RTX}", f"tensorrt-rtx-cu13-bindings=={RTX}")
PURE = (f"tensorrt-rtx=={RTX}", f"tensorrt-rtx-cu13=={RTX}")
PYCUDA_NEEDS = ("setuptools", "wheel", "pytools", "platformdirs", "mako", "markupsafe", "typing-extensions", "siphash24")

INSTALL = """#!/bin/bash
# Installs what was carried along and verifies posetrt on this machine's GPU. Needs Python {python}, a C++ compiler and the CUDA toolkit.
#   ./verify.sh [options of `posetrt verify-gpu`]
set -euo pipefail
cd "$(dirname "$0")"
export CUDA_ROOT="${{CUDA_ROOT:-/usr/local/cuda}}"
export PATH="$CUDA_ROOT/bin:$PATH"
find . -name '*.piece00' | while read -r first; do
    [ -e "${{first%.piece00}}" ] || cat "${{first%00}}"* > "${{first%.piece00}}"
done
if [ -d wheels ] && [ ! -x env/bin/python ]; then
    python{python} -m venv env
    env/bin/pip install --quiet --no-index --find-links wheels {installed}
    mkdir -p build/link
    tar -xzf wheels/pycuda-*.tar.gz -C build
    # A driver brings libcuda.so.1; to link, its name without the number must be found. Without a driver the toolkit's stub serves.
    driver=$(ldconfig -p | awk '/libcuda\\.so\\.1 / {{ print $NF; exit }}')
    [ -z "$driver" ] || ln -sf "$driver" build/link/libcuda.so
    export LDFLAGS="-L$PWD/build/link -L$CUDA_ROOT/lib64/stubs"
    (
        cd build/pycuda-*
        ../../env/bin/python configure.py --cuda-root="$CUDA_ROOT" --no-cuda-enable-curand
        ../../env/bin/pip install --quiet --no-index --find-links ../../wheels --no-build-isolation .
    )
fi
python=env/bin/python
[ -x "$python" ] || python=python3
PYTHONPATH=src exec "$python" -m posetrt verify-gpu . --output result "$@"
"""

Say = Callable[[str], None]


def prepare(
    bundle: Path,
    photographs: Path,
    *,
    models: Sequence[Path] = (),
    video: Path | None = None,
    compared: int = 8,
    timing_size_wh: tuple[int, int] | None = (656, 368),
    wheels: bool = True,
    python: str = "3.12",
    say: Say = lambda _line: None,
) -> None:
    """Fill a bundle.

    Args:
        bundle: folder to make; must not exist yet.
        photographs: folder with people, for comparing and for the ranges of BODY_25.
        models: model folders, exported and calibrated.
        video: to run end to end.
        compared: how many photographs are compared.
        timing_size_wh: input of BODY_25 with random weights; None leaves it out.
        wheels: carry packages for a machine without a network.
        python: version of that machine's Python.
        say: told what is being done.

    Raises:
        UsageError: the bundle exists, or there is nothing to put in.
        PosetrtError: a model without its graphs, or a package that cannot be had.
    """
    if bundle.exists():
        raise UsageError(f"{bundle} exists already; give a new folder")
    pictures = photos_in(photographs)[:compared]
    if not pictures or not models:
        raise UsageError("give --photographs with people and at least one --model folder")
    names = [path.resolve().name for path in models]
    if len(set(names)) < len(names):
        raise UsageError(
            f"two of the models have one name: {', '.join(names)}; the bundle keeps each in a folder of its name, so rename one"
        )
    contents: dict[str, Any] = {"format": 1, "posetrt": posetrt.__version__, "models": {}, "video": ""}
    for path in models:
        say(f"reference outputs of {path.name}")
        name = path.resolve().name
        folder = _copied(open_folder(path), bundle / "models" / name)
        write_reference(folder, pictures, bundle / "reference" / f"{name}.npz")
        if folder.variant("int8-trt").is_file():
            float_weight_variant(folder)  # for TensorRT 8.6 with --explicit-qdq: the machine has no onnx package to write it
        contents["models"][name] = {"timing_only": False, "precisions": _precisions(folder)}
        carry_torch(bundle, name, folder, say)
    if timing_size_wh is not None:
        say(f"{TIMING_NETWORK} with random weights")
        folder = timing_folder(bundle / "models" / TIMING_MODEL, timing_size_wh, pictures[:2])
        # Large, and no TensorRT's.
        folder.variant("int8-ort").unlink()
        carry_torch(bundle, TIMING_MODEL, folder, say)
        contents["models"][TIMING_MODEL] = {"timing_only": True, "precisions": _precisions(folder)}
    if video is not None:
        shutil.copyfile(video, bundle / f"video{video.suffix}")
        contents["video"] = f"video{video.suffix}"
    shutil.copytree(Path(posetrt.__file__).parent, bundle / "src" / "posetrt", ignore=shutil.ignore_patterns("__pycache__"), symlinks=False)
    if wheels:
        say("packages")
        carry_wheels(bundle / "wheels", python)
    packages = "numpy opencv-python-headless tensorrt-rtx pytools platformdirs mako typing-extensions siphash24 setuptools wheel"
    write_text(bundle / "verify.sh", INSTALL.format(python=python, installed=packages))
    (bundle / "verify.sh").chmod(0o755)
    write_json(bundle / "bundle.json", contents)
    for path in sorted(path for path in bundle.rglob("*") if path.is_file() and path.stat().st_size > PIECE_BYTES):
        split(path)


def carry_torch(bundle: Path, name: str, folder: ModelFolder, say: Say) -> None:
    """Write a model as PyTorch runs it, so that the machine can time it beside TensorRT; a line where that cannot be done here."""
    try:
        write_torch(folder.onnx, list(dict.fromkeys(folder.manifest().head.outputs.values())), torch_path(bundle, name))
    except PosetrtError as error:
        say(f"{name}: no PyTorch graph to time beside it: {error}")


def timing_folder(path: Path, size_wh: tuple[int, int], pictures: Sequence[Path]) -> ModelFolder:
    """BODY_25 with random weights, in every precision: for its time and its layers."""
    weights = path.parent / "random.npz"
    write_random_weights(TIMING_NETWORK, weights)
    model, manifest = model_from_weights(find_network(TIMING_NETWORK), weights, size_wh=size_wh)
    weights.unlink()
    folder = write_folder(model, manifest, path)
    write_fp16(folder)
    calibrate(folder, list(pictures), method="minmax")
    return folder


def write_reference(folder: ModelFolder, pictures: Sequence[Path], target: Path) -> None:
    """What ONNX Runtime gives in float32 for photographs: "count", "canvas_i" (h, w, 3) uint8, and the n-th output as "output_n_i".

    Also "fp16_difference": how far its fp16 graph is from that on a computer, by the range of each output. Of a calibrated folder "int8_oks":
    how far the people of its graph in TensorRT's layout, rounded as it says, agree with float32's.
    """
    manifest = folder.manifest()
    arrays: dict[str, Any] = {"count": np.int64(len(pictures))}
    if folder.calibration.is_file():
        import onnx

        judge = Judge(manifest, pictures)
        models = [onnx.load(str(path)) for path in (folder.onnx, folder.checked_variant("int8-trt"))]
        reference, rounded = (judge.people(runner(model, manifest, fused=False)) for model in models)
        arrays["int8_oks"] = np.float64(agreement(reference, rounded, manifest.skeleton).oks)
    with OnnxRuntimeEngine(folder.onnx, manifest, "fp32") as engine:
        for index, picture in enumerate(pictures):
            frame = read_photo(picture)
            canvas = whole_picture(frame, manifest.input)[0]
            tensors = engine.infer(to_input(canvas, manifest.input))
            arrays[f"canvas_{index}"] = canvas
            arrays |= {f"output_{number}_{index}": values for number, values in enumerate(tensors.values())}
    if folder.variant("fp16").is_file():
        arrays["fp16_difference"] = np.float64(_fp16_difference(folder, manifest, arrays))
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _fp16_difference(folder: ModelFolder, manifest: Manifest, arrays: dict[str, Any]) -> float:
    worst = 0.0
    with OnnxRuntimeEngine(folder.checked_variant("fp16"), manifest, "fp16") as engine:
        for index in range(int(arrays["count"])):
            for number, values in enumerate(engine.infer(to_input(arrays[f"canvas_{index}"], manifest.input)).values()):
                wanted = arrays[f"output_{number}_{index}"]
                apart = np.abs(np.asarray(values, np.float32) - wanted).max()
                worst = max(worst, float(apart / max(float(np.ptp(wanted)), 1e-9)))
    return worst


def carry_wheels(folder: Path, python: str) -> None:
    """Fetch the packages of a bare machine.

    Raises:
        PosetrtError: pip cannot get one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (17, 24, 27, 28)] + ["--platform=manylinux2014_x86_64"]
    _pip(
        "download",
        "--only-binary=:all:",
        "--no-deps",
        f"--python-version={python}",
        *platforms,
        "--dest",
        str(folder),
        *WHEELS,
        *PYCUDA_NEEDS,
    )
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), *PURE)
    _pip("download", "--no-deps", "--no-binary=pycuda", "--dest", str(folder), "pycuda")


def split(path: Path) -> list[Path]:
    """Cut a file into `NAME.piece00`, `NAME.piece01`, ... of at most 60 MB, and remove it."""
    pieces: list[Path] = []
    with path.open("rb") as file:
        while data := file.read(PIECE_BYTES):
            pieces.append(path.with_name(f"{path.name}.piece{len(pieces):02d}"))
            pieces[-1].write_bytes(data)
    path.unlink()
    return pieces


def _pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PosetrtError(f"pip cannot get what a bare machine needs: {done.stderr.strip()[-400:]}. Leave it out with --no-wheels")


def _copied(folder: ModelFolder, target: Path) -> ModelFolder:
    """A model folder without the engines of this computer."""
    shutil.copytree(folder.path, target, ignore=shutil.ignore_patterns("engines", "timing*.cache", "int8-trt-weak.onnx", ".*"))
    return ModelFolder(target)


def _precisions(folder: ModelFolder) -> list[str]:
    return ["fp32", *(["fp16"] if folder.variant("fp16").is_file() else []), *(["int8"] if folder.calibration.is_file() else [])]
