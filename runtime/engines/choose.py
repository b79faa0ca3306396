"""Which engine of a folder fits this device, this precision and this library; why not, where none does."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import get_args

from posetrt.runtime.engines import driver, library
from posetrt.runtime.engines.base import PRECISIONS, Engine, Precision
from posetrt.runtime.engines.triton import TritonEngine, is_remote, remote_address
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.files import check_name
from posetrt.runtime.model.folder import ModelFolder, open_folder
from posetrt.runtime.model.manifest import manifest_of_onnx
from posetrt.runtime.model.shipped import SHIPPED, network_folder, shipped_name
from posetrt.runtime.model.sidecar import Sidecar, check_engine_file, read_sidecar, sidecar_path

# Each module gives `mismatch(sidecar) -> reason or None` and `open_built(engine, sidecar, threads=, trust=, cuda_graph=) -> Engine`.
_BACKENDS = {
    "onnxruntime": "posetrt.runtime.engines.onnxruntime",
    "tensorrt": "posetrt.runtime.engines.tensorrt",
    "tensorrt-rtx": "posetrt.runtime.engines.tensorrt",
}
BACKENDS = ("auto", *_BACKENDS)
CPU_VARIANTS = {"fp16": "fp16", "int8": "int8-ort"}
"""The graph of a model folder that ONNX Runtime runs for a precision; fp32 is model.onnx itself."""


def backend_module(name: str) -> ModuleType:
    """The module of a backend.

    Raises:
        EngineMismatch: a name that this version does not know.
    """
    if name not in _BACKENDS:
        raise EngineMismatch(f"backend {name!r} is not known to this posetrt, which has {', '.join(_BACKENDS)}")
    return importlib.import_module(_BACKENDS[name])


def as_precision(text: str) -> Precision:
    """Check a precision's name.

    Raises:
        UsageError: not one of them.
    """
    for precision in get_args(Precision):
        if text == precision:
            return precision  # type: ignore[no-any-return]
    raise UsageError(f"precision {text!r} is not one of {', '.join(PRECISIONS)}")


@cache
def best_backend() -> str:
    """The fastest backend of this device: TensorRT where both it and a GPU are here, else ONNX Runtime."""
    name = library.present()
    if name is None:
        return "onnxruntime"
    try:
        driver.probe()
    except PosetrtError:
        return "onnxruntime"
    return name


def default_precision(folder: ModelFolder) -> Precision:
    """The folder's own default, else fp16 on a GPU and fp32 on a CPU, which has no gain from fp16."""
    chosen = folder.default_precision()
    return as_precision(chosen) if chosen else "fp32" if best_backend() == "onnxruntime" else "fp16"


def built_engines(folder: ModelFolder, precision: Precision | None = None, backend: str = "auto") -> dict[Path, Sidecar]:
    """Engines of a folder with readable sidecars, by path, in the order of their names."""
    return _read_sidecars(folder, precision, backend)[0]


def _read_sidecars(folder: ModelFolder, precision: Precision | None, backend: str) -> tuple[dict[Path, Sidecar], list[str]]:
    """Engines with their sidecars, and a sentence for each sidecar that cannot be read: one bad file must not hide the others."""
    found, complaints = {}, []
    for sidecar_file in sorted(folder.engines.glob("*.json")) if folder.engines.is_dir() else []:
        if sidecar_file.name.startswith("."):
            continue  # of a build that goes on, or was killed
        engine = sidecar_file.with_suffix("")
        try:
            sidecar = read_sidecar(engine)
        except EngineMismatch as error:
            complaints.append(str(error).rstrip("."))
            continue
        if (precision in (None, sidecar.precision)) and backend in ("auto", sidecar.backend):
            found[engine] = sidecar
    return found, complaints


def why_not(engine: Path, sidecar: Sidecar, hashes: Mapping[str, str]) -> str | None:
    """Why an engine cannot be used here, as the rest of a sentence; None where it fits. Touches no engine library but for its version."""
    made_from = check_made_from(engine, sidecar, hashes)
    if made_from is not None:
        return made_from
    try:
        reason: str | None = backend_module(sidecar.backend).mismatch(sidecar)
    except EngineMismatch as error:
        return f"cannot be used: {error}"
    except ModuleNotFoundError as error:
        return f"needs the package {error.name}, which is not installed here"
    return reason


