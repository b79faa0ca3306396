"""Measure fps, latency, age, memory and energy of a network's precisions, interleaved in one process so that rows compare."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.bench.benchmark_report import Report, Result
from posetrt.bench.timing import Timing, end_to_end_round, first_frames, latency_round, network_round, open_timed, parts_round, warm_up
from posetrt.runtime.engines.base import PRECISIONS, Precision
from posetrt.runtime.engines.choose import as_precision, best_backend, build_command, built_engines, default_precision, why_not
from posetrt.runtime.errors import EngineMismatch
from posetrt.runtime.model.folder import ModelFolder, open_folder
from posetrt.runtime.model.shipped import shipped_name
from posetrt.runtime.model.sidecar import manifest_of
from posetrt.runtime.pose import PoseOptions, open_pose, with_changes
from posetrt.runtime.sources import Source
from posetrt.runtime.telemetry import Telemetry, Usage, together


def this_machine() -> dict[str, Any]:
    """Processor, cores, operating system and Python, from the machine itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))), platform.processor() or "unknown"
    )
    cores = sum(line.startswith("processor") for line in lines)
    return {"cpu": name, "cores": cores, "machine": platform.machine(), "system": platform.platform(), "python": platform.python_version()}


def precisions_of(path: Path, asked: Sequence[str] | None = None, backend: str = "auto") -> list[Precision | None]:
    """The precisions to measure: those asked for, else all of a folder's engines that fit this device.

    Returns:
        Precisions in the order fp32, fp16, int8; [None] for a bare .onnx or an engine file, which has one of its own.

    Raises:
        EngineMismatch: nothing was built, or nothing fits.
    """
    if not path.is_dir():
        return [as_precision(name) for name in asked] if asked else [None]
    if asked:
        return [precision for precision in PRECISIONS if precision in asked]
    folder = open_folder(path)
    hashes = folder.hashes()
    engines = built_engines(folder, backend=backend)
    reasons = {engine.name: why_not(engine, sidecar, hashes) for engine, sidecar in engines.items()}
    fitting = {sidecar.precision for engine, sidecar in engines.items() if reasons[engine.name] is None}
    if shipped_name(folder.path) and (best_backend() if backend == "auto" else backend) == "onnxruntime":
        # Its graphs run without a build; there is one of float16 only after one.
        fitting |= {"fp32", "int8"}
    if not fitting:
        told = "; ".join(f"{name} {reason}" for name, reason in reasons.items()) or f"{path} has no engine for this device yet"
        raise EngineMismatch(f"{told}. Build one with: {build_command(path, default_precision(folder), backend)}")
    return [precision for precision in PRECISIONS if precision in fitting]


@dataclass(frozen=True)
class MeasureOptions:
    """How a measurement is made.

    Attributes:
        precisions: as `precisions_of` gave them.
        pose: how the networks are opened; its precision is left to `precisions`.
        frames: of the source that a round uses.
        rounds: at least 1.
        round_s: the overlapped part of a round lasts so long at least, going through the source again: watts need seconds.
        telemetry: measures watts and temperatures beside it; None leaves them out.
        power_mode: for the report.
        settle: called before each precision's turn: waits until the device is as cool as before.
        progress: takes a line per round.
    """

    precisions: Sequence[Precision | None] = (None,)
    pose: PoseOptions = field(default_factory=PoseOptions)
    frames: int = 60
    rounds: int = 3
    round_s: float = 0.0
    telemetry: Telemetry | None = None
    power_mode: str | None = None
    settle: Callable[[], object] | None = None
    progress: Callable[[str], None] | None = None


def measure(path: Path, source: Source, source_name: str, options: MeasureOptions | None = None) -> Report:
    """Time a network's precisions against each other.

    Each round runs every precision once over the same frames, three ways: the network alone; one frame at a time; and
    overlapped as `posetrt run` works. Rounds are interleaved so that a slow minute of the machine meets all precisions.

    Args:
        path: a model folder, a bare .onnx or an engine.
        source: read again in each round.
        source_name: for the report.
        options: how; a network for crops is shown the whole frame as one crop where no boxes are given.

    Raises:
        PosetrtError: the source has no frame.
    """
    wish = options or MeasureOptions()
    telemetry = wish.telemetry
    kept = first_frames(source, wish.frames)
    pose = wish.pose
    if pose.boxes is None and pose.detector is None and path.exists() and manifest_of(path).head.scope == "crop":
        pose = replace(pose, boxes="whole")
    timings = [open_timed(partial(open_pose, path, with_changes(pose, {"precision": one})), kept[0]) for one in wish.precisions]
    for timing in timings:
        warm_up(timing, kept[0])
    try:
        for number in range(wish.rounds):
            for timing in timings:
                if wish.progress is not None:
                    wish.progress(f"round {number + 1} of {wish.rounds}: {timing.pose.people_engine.precision}")
                if wish.settle is not None:
                    wish.settle()
                network_round(timing, kept)
                parts_round(timing, kept)
                latency_round(timing, source, wish.frames)
                end_to_end_round(timing, source, wish.frames, wish.round_s)
                timing.ends.append((len(timing.network_s), len(timing.stages_s)))
        manifest = timings[0].pose.manifest
        return Report(
            model=shipped_name(path) or path.name,
            network=manifest.network,
            input_wh=manifest.input.size_wh,
            source=source_name,
            frames=len(kept),
            rounds=wish.rounds,
            machine=this_machine(),
            results=tuple(_result(timing, path, telemetry, wish.power_mode) for timing in timings),
            power_source=telemetry.source if telemetry is not None else "not measured",
            telemetry_cost=telemetry.cost() if telemetry is not None else None,
        )
    finally:
        for timing in timings:
            timing.pose.close()


