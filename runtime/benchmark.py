"""fps, latency and memory of a network's precisions, interleaved in one process so that rows compare.

`Report` and `Result` are the one schema that every table, chart and comparison reads; later columns join as optional fields.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from posetrt.runtime import pipeline
from posetrt.runtime.engines.base import PRECISIONS, Precision
from posetrt.runtime.engines.choose import as_precision, built_engines, default_precision, why_not
from posetrt.runtime.errors import EngineMismatch, PosetrtError
from posetrt.runtime.folder import open_folder
from posetrt.runtime.pose import Pose, open_pose
from posetrt.runtime.sources import Frame, Source

FORMAT = 1


@dataclass(frozen=True)
class Result:
    """One precision of one network on one device. Times in ms, medians unless said otherwise.

    Attributes:
        precision, backend: of the engine.
        network_fps: the network alone, on prepared input.
        end_to_end_fps: source to people, stages overlapped, as `posetrt run` works.
        latency_p50_ms, latency_p90_ms, latency_p99_ms: one frame at a time, from asking the source to people.
        decode_ms, prepare_ms, network_ms, parse_ms: the stages of that latency.
        people_per_frame: found.
        engine_mb: size of the engine file; None for a bare graph.
        load_s: opening the engine and the first inference.
        memory_mb: growth of this process's memory by them.
        ap, ap50: where annotated photographs were given.
    """

    precision: Precision
    backend: str
    network_fps: float
    end_to_end_fps: float
    latency_p50_ms: float
    latency_p90_ms: float
    latency_p99_ms: float
    decode_ms: float
    prepare_ms: float
    network_ms: float
    parse_ms: float
    people_per_frame: float
    load_s: float
    memory_mb: float
    engine_mb: float | None = None
    ap: float | None = None
    ap50: float | None = None


@dataclass(frozen=True)
class Report:
    """What was measured, on what, from what.

    Attributes:
        model, network, input_wh: the folder's name, its network and input size.
        source, frames, rounds: frames timed in each of the interleaved rounds.
        machine: described by `this_machine`.
        results: one a precision.
    """

    model: str
    network: str
    input_wh: tuple[int, int]
    source: str
    frames: int
    rounds: int
    machine: dict[str, Any]
    results: tuple[Result, ...] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"format": FORMAT, **asdict(self)}


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
    if not fitting:
        told = "; ".join(f"{name} {reason}" for name, reason in reasons.items()) or f"{path} has no engine for this device yet"
        raise EngineMismatch(f"{told}. Build one with: posetrt build {path} --precision {default_precision(folder)}")
    return [precision for precision in PRECISIONS if precision in fitting]


@dataclass
class _Timing:
    """One precision under measurement: what each round adds."""

    pose: Pose
    load_s: float
    memory_mb: float
    network_s: list[float] = field(default_factory=list)
    stages_s: list[tuple[float, float, float, float]] = field(default_factory=list)
    end_to_end_fps: list[float] = field(default_factory=list)
    people: int = 0
    frames: int = 0


def measure(
    path: Path,
    source: Source,
    source_name: str,
    *,
    precisions: Sequence[Precision | None] = (None,),
    backend: str = "auto",
    threads: int = 0,
    frames: int = 60,
    rounds: int = 3,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Time a network's precisions against each other.

    Each round runs every precision once over the same frames, three ways: the network alone; one frame at a time; and
    overlapped as `posetrt run` works. Rounds are interleaved so that a slow minute of the machine meets all precisions.

    Args:
        path: a model folder, a bare .onnx or an engine.
        source: read again in each round.
        source_name: for the report.
        precisions: as `precisions_of` gave them.
        frames: of the source that a round uses.
        rounds: at least 1.

    Raises:
        PosetrtError: the source has no frame.
    """
    kept = _first(source, frames)
    timings = [_open(path, precision, backend, threads, kept[0]) for precision in precisions]
    try:
        for number in range(rounds):
            for timing in timings:
                if progress is not None:
                    progress(f"round {number + 1} of {rounds}: {timing.pose.engine.precision}")
                _network_round(timing, kept)
                _latency_round(timing, source, frames)
                _end_to_end_round(timing, source, frames)
        manifest = timings[0].pose.manifest
        return Report(
            model=path.name,
            network=manifest.network,
            input_wh=manifest.input.size_wh,
            source=source_name,
            frames=len(kept),
            rounds=rounds,
            machine=this_machine(),
            results=tuple(_result(timing, path) for timing in timings),
        )
    finally:
        for timing in timings:
            timing.pose.close()


def with_accuracy(result: Result, ap: float, ap50: float) -> Result:
    """The same row with its accuracy."""
    return replace(result, ap=ap, ap50=ap50)