def check_made_from(engine: Path, sidecar: Sidecar, hashes: Mapping[str, str]) -> str | None:
    """Why an engine is not of the folder's present files, as the rest of a sentence; None where it is."""
    if not engine.is_file():
        return "is gone; only its sidecar is left"
    for what, file in (("model", "model.onnx"), ("calibration", "calibration.json")):
        made = sidecar.made_from.get(what)
        if made is not None and made != hashes.get(what):
            return f"was built from another {file} (sha256 {made[:12]}; here {hashes.get(what, 'none')[:12]})"
    return None


def build_command(folder: Path, precision: str, backend: str) -> str:
    """The command that builds the engine that was looked for; names the backend where one was asked for."""
    return f"posetrt build {ModelFolder(folder).quoted} --precision {precision}" + ("" if backend == "auto" else f" --backend {backend}")


def find_engine(
    folder: ModelFolder, precision: Precision, backend: str = "auto", wanted: Callable[[Sidecar], bool] | None = None
) -> tuple[Path, Sidecar]:
    """The engine that fits, its file checked against its sidecar; the next one that fits where a file is damaged.

    Args:
        folder, precision, backend: where to look, and for what.
        wanted: looks at a sidecar and says whether its engine is one to take; None takes all.

    Raises:
        EngineMismatch: none was built, or none fits: says why, and the command that mends it.
        UsageError: no such backend.
    """
    if backend not in BACKENDS:
        raise UsageError(f"backend {backend!r} is not one of {', '.join(BACKENDS)}")
    remedy = f"Build it with: {build_command(folder.path, precision, backend)}"
    if backend == "auto" and best_backend() != "onnxruntime":
        # On a GPU nobody expects the CPU's engine because the GPU's does not fit.
        backend = best_backend()
    hashes = folder.hashes()
    engines, reasons = _read_sidecars(folder, precision, backend)
    if wanted is not None:
        engines = {engine: sidecar for engine, sidecar in engines.items() if wanted(sidecar)}
    # The GPU's before a DLA's, which is slower and is asked for by its file.
    for engine, sidecar in sorted(engines.items(), key=lambda item: item[1].device.get("dla") is not None):
        reason = why_not(engine, sidecar, hashes)
        if reason is None:
            try:
                check_engine_file(engine, sidecar)
            except EngineMismatch as damaged:
                reasons.append(str(damaged))
                continue
            return engine, sidecar
        reasons.append(f"{engine.name} {reason}")
    if reasons:
        raise EngineMismatch(f"{'; '.join(reasons)}. {remedy}")
    orphans = sorted(
        path.name
        for path in folder.engines.glob(f"*_{precision}.*")
        if path.suffix not in (".json", ".cache") and not sidecar_path(path).is_file()
    )
    if orphans:
        raise EngineMismatch(f"{', '.join(orphans)} has no sidecar, so nothing is known of what it was built for. {remedy}")
    fitting = {one.precision for engine, one in built_engines(folder, backend=backend).items() if why_not(engine, one, hashes) is None}
    others = [one for one in PRECISIONS if one in fitting]
    here = f", but one of {' and of '.join(others)}: give --precision {others[0]}, or build that again with --default" if others else " yet"
    raise EngineMismatch(f"{shipped_name(folder.path) or folder.path} has no {precision} engine for this device{here}. {remedy}")


@dataclass(frozen=True)
class EngineOptions:
    """Which engine of a model folder, and how it runs.

    Attributes:
        precision: "fp32", "fp16", "fp8" or "int8"; None takes the folder's default, else fp32 on a CPU.
        backend: "auto" or one backend's name.
        threads: CPU threads of ONNX Runtime; 0 takes all cores.
        trust: let a version-compatible TensorRT engine run the code that it carries.
        cuda_graph: let TensorRT's network be launched as one CUDA graph where its engine allows that.
    """

    precision: str | None = None
    backend: str = "auto"
    threads: int = 0
    trust: bool = False
    cuda_graph: bool = True


