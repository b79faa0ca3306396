"""`Report` and `Result`: the one schema that every table, chart and comparison reads; later columns join as optional fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from posetrt.runtime.engines.base import PRECISIONS, Precision
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.fields import Fields
from posetrt.runtime.files import read_json

FORMAT = 1
_MANY = 10**9  # frames, rounds, photographs: more than any report has
_SHARES = frozenset({"ap", "ap50", "quantised_layers"})


@dataclass(frozen=True)
class Result:
    """One precision of one network on one device in one power mode. Times in ms, medians unless said otherwise; None: not measured.

    Attributes:
        precision, backend: of the engine.
        network_fps: the network alone, on prepared input.
        end_to_end_fps: source to people, stages overlapped, as `posetrt run` works.
        latency_p50_ms, latency_p90_ms, latency_p99_ms: one frame at a time, from asking the source to people.
        decode_ms, prepare_ms, network_ms, parse_ms, crops_ms: the stages of that latency; the last where hands or faces are looked at.
        enqueue_ms: what a thread needs to put the network on a GPU's stream; as one CUDA graph where the engine allows that.
        gpu_ms, copy_in_ms, copy_out_ms: of the first network on a GPU, by the GPU's own clock, one after the other.
        people_per_frame: found.
        load_s: opening the engine and the first inference.
        memory_mb: growth of this process's memory by them.
        run_peak_mb: peak resident memory of the whole of `posetrt run` on the same frames, in a process of its own.
        engine_mb: size of the engine file; None for a bare graph.
        ap, ap50: where annotated photographs were given.
        delta_ap, delta_ap_low, delta_ap_high: AP less the first precision's, and where 95 % of paired resamples of the photographs lie.
        power_mode: of the board, by name.
        age_p50_ms, age_p90_ms: from a frame leaving its source to its people, overlapped: what a controller behind it sees.
        watts: mean power while overlapped, of what the report's `power_source` says.
        joules_per_frame: energy over that time, integrated, by its frames.
        fps_per_watt: end-to-end frames a second by watts.
        temperature_start_c, temperature_end_c: hottest sensor, first and last.
        throttled: held back by heat, current or power at any moment.
        gpu_mhz, gpu_load: means.
        quantised_layers: share of the engine's layers that really run in INT8, 0 to 1.
        rounds: figure → its value in each round: what intervals are made from.
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
    delta_ap: float | None = None
    delta_ap_low: float | None = None
    delta_ap_high: float | None = None
    power_mode: str | None = None
    age_p50_ms: float | None = None
    age_p90_ms: float | None = None
    watts: float | None = None
    joules_per_frame: float | None = None
    fps_per_watt: float | None = None
    temperature_start_c: float | None = None
    temperature_end_c: float | None = None
    throttled: bool | None = None
    gpu_mhz: float | None = None
    gpu_load: float | None = None
    quantised_layers: float | None = None
    crops_ms: float | None = None
    run_peak_mb: float | None = None
    enqueue_ms: float | None = None
    gpu_ms: float | None = None
    copy_in_ms: float | None = None
    copy_out_ms: float | None = None
    rounds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Precision, with the power mode where there is one."""
        return f"{self.precision} {self.power_mode}" if self.power_mode else str(self.precision)


@dataclass(frozen=True)
class Report:
    """What was measured, on what, from what.

    Attributes:
        model, network, input_wh: the folder's name, its network and input size.
        source, frames, rounds: frames timed in each of the interleaved rounds.
        machine: described by `benchmark.this_machine`; on a Jetson with the whole board under "board".
        results: one for each precision and power mode.
        power_source: where watts come from and what they cover, or "not measured".
        telemetry_cost: share of one core that sampling took.
        photographs: that accuracy was measured on.
        notes: what a reader should know, a sentence each.
    """

    model: str
    network: str
    input_wh: tuple[int, int]
    source: str
    frames: int
    rounds: int
    machine: dict[str, Any]
    results: tuple[Result, ...] = field(default_factory=tuple)
    power_source: str = "not measured"
    telemetry_cost: float | None = None
    photographs: int | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `read_report` reads it back."""
        return {"format": FORMAT, **asdict(self)}


def read_report(path: Path) -> Report:
    """Read a report as `posetrt bench --json` or `--report` wrote it, by this version or an older one.

    Raises:
        PosetrtError: missing, no JSON, or no such report.
    """
    remedy = "Measure again with: posetrt bench FOLDER --report DIR"
    content = read_json(path, "benchmark report")
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise PosetrtError(f"{path} is no benchmark report of format {FORMAT}. {remedy}")
    given = Fields(content, str(path), remedy)
    return Report(
        model=given.text("model"),
        network=given.text("network"),
        input_wh=given.size_wh("input_wh"),
        source=given.text("source"),
        frames=given.whole("frames", 0, _MANY),
        rounds=given.whole("rounds", 0, _MANY),
        machine=_machine(given.inner("machine")),
        results=tuple(map(_result, given.inners("results"))),
        power_source=given.text("power_source", "not measured"),
        telemetry_cost=given.number("telemetry_cost", 0) if "telemetry_cost" in given else None,
        photographs=given.whole("photographs", 0, _MANY) if "photographs" in given else None,
        notes=given.texts("notes", ()),
    )


def _machine(machine: Fields) -> dict[str, Any]:
    """The machine's description, with the names that tables show."""
    if "board" in machine:
        for name in ("module", "jetpack"):
            machine.inner("board").text(name, "unknown")
    else:
        machine.text("cpu")
    return dict(machine.values)


