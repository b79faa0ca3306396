"""A model folder's graph to a TensorRT engine on this device: the thin rest that talks to TensorRT once the plan stands."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrt.export.engine import calibrator, trt_network
from posetrt.export.engine.capabilities import Capabilities, capabilities_of
from posetrt.export.engine.origin import check_origin, origin_of
from posetrt.export.engine.plan import BuildPlan, plan_build
from posetrt.export.engine.progress import Progress, Report, monitor_for, stoppable
from posetrt.export.engine.request import BuildRequest, Ranges
from posetrt.runtime.engines import driver, preflight
from posetrt.runtime.engines.cuda import Cuda
from posetrt.runtime.engines.library import Library, installed
from posetrt.runtime.engines.trt_log import Level, Log, logger_for, started
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.fields import LARGEST_FLOAT32, read_fields
from posetrt.runtime.files import written_together, written_whole
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.manifest import Manifest, manifest_of_onnx
from posetrt.runtime.model.sidecar import Sidecar, sidecar_path, sidecar_text

Show = Callable[[Level, str], None]


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


@dataclass(frozen=True)
class OwnCalibration:
    """What TensorRT's own calibration reads: a folder of photographs or a cache file."""

    path: Path


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
    log = Log(show)
    logger = logger_for(library.module, log)
    builder = started(library.module.Builder, logger, log, library.title)
    offers = capabilities_of(library.module, library.name, library.text, gpu, int(builder.num_DLA_cores))
    hashes = folder.hashes()
    ranges = read_ranges(folder) if wish.precision == "int8" and folder.calibration.is_file() else None
    variants = [path.stem for path in (folder.path / "variants").glob("*.onnx")]
    plan = plan_build(offers, wish, folder.manifest(), ranges, variants)
    if plan.graph == "int8-base" and wish.own_calibration and "int8-base" not in variants:
        graph = folder.onnx
    else:
        graph = folder.onnx if plan.graph == "model" else folder.checked_variant(plan.graph)
    made_from = origin_of(graph, hashes, calibrated=wish.precision == "int8" and not wish.own_calibration)
    manifest = manifest_of_onnx(graph)
    for note in plan.notes:
        _tell(show, "warning", note)
    began = time.perf_counter()
    work = _Build(library, offers, plan, manifest, log, logger, builder, folder, own_calibration)
    data = work.run(graph, report, show)
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
        manifest=manifest,
        options={**plan.options(), "without_range": work.without_range, "fell_back": work.fell_back},
        build_s=round(time.perf_counter() - began, 3),
    )
    with written_together(engine, sidecar_path(engine)) as (engine_file, sidecar_file):
        engine_file.write_bytes(data)
        sidecar_file.write_text(sidecar_text(sidecar), encoding="utf-8")
    return Built(engine, sidecar, plan, tuple(work.without_range), tuple(work.fell_back))