def _result(timing: Timing, path: Path, telemetry: Telemetry | None, power_mode: str | None) -> Result:
    stages = np.asarray(timing.stages_s) * 1000
    latency = stages.sum(axis=1)
    decode, prepare, network, parse, crops = np.median(stages, axis=0)
    engine = timing.pose.people_engine
    size = None
    if path.is_dir():
        built = built_engines(ModelFolder(path), engine.precision, engine.backend)
        sizes = [file.stat().st_size for file in built if file.is_file()]
        size = min(sizes) / 1e6 if sizes else None
    end_to_end = float(np.median([stretch.fps for stretch in timing.overlapped]))
    usages = [telemetry.between(stretch.start_s, stretch.end_s) for stretch in timing.overlapped] if telemetry is not None else []
    usage = together(usages)
    frames = sum(stretch.frames for stretch in timing.overlapped)
    parts = {name: float(np.median([one[name] for one in timing.parts_ms])) for name in (timing.parts_ms or [{}])[0]}
    return Result(
        precision=engine.precision,
        backend=engine.backend,
        network_fps=round(1 / float(np.median(timing.network_s)), 2),
        end_to_end_fps=round(end_to_end, 2),
        latency_p50_ms=round(float(np.percentile(latency, 50)), 3),
        latency_p90_ms=round(float(np.percentile(latency, 90)), 3),
        latency_p99_ms=round(float(np.percentile(latency, 99)), 3),
        decode_ms=round(float(decode), 3),
        prepare_ms=round(float(prepare), 3),
        network_ms=round(float(network), 3),
        parse_ms=round(float(parse), 3),
        crops_ms=round(float(crops), 3) if timing.pose.stages else None,
        enqueue_ms=_rounded(parts.get("enqueue"), 4),
        gpu_ms=_rounded(parts.get("network"), 4),
        copy_in_ms=_rounded(parts.get("upload"), 4),
        copy_out_ms=_rounded(parts.get("download"), 4),
        people_per_frame=round(timing.people / max(1, timing.frames), 3),
        load_s=round(timing.load_s, 3),
        memory_mb=round(timing.memory_mb, 1),
        engine_mb=round(size, 2) if size is not None else None,
        power_mode=power_mode,
        age_p50_ms=round(float(np.percentile(timing.ages_s, 50)) * 1000, 3),
        age_p90_ms=round(float(np.percentile(timing.ages_s, 90)) * 1000, 3),
        watts=_rounded(usage.watts, 3),
        joules_per_frame=_rounded(usage.joules / frames if usage.joules is not None else None, 6),
        fps_per_watt=_rounded(end_to_end / usage.watts if usage.watts else None, 3),
        temperature_start_c=_rounded(usage.temperature_start_c, 1),
        temperature_end_c=_rounded(usage.temperature_end_c, 1),
        throttled=usage.throttled,
        gpu_mhz=_rounded(usage.gpu_mhz, 1),
        gpu_load=_rounded(usage.gpu_load, 3),
        rounds=_by_round(timing, latency, usages),
    )


def _by_round(timing: Timing, latency_ms: NDArray[np.float64], usages: Sequence[Usage]) -> dict[str, tuple[float, ...]]:
    """The figures that a comparison makes intervals of, once for each round."""
    ends = timing.ends
    spans = [(slice(a, c), slice(b, d)) for (a, b), (c, d) in pairwise([(0, 0), *ends])]
    told = {
        "network_fps": tuple(round(1 / float(np.median(timing.network_s[inferences])), 3) for inferences, _ in spans),
        "end_to_end_fps": tuple(round(stretch.fps, 3) for stretch in timing.overlapped),
        "latency_p50_ms": tuple(round(float(np.median(latency_ms[latencies])), 3) for _, latencies in spans),
    }
    watts = [usage.watts for usage in usages]
    if watts and None not in watts:
        told["watts"] = tuple(round(value, 3) for value in watts if value is not None)
    return told


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
