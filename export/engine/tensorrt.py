"""A model folder's graph to a TensorRT engine on this device: the thin rest that talks to TensorRT once the plan stands."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from posetrt.export.engine.attempt import Attempt, OwnCalibration, Show, tell
from posetrt.export.engine.capabilities import capabilities_of
from posetrt.export.engine.origin import check_origin, origin_of
from posetrt.export.engine.plan import BuildPlan, next_plan, plan_build
from posetrt.export.engine.progress import Report
from posetrt.export.engine.request import BuildRequest, Ranges
from posetrt.export.engine.trt_network import BuildRefused
from posetrt.export.graph.float_weights import VARIANT, float_weight_variant
from posetrt.runtime.engines import driver, preflight
from posetrt.runtime.engines.library import Library, installed
from posetrt.runtime.engines.trt_log import Log, started
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.fields import LARGEST_FLOAT32, read_fields
from posetrt.runtime.files import written_together
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.manifest import manifest_of_onnx
from posetrt.runtime.model.sidecar import Sidecar, sidecar_path, sidecar_text

__all__ = ["Built", "OwnCalibration", "Show", "build_engine", "read_ranges"]


@dataclass(frozen=True)
class Built:
    """What a build gave.

    Attributes:
        engine, sidecar: written to the folder.
        plan: that was followed.
        without_range: tensors of an implicit INT8 build that no range was known for.
        fell_back: layers of a DLA build that run on the GPU.
    """

    engine: Path
    sidecar: Sidecar
    plan: BuildPlan
    without_range: tuple[str, ...] = ()
    fell_back: tuple[str, ...] = ()


def build_engine(
    folder: ModelFolder,
    wish: BuildRequest,
    *,
    library: Library | None = None,
    own_calibration: OwnCalibration | None = None,
    report: Report | None = None,
    show: Show | None = None,
) -> Built:
    """Build an engine into `folder.engines`, with its sidecar.

    Args:
        folder: the model folder.
        wish: what the user asked for.
        library: TensorRT or TensorRT for RTX; None takes what is installed.
        own_calibration: for `wish.own_calibration`.
        report: told how far the build is.
        show: told what the user should know while it runs.

    Raises:
        PosetrtError: no TensorRT, no driver, a graph that it does not take, too little memory.
        UsageError: a combination that this TensorRT or device has not.
        EngineMismatch: a variant or calibration of another model.
        KeyboardInterrupt: the user stopped it; nothing is written.
    """
    library = library or installed()
    gpu = _gpu(library, wish)
    device = {"sm": wish.sm, "name": "any", "dla": None} if gpu is None else preflight.device_entry(gpu, wish.dla)
    began = time.perf_counter()
    with Log(show).listening() as log:
        builder = started(library.module.Builder, library.module, log, library.title)
        offers = capabilities_of(library.module, library.name, library.text, gpu, int(builder.num_DLA_cores))
        hashes = folder.hashes()
        ranges = read_ranges(folder) if wish.precision == "int8" and folder.calibration.is_file() else None
        variants = [path.stem for path in (folder.path / "variants").glob("*.onnx")]
        plan = plan_build(offers, wish, folder.manifest(), ranges, variants)
        for note in plan.notes:
            tell(show, "warning", note)
        refused: BuildRefused | None = None
        while True:
            graph = _graph_of(folder, plan, variants, ranges is not None and ranges.of_model == hashes["model"])
            made_from = origin_of(graph, hashes, calibrated=wish.precision in ("int8", "fp8") and not wish.own_calibration)
            work = Attempt(library, offers, plan, manifest_of_onnx(graph), log, builder, folder, own_calibration, show)
            try:
                data = work.run(graph, report)
                break
            except BuildRefused as error:
                refused = refused or error
                other = None if error.memory else next_plan(plan, variants)
                if other is None:
                    raise refused from None
                tell(show, "warning", f"{error}. Trying otherwise: {other.instead_of}")
                plan = other
    engine = folder.engines / preflight.engine_name(device, library.name, library.text, wish.precision)
    check_origin(folder, graph, made_from)
    sidecar = Sidecar(
        backend=library.name,
        precision=wish.precision,
        library_version=library.text,
        device=device,
        engine_sha256=hashlib.sha256(data).hexdigest(),
        graph=str(graph.relative_to(folder.path)),
        made_from=made_from,
        manifest=work.manifest,
        options={**plan.options(), "without_range": work.without_range, "fell_back": work.fell_back},
        build_s=round(time.perf_counter() - began, 3),
    )
    with written_together(engine, sidecar_path(engine)) as (engine_file, sidecar_file):
        engine_file.write_bytes(data)
        sidecar_file.write_text(sidecar_text(sidecar), encoding="utf-8")
    return Built(engine, sidecar, plan, tuple(work.without_range), tuple(work.fell_back))


def _graph_of(folder: ModelFolder, plan: BuildPlan, variants: Collection[str], not_equalised: bool) -> Path:
    """The file that a plan parses, once it is known to belong to the folder's model and calibration.

    int8-base, where the folder leaves it out, is model.onnx itself if nothing was equalised, or if TensorRT finds ranges of its own.
    """
    base_is_model = "int8-base" not in variants and (not_equalised or plan.own_calibration is not None)
    if plan.graph == "model" or (plan.graph == "int8-base" and base_is_model):
        return folder.onnx
    return float_weight_variant(folder) if plan.graph == VARIANT else folder.checked_variant(plan.graph)


def read_ranges(folder: ModelFolder) -> Ranges:
    """Ranges and kept layers of calibration.json; needs neither calib nor the onnx package.

    Raises:
        PosetrtError: unreadable, or of another format.
    """
    given = read_fields(folder.calibration, "calibration", f"Make it again with: posetrt calibrate {folder.quoted} --images DIR")
    amax = {name: one.number("amax", 0, LARGEST_FLOAT32) for name, one in given.by_name("tensors").items()}
    return Ranges(
        amax=amax,
        kept_float=given.texts("kept_float"),
        in_graph=not amax and folder.variant("int8-ort").is_file(),
        of_model=given.sha256("model_sha256") if given.values.get("equalised") == {} else "",
    )


def _gpu(library: Library, wish: BuildRequest) -> driver.Gpu | None:
    """The GPU, asked of the driver before TensorRT: its Builder ends the process where there is no driver."""
    if library.name == "tensorrt-rtx" and wish.sm is not None:
        return None
    try:
        return driver.gpu()
    except PosetrtError as error:
        if library.name == "tensorrt-rtx":
            raise UsageError(f"{error}. {library.title} builds without a GPU when told what for: --sm 86") from error
        raise