def table(report: Report) -> str:
    """The report as a table for people."""
    input_width, input_height = report.input_wh
    columns: list[tuple[str, str, int]] = [("precision", "", -10), ("network", "fps", 9), ("end-to-end", "fps", 11), ("p50", "ms", 7)]
    columns += [
        ("p99", "ms", 7),
        ("parse", "ms", 7),
        ("people", "/frame", 7),
        ("engine", "MB", 8),
        ("load", "s", 6),
        ("memory", "MB", 8),
        ("AP", "", 6),
    ]
    lines = [
        f"{report.model} ({report.network}, {input_width}x{input_height}), {report.frames} frames of {report.source}, "
        f"{report.rounds} interleaved rounds, {report.machine['cpu']}",
        *(
            " ".join(f"{column[line]:<{-column[2]}}" if column[2] < 0 else f"{column[line]:>{column[2]}}" for column in columns)
            for line in (0, 1)
        ),
    ]
    for row in report.results:
        engine = f"{row.engine_mb:8.1f}" if row.engine_mb is not None else f"{'-':>8}"
        ap = f"{row.ap:6.3f}" if row.ap is not None else f"{'-':>6}"
        lines.append(
            f"{row.precision:<10} {row.network_fps:9.1f} {row.end_to_end_fps:11.1f} {row.latency_p50_ms:7.1f} {row.latency_p99_ms:7.1f} "
            f"{row.parse_ms:7.2f} {row.people_per_frame:7.2f} {engine} {row.load_s:6.2f} {row.memory_mb:8.1f} {ap}"
        )
    by_name = {row.precision: row for row in report.results}
    if {"fp32", "fp16"} <= by_name.keys() and by_name["fp16"].backend == "onnxruntime":
        ratio = by_name["fp16"].network_fps / by_name["fp32"].network_fps
        lines.append(f"fp16 on a CPU is for checking, not for speed: {ratio:.2f} times fp32 here.")
    return "\n".join(lines)


def _first(source: Source, frames: int) -> list[Frame]:
    kept = []
    for frame in source:
        kept.append(frame)
        if len(kept) == frames:
            break
    if not kept:
        raise PosetrtError("the source gave no frame to measure with")
    return kept


def _open(path: Path, precision: Precision | None, backend: str, threads: int, frame: Frame) -> _Timing:
    before = _resident_mb()
    started = time.perf_counter()
    pose = open_pose(path, precision, backend, threads=threads)
    pose(frame.image)
    return _Timing(pose, time.perf_counter() - started, _resident_mb() - before)


def _network_round(timing: _Timing, kept: list[Frame]) -> None:
    prepared = [timing.pose.prepare(frame.image).tensor for frame in kept[:8]]
    timing.pose.engine.infer(prepared[0])
    for index in range(len(kept)):
        started = time.perf_counter()
        timing.pose.engine.infer(prepared[index % len(prepared)])
        timing.network_s.append(time.perf_counter() - started)


def _latency_round(timing: _Timing, source: Source, frames: int) -> None:
    iterator = iter(source)
    for _ in range(frames):
        asked = time.perf_counter()
        frame = next(iterator, None)
        if frame is None:
            break
        decoded = time.perf_counter()
        ready = timing.pose.prepare(frame.image)
        prepared = time.perf_counter()
        outputs = timing.pose.engine.infer(ready.tensor)
        inferred = time.perf_counter()
        people = timing.pose.finish(outputs, ready.box)
        parsed = time.perf_counter()
        timing.stages_s.append((decoded - asked, prepared - decoded, inferred - prepared, parsed - inferred))
        timing.people += len(people)
        timing.frames += 1


def _end_to_end_round(timing: _Timing, source: Source, frames: int) -> None:
    stats = pipeline.RunStats()
    results = pipeline.results(timing.pose, source, stats)
    for _ in results:
        if stats.frames == frames:
            break
    results.close()
    timing.end_to_end_fps.append(stats.fps)


def _result(timing: _Timing, path: Path) -> Result:
    stages = np.asarray(timing.stages_s) * 1000
    latency = stages.sum(axis=1)
    decode, prepare, network, parse = np.median(stages, axis=0)
    engine = timing.pose.engine
    size = None
    if path.is_dir():
        size = min(file.stat().st_size for file, s in built_engines(open_folder(path), engine.precision, engine.backend).items()) / 1e6
    return Result(
        precision=engine.precision,
        backend=engine.backend,
        network_fps=round(1 / float(np.median(timing.network_s)), 2),
        end_to_end_fps=round(float(np.median(timing.end_to_end_fps)), 2),
        latency_p50_ms=round(float(np.percentile(latency, 50)), 3),
        latency_p90_ms=round(float(np.percentile(latency, 90)), 3),
        latency_p99_ms=round(float(np.percentile(latency, 99)), 3),
        decode_ms=round(float(decode), 3),
        prepare_ms=round(float(prepare), 3),
        network_ms=round(float(network), 3),
        parse_ms=round(float(parse), 3),
        people_per_frame=round(timing.people / max(1, timing.frames), 3),
        load_s=round(timing.load_s, 3),
        memory_mb=round(timing.memory_mb, 1),
        engine_mb=round(size, 2) if size is not None else None,
    )


def _resident_mb() -> float:
    """Resident memory of this process, from /proc; 0 where there is none."""
    try:
        fields = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in fields if line.startswith("VmRSS:")), 0.0)
