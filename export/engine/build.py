"""A model folder's graph to an engine for this device, with its sidecar, for whichever backend the device has."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from posetrt.export.engine.origin import check_origin, origin_of
from posetrt.export.engine.progress import Report
from posetrt.export.engine.request import BuildRequest
from posetrt.export.engine.tensorrt import OwnCalibration, Show, build_engine
from posetrt.export.graph.float16 import write_fp16
from posetrt.runtime.engines.base import Precision
from posetrt.runtime.engines.choose import CPU_VARIANTS, best_backend, find_engine
from posetrt.runtime.engines.library import as_library, installed
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.files import sha256_of, written_together
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.manifest import manifest_of_onnx
from posetrt.runtime.model.shipped import shipped_name
from posetrt.runtime.model.sidecar import Sidecar, sidecar_path, sidecar_text
from posetrt.runtime.packages import install_hint


def build(
    folder: ModelFolder,
    precision: Precision,
    backend: str = "auto",
    *,
    if_needed: bool = False,
    wish: BuildRequest | None = None,
    own_calibration: OwnCalibration | None = None,
    report: Report | None = None,
    show: Show | None = None,
) -> tuple[Path, Sidecar]:
    """Build an engine into `folder.engines`.

    Args:
        folder: the model folder.
        precision: int8 needs `posetrt calibrate` first, fp8 `posetrt calibrate --fp8`.
        backend: "auto" takes TensorRT where this device has it, else ONNX Runtime.
        if_needed: give the engine that is there, where one fits.
        wish: what else is asked of TensorRT; None for its defaults.
        own_calibration: photographs or a cache for TensorRT's own calibration.
        report, show: told how far a TensorRT build is, and what the user should know of it.

    Returns:
        The engine's path and its sidecar.

    Raises:
        PosetrtError: no calibration for int8, or the library refuses the graph.
        EngineMismatch: the calibration or a variant is of another model.
    """
    if precision == "fp16" and shipped_name(folder.path) and not folder.variant("fp16").is_file():
        write_fp16(folder)  # does not ship: it is made of model.onnx alone
    if if_needed:
        with contextlib.suppress(EngineMismatch):
            return find_engine(folder, precision, backend, None if wish is None else lambda found: wish.dla == found.device.get("dla"))
    if precision == "int8" and not folder.calibration.is_file() and own_calibration is None:
        raise PosetrtError(
            f"int8 needs ranges, and {folder.path} has no calibration.json. Find them with: posetrt calibrate {folder.quoted} --images DIR"
        )
    chosen = best_backend() if backend == "auto" else backend
    if chosen == "onnxruntime":
        if precision == "fp8":
            raise UsageError(
                "fp8 is for TensorRT, on GPUs from Ada on and Thor; this build is for ONNX Runtime: take int8, or --backend tensorrt"
            )
        if wish is not None and wish != BuildRequest(precision):
            raise UsageError("these options are TensorRT's, and this build is for ONNX Runtime; leave them out, or give --backend tensorrt")
        return build_onnxruntime(folder, precision)
    asked = replace(wish or BuildRequest(precision), precision=precision)
    built = build_engine(folder, asked, library=installed(as_library(chosen)), own_calibration=own_calibration, report=report, show=show)
    return built.engine, built.sidecar


def build_onnxruntime(folder: ModelFolder, precision: Precision) -> tuple[Path, Sidecar]:
    """Optimise the graph of a precision for this CPU with ONNX Runtime.

    Raises:
        PosetrtError: onnxruntime is missing or refuses the graph, or the model was replaced meanwhile.
    """
    hashes = folder.hashes()
    graph = folder.onnx if precision == "fp32" else folder.checked_variant(CPU_VARIANTS[precision])
    made_from = origin_of(graph, hashes, calibrated=precision == "int8")
    manifest = manifest_of_onnx(graph)
    from posetrt.runtime.engines.onnxruntime import device, open_session, version

    try:
        library_version = version()
    except ModuleNotFoundError as error:
        raise PosetrtError(f"building for the CPU needs the package onnxruntime: {install_hint('onnxruntime')}") from error
    cpu = device()
    tag = "-".join([cpu["machine"], *(feature.replace("_", "") for feature in cpu["features"][-1:])])
    engine = folder.engines / f"{tag}_ort{library_version}_{precision}.onnx"
    started = time.perf_counter()
    with written_together(engine, sidecar_path(engine)) as (engine_file, sidecar_file):
        try:
            open_session(str(graph), partial(_write_optimised, engine_file))
        except Exception as error:  # ONNX Runtime raises a dozen types without a common base
            # It tells a full disk as it tells a broken graph: where as many bytes do not fit, writing them says why.
            engine_file.write_bytes(bytes(graph.stat().st_size))
            raise PosetrtError(f"ONNX Runtime refuses {graph}: {str(error).splitlines()[0]}") from error
        check_origin(folder, graph, made_from)
        sidecar = Sidecar(
            backend="onnxruntime",
            precision=precision,
            library_version=library_version,
            device=cpu,
            engine_sha256=sha256_of(engine_file),
            graph=str(graph.relative_to(folder.path)),
            made_from=made_from,
            manifest=manifest,
            build_s=round(time.perf_counter() - started, 3),
        )
        sidecar_file.write_text(sidecar_text(sidecar), encoding="utf-8")
    return engine, sidecar


def _write_optimised(engine_file: Path, options: Any) -> None:
    """Let a session write the graph that it makes for this CPU."""
    options.optimized_model_filepath = str(engine_file)
