"""One try at an engine: a graph parsed by TensorRT, set up as a plan says, and built."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posetrt.export.engine import calibrator, trt_network
from posetrt.export.engine.capabilities import Capabilities
from posetrt.export.engine.plan import BuildPlan
from posetrt.export.engine.progress import Progress, Report, monitor_for, stoppable
from posetrt.export.graph.camera import CAMERA_PREFIX
from posetrt.runtime.engines.cuda import Cuda
from posetrt.runtime.engines.library import Library
from posetrt.runtime.engines.preflight import timing_cache_name
from posetrt.runtime.engines.trt_log import Level, Log, logger_for
from posetrt.runtime.files import written_whole
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.manifest import Manifest

Show = Callable[[Level, str], None]


@dataclass(frozen=True)
class OwnCalibration:
    """What TensorRT's own calibration reads: a folder of photographs or a cache file."""

    path: Path


@dataclass
class Attempt:
    """One try at a build: what it needs, and what it found on its way.

    Attributes:
        library, offers, plan, manifest, log, builder, folder: what to build and with what.
        own_calibration: what TensorRT's own calibration reads; None for the ranges of calibration.json.
        show: told what the user should know while it runs.
        without_range: float tensors of an INT8 build by ranges for which none is known, but for those held in float.
        fell_back: layers of a DLA build that run on the GPU.
    """

    library: Library
    offers: Capabilities
    plan: BuildPlan
    manifest: Manifest
    log: Log
    builder: Any
    folder: ModelFolder
    own_calibration: OwnCalibration | None
    show: Show | None
    without_range: list[str] = field(default_factory=list)
    fell_back: list[str] = field(default_factory=list)
    _held: set[str] = field(default_factory=set)

    def run(self, graph: Path, report: Report | None) -> bytes:
        """Parse, set what the plan says, build.

        Raises:
            BuildRefused: TensorRT does not take the graph under this plan.
            PosetrtError: the calibration's images or cache.
            KeyboardInterrupt: the user stopped it.
        """
        self.log.settle()
        self.log.without_range.clear()
        trt, plan, builder = self.library.module, self.plan, self.builder
        flags = 0
        for name in plan.network_flags:
            flags |= 1 << int(getattr(trt.NetworkDefinitionCreationFlag, name))
        network = builder.create_network(flags)
        parser = trt_network.parse(trt, network, logger_for(trt), self.log, graph, self.library.title)
        config = builder.create_builder_config()
        self._configure(config)
        if trt_network.check_shapes(network, self.manifest.input.name, plan.profile):
            profile = builder.create_optimization_profile()
            profile.set_shape(self.manifest.input.name, plan.profile.smallest, plan.profile.best, plan.profile.largest)
            config.add_optimization_profile(profile)
            if plan.own_calibration and hasattr(trt.IBuilderConfig, "set_calibration_profile"):
                config.set_calibration_profile(self._one_image(builder))
        self._precisions(network)
        if plan.dla is not None:
            self.fell_back = trt_network.not_on_dla(config, network)
            tell(self.show, "warning" if self.fell_back else "info", f"{len(self.fell_back)} of {network.num_layers} layers run on the GPU")
        with self.log.handled():
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
        if progress.failure is not None:
            tell(self.show, "warning", f"the progress of the build could not be shown: {progress.failure!r}")
        if data is None:
            raise self._refused(graph)
        self._count_without_range()
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
        if plan.workspace_bytes is not None and plan.tactics_bytes is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.TACTIC_DRAM, plan.tactics_bytes)
            of = f" of this board's {self.offers.gpu.memory_bytes >> 20}" if self.offers.gpu else ""
            tell(
                self.show,
                "info",
                f"memory: a layer's scratch up to {plan.workspace_bytes >> 20} MB, all that is tried up to {plan.tactics_bytes >> 20} MB{of}; "
                "less with --workspace",
            )
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

    def _precisions(self, network: Any) -> None:
        trt, plan = self.library.module, self.plan
        without = trt_network.set_ranges(trt, network, plan.ranges) if plan.ranges else []
        if plan.kept_float:
            chosen, unknown = trt_network.named(network, plan.kept_float)
            self._held |= trt_network.hold(trt, chosen, trt.DataType.HALF)
            if unknown:
                tell(self.show, "warning", f"calibration.json keeps {', '.join(unknown[:5])} in float, which the graph does not have")
        if plan.float32_ends:
            ends = trt_network.ends_of(trt, network, decodes=self.manifest.head.decoded_in_graph)
            self._held |= trt_network.hold(trt, [one for one in ends if not one.name.startswith(CAMERA_PREFIX)], trt.DataType.FLOAT)
            self._held |= trt_network.hold(trt, [one for one in ends if one.name.startswith(CAMERA_PREFIX)], trt.DataType.HALF)
        self.without_range = [name for name in without if name not in self._held]
        if self.without_range:
            listed = ", ".join(self.without_range[:8])
            tell(self.show, "info", f"{len(self.without_range)} tensors have no range and stay out of int8: {listed}")

    def _count_without_range(self) -> None:
        """Tell of the tensors that TensorRT missed a range for, in one line; those held in float or told of before need none."""
        surprises = [name for name in dict.fromkeys(self.log.without_range) if name not in {*self._held, *self.without_range}]
        if surprises and self.plan.ranges:
            listed = ", ".join(surprises[:8])
            tell(
                self.show,
                "warning",
                f"TensorRT found no INT8 range for {len(surprises)} tensors, so the layers around them run in a higher precision: {listed}",
            )

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
        shape = spec.shape()
        profile = builder.create_optimization_profile()
        profile.set_shape(spec.name, shape, shape, shape)
        return profile

    def _timing_cache(self, config: Any) -> Any:
        if not self.plan.timing_cache:
            return None
        path = self._timing_cache_path()
        cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
        if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, ignore_mismatch=False)
        return cache

    def _timing_cache_path(self) -> Path:
        sm = self.offers.gpu.sm if self.offers.gpu else 0
        return self.folder.path / timing_cache_name(self.library.name, self.library.text, sm)

    def _keep_timing_cache(self, config: Any, cache: Any) -> None:
        del cache  # the configuration holds it
        with written_whole(self._timing_cache_path()) as temporary:
            temporary.write_bytes(bytes(config.get_timing_cache().serialize()))

    def _refused(self, graph: Path) -> trt_network.BuildRefused:
        reason = self.log.reason("it gives no reason")
        advice, memory = "", self.log.wants_memory
        if memory:
            gpu = self.offers.gpu
            half = (self.plan.workspace_bytes or (gpu.memory_bytes if gpu else 0)) >> 21
            advice = f". Try --workspace {max(half, 64)}, a smaller size or batch, and close other programs"
        return trt_network.BuildRefused(f"{self.library.title} could not build {graph.name}: {reason}{advice}", memory=memory)


def tell(show: Show | None, level: Level, line: str) -> None:
    """Tell the user a line, where somebody listens."""
    if show is not None:
        show(level, line)