def open_engine(path: str | Path, options: EngineOptions | None = None) -> Engine:
    """Open the engine of a model folder, a bare .onnx with a manifest, or one engine file.

    Args:
        path: a model folder, or the name of a network that ships, which needs no build on a CPU;
            an .onnx file (run on ONNX Runtime as it is); an engine with its sidecar; or `triton://HOST:PORT/NAME`, a network on a server.
        options: which engine, and how it runs.

    Raises:
        EngineMismatch: no engine fits; never builds one.
        UsageError: no such path or backend.
    """
    options = options or EngineOptions()
    precision, backend, threads, trust = options.precision, options.backend, options.threads, options.trust
    cuda_graph = options.cuda_graph
    if is_remote(path):
        return _on_server(path, options)
    path = network_folder(path)
    check_name(path.absolute())
    wanted = as_precision(precision) if precision else None
    if path.is_dir():
        folder = open_folder(path)
        asked = wanted or default_precision(folder)
        try:
            engine, sidecar = find_engine(folder, asked, backend)
        except EngineMismatch:
            if (
                shipped_name(folder.path) is None
                or asked not in ("fp32", "int8")
                or (best_backend() if backend == "auto" else backend) != "onnxruntime"
            ):
                raise
            return _as_it_ships(folder, asked, threads)
    elif not path.is_file():
        raise UsageError(f"there is no model folder, .onnx or engine at {path}; {' and '.join(SHIPPED)} ships with posetrt")
    elif path.suffix == ".onnx" and not sidecar_path(path).is_file():
        from posetrt.runtime.engines.onnxruntime import OnnxRuntimeEngine

        if wanted not in (None, "fp32"):
            raise UsageError(f"{path.name} is a bare graph and runs as it is; for {wanted} give its model folder")
        return OnnxRuntimeEngine(path, manifest_of_onnx(path), "fp32", threads=threads)
    else:
        engine, sidecar = path, read_sidecar(path)
        if reason := backend_module(sidecar.backend).mismatch(sidecar):
            raise EngineMismatch(
                f"{path.name} {reason}. Build it again from its model folder with: posetrt build FOLDER --precision {sidecar.precision}"
            )
        check_engine_file(engine, sidecar)
    opened: Engine = backend_module(sidecar.backend).open_built(engine, sidecar, threads=threads, trust=trust, cuda_graph=cuda_graph)
    return opened


def open_simulated(path: str | Path, threads: int = 0) -> Engine:
    """What a folder's INT8 graph for TensorRT says, on ONNX Runtime: in float, with each value rounded to its 8-bit grid. No TensorRT kernel runs, so
    its speed says nothing, and a device may differ by the order of its sums and by float16 around INT8.

    Args:
        path: a model folder, or the name of a network that ships.
        threads: CPU threads; 0 takes all cores.

    Raises:
        EngineMismatch: the folder was not calibrated.
        UsageError: no such folder.
    """
    from posetrt.runtime.engines.onnxruntime import OnnxRuntimeEngine

    folder = open_folder(network_folder(path))
    return OnnxRuntimeEngine(folder.checked_variant("int8-trt"), folder.manifest(), "int8", threads=threads, as_written=True)


def _on_server(path: str | Path, options: EngineOptions) -> Engine:
    """A network on a Triton server, which has one precision."""
    engine = TritonEngine(remote_address(path))
    if options.precision not in (None, engine.precision):
        engine.close()
        raise UsageError(f"{remote_address(path)} runs in {engine.precision}, and {options.precision} was asked for; leave --precision out")
    return engine


def _as_it_ships(folder: ModelFolder, precision: Precision, threads: int) -> Engine:
    """A network that ships, on ONNX Runtime without a build, so that the first picture takes one command."""
    from posetrt.runtime.engines.onnxruntime import OnnxRuntimeEngine

    graph = folder.onnx if precision == "fp32" else folder.checked_variant(CPU_VARIANTS[precision])
    return OnnxRuntimeEngine(graph, folder.manifest(), precision, threads=threads, built=False)