def _result(row: Fields) -> Result:
    """A row, each figure in its range."""
    row.only([one.name for one in fields(Result)])
    values: dict[str, Any] = {
        "precision": row.text("precision", one_of=PRECISIONS),
        "backend": row.text("backend"),
        "power_mode": row.text("power_mode") if "power_mode" in row else None,
        "throttled": row.flag("throttled") if "throttled" in row else None,
        "rounds": {name: row.inner("rounds").numbers(name) for name in row.inner("rounds").values} if "rounds" in row else {},
    }
    for one in fields(Result):
        if one.name not in values and (one.name in row or one.default is MISSING):
            low = -math.inf if one.name.startswith(("delta_", "temperature_")) else 0.0
            values[one.name] = row.number(one.name, low, 1.0 if one.name in _SHARES else math.inf)
    return Result(**values)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def columns(report: Report) -> list[tuple[str, str, list[str]]]:
    """Heading, unit and the cells of each column that any row has: what both the table and the page show."""
    given: list[tuple[str, str, str, list[float | None]]] = []

    def add(heading: str, unit: str, form: str, *, always: bool = False, name: str, scale: float = 1.0) -> None:
        values = [getattr(row, name) for row in report.results]
        if always or any(value is not None for value in values):
            given.append((heading, unit, form, [None if value is None else value * scale for value in values]))

    add("network", "fps", ".1f", always=True, name="network_fps")
    add("end-to-end", "fps", ".1f", always=True, name="end_to_end_fps")
    add("p50", "ms", ".1f", always=True, name="latency_p50_ms")
    add("p90", "ms", ".1f", always=True, name="latency_p90_ms")
    add("p99", "ms", ".1f", always=True, name="latency_p99_ms")
    add("age", "ms", ".1f", name="age_p50_ms")
    add("enqueue", "ms", ".3f", name="enqueue_ms")
    add("GPU", "ms", ".2f", name="gpu_ms")
    add("copy in", "ms", ".3f", name="copy_in_ms")
    add("copy out", "ms", ".3f", name="copy_out_ms")
    add("parse", "ms", ".2f", always=True, name="parse_ms")
    add("hands, face", "ms", ".2f", name="crops_ms")
    add("people", "/frame", ".2f", always=True, name="people_per_frame")
    add("power", "W", ".2f", name="watts")
    add("energy", "mJ/frame", ".1f", name="joules_per_frame", scale=1000)
    add("per watt", "fps/W", ".2f", name="fps_per_watt")
    add("start", "°C", ".1f", name="temperature_start_c")
    add("end", "°C", ".1f", name="temperature_end_c")
    add("engine", "MB", ".1f", always=True, name="engine_mb")
    add("INT8", "% layers", ".0f", name="quantised_layers", scale=100)
    add("load", "s", ".2f", always=True, name="load_s")
    add("memory", "MB", ".1f", always=True, name="memory_mb")
    add("run, peak", "MB", ".0f", name="run_peak_mb")
    add("AP", "", ".3f", always=True, name="ap")
    add("ΔAP", "", "+.3f", name="delta_ap")
    told = [(heading, unit, [_cell(value, form) for value in values]) for heading, unit, form, values in given]
    if any(row.throttled is not None for row in report.results):
        words = {None: "-", True: "yes", False: "no"}
        told.append(("throttled", "", [words[row.throttled] for row in report.results]))
    return told


def table(report: Report) -> str:
    """The report as a table for people."""
    width, height = report.input_wh
    first = [row.label for row in report.results]
    rows = [["precision", "", *first], *([heading, unit, *cells] for heading, unit, cells in columns(report))]
    widths = [max(map(len, row)) for row in rows]
    lines = [
        f"{report.model} ({report.network}, {width}x{height}), {report.frames} frames of {report.source}, "
        f"{report.rounds} interleaved rounds, {machine_name(report)}",
        *(
            "  ".join(f"{row[line]:<{size}}" if row is rows[0] else f"{row[line]:>{size}}" for row, size in zip(rows, widths, strict=True))
            for line in range(len(first) + 2)
        ),
        f"power: {report.power_source}",
    ]
    by_name = {row.precision: row for row in report.results}
    if {"fp32", "fp16"} <= by_name.keys() and by_name["fp16"].backend == "onnxruntime":
        ratio = by_name["fp16"].network_fps / by_name["fp32"].network_fps
        lines.append(f"fp16 on a CPU is for checking, not for speed: {ratio:.2f} times fp32 here.")
    return "\n".join([*lines, *report.notes])


_FORMATS = {"onnxruntime": "ONNX", "tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT for RTX"}


def formats_table(report: Report) -> str:
    """The columns that Ultralytics' `benchmark` prints, so that both can be laid side by side: what ran, its size, accuracy, ms per image."""
    names = [f"{_FORMATS.get(row.backend, row.backend)} {row.label}" for row in report.results]
    widest = max(len("Format"), *map(len, names))
    lines = [f"{'Format':<{widest}}  {'Size (MB)':>9}  {'AP50-95':>7}  {'Inference time (ms/im)':>22}  {'FPS':>7}"]
    for name, row in zip(names, report.results, strict=True):
        size, ap = _cell(row.engine_mb, ".1f"), _cell(row.ap, ".3f")
        lines.append(f"{name:<{widest}}  {size:>9}  {ap:>7}  {1000 / row.network_fps:>22.2f}  {row.network_fps:>7.2f}")
    return "\n".join(lines)


def machine_name(report: Report) -> str:
    """The board where it is one, else the processor."""
    board = report.machine.get("board")
    return f"{board['module']} (JetPack {board['jetpack'] or 'unknown'})" if board else str(report.machine["cpu"])