def read_ranges(folder: ModelFolder) -> Ranges:
    """Ranges and kept layers of calibration.json; needs neither calib nor the onnx package.

    Raises:
        PosetrtError: unreadable, or of another format.
    """
    given = read_fields(folder.calibration, "calibration", f"Make it again with: posetrt calibrate {folder.path} --images DIR")
    return Ranges(
        amax={name: one.number("amax", 0, LARGEST_FLOAT32) for name, one in given.by_name("tensors").items()},
        kept_float=given.texts("kept_float"),
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


def _tell(show: Show | None, level: Level, line: str) -> None:
    if show is not None:
        show(level, line)


@dataclass
class _Build:
    """One build: what it needs, and what it found on its way."""

    library: Library
    offers: Capabilities
    plan: BuildPlan
    manifest: Manifest
    log: Log
    logger: Any
    builder: Any
    folder: ModelFolder
    own_calibration: OwnCalibration | None

    def __post_init__(self) -> None:
        self.without_range: list[str] = []
        self.fell_back: list[str] = []

    def run(self, graph: Path, report: Report | None, show: Show | None) -> bytes:
        """Parse, set what the plan says, build."""
        trt, plan, builder = self.library.module, self.plan, self.builder
        flags = 0
        for name in plan.network_flags:
            flags |= 1 << int(getattr(trt.NetworkDefinitionCreationFlag, name))
        network = builder.create_network(flags)
        parser = trt_network.parse(trt, network, self.logger, self.log, graph, self.library.title)
        config = builder.create_builder_config()
        self._configure(config)
        if trt_network.check_shapes(network, self.manifest.input.name, plan.profile):
            profile = builder.create_optimization_profile()
            profile.set_shape(self.manifest.input.name, plan.profile.smallest, plan.profile.best, plan.profile.largest)
            config.add_optimization_profile(profile)
            if plan.own_calibration and hasattr(trt.IBuilderConfig, "set_calibration_profile"):
                config.set_calibration_profile(self._one_image(builder))
        self._precisions(network, show)
        if plan.dla is not None:
            self.fell_back = trt_network.not_on_dla(config, network)
            _tell(show, "warning" if self.fell_back else "info", f"{len(self.fell_back)} of {network.num_layers} layers run on the GPU")
        cache = self._timing_cache(config)
        progress = Progress(report)
        with Cuda() if plan.own_calibration == "images" else contextlib.nullcontext() as cuda:
            own = self._calibrator(config, cuda)
            if plan.progress and hasattr(trt.IBuilderConfig, "progress_monitor"):
                monitor = monitor_for(trt, progress)
                config.progress_monitor = monitor
            with stoppable(progress):
                data = builder.build_serialized_network(network, config)
        del parser
        if own is not None and own.failure is not None:
            raise own.failure
        if data is None:
            raise PosetrtError(self._refused(graph))
        if cache is not None:
            self._keep_timing_cache(config, cache)
        return bytes(data)

    def _configure(self, config: Any) -> None:
        trt, plan = self.library.module, self.plan
        for name in plan.builder_flags:
            config.set_flag(getattr(trt.BuilderFlag, name))
        for name in plan.cleared_flags:
            config.clear_flag(getattr(trt.BuilderFlag, name))
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if plan.workspace_bytes is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, plan.workspace_bytes)
        if plan.opt_level is not None:
            config.builder_optimization_level = plan.opt_level
        if plan.hardware_level is not None:
            config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, plan.hardware_level)
        if plan.compute_capability is not None and hasattr(trt.IBuilderConfig, "num_compute_capabilities"):
            config.num_compute_capabilities = 1
            config.set_compute_capability(getattr(trt.ComputeCapability, plan.compute_capability), 0)
        if plan.dla is not None:
            config.default_device_type = trt.DeviceType.DLA
            config.DLA_core = plan.dla

    def _precisions(self, network: Any, show: Show | None) -> None:
        trt, plan = self.library.module, self.plan
        if plan.ranges:
            self.without_range = trt_network.set_ranges(trt, network, plan.ranges)
            if self.without_range:
                listed = ", ".join(self.without_range[:8])
                _tell(show, "info", f"{len(self.without_range)} tensors have no range and stay out of int8: {listed}")
        if plan.kept_float:
            unknown = trt_network.hold_named(trt, network, plan.kept_float, trt.DataType.HALF)
            if unknown:
                _tell(show, "warning", f"calibration.json keeps {', '.join(unknown[:5])} in float, which the graph has not")
        if plan.float32_ends:
            trt_network.hold(trt, trt_network.ends_of(trt, network, decodes=self.manifest.decodes), trt.DataType.FLOAT)

    def _calibrator(self, config: Any, cuda: Cuda | None) -> Any:
        trt, plan = self.library.module, self.plan
        if plan.own_calibration is None or self.own_calibration is None:
            return None
        path = self.own_calibration.path
        cache = keep = following = None
        if plan.own_calibration == "cache":
            cache = calibrator.read_cache(path, self.library.version)
        elif cuda is not None:
            following = calibrator.on_gpu(cuda, calibrator.batches(path, self.manifest.input))
            keep = self.folder.path / f"calibration_trt{self.library.text}.cache"
        own = calibrator.calibrator_for(trt, following, cache, keep)
        if hasattr(trt.IBuilderConfig, "int8_calibrator"):
            config.int8_calibrator = own
        return own

    def _one_image(self, builder: Any) -> Any:
        """The profile of calibration, which takes one image at the size that the model is meant for, whatever the engine is best at."""
        spec = self.manifest.input
        width, height = spec.size_wh
        shape = (1, 3, height, width) if spec.layout == "NCHW" else (1, height, width, 3)
        profile = builder.create_optimization_profile()
        profile.set_shape(spec.name, shape, shape, shape)
        return profile

    def _timing_cache(self, config: Any) -> Any:
        if not self.plan.timing_cache:
            return None
        path = self.folder.path / "timing.cache"
        cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
        if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, ignore_mismatch=False)
        return cache

    def _keep_timing_cache(self, config: Any, cache: Any) -> None:
        del cache  # the configuration holds it
        with written_whole(self.folder.path / "timing.cache") as temporary:
            temporary.write_bytes(bytes(config.get_timing_cache().serialize()))

    def _refused(self, graph: Path) -> str:
        reason = self.log.reason("it gives no reason")
        advice = ""
        if "workspace" in reason or "memory" in reason:
            gpu = self.offers.gpu
            half = (self.plan.workspace_bytes or (gpu.memory_bytes if gpu else 0)) >> 21
            advice = f". Try --workspace {max(half, 64)}, a smaller size or batch, and close other programs"
        return f"{self.library.title} could not build {graph.name}: {reason}{advice}"
