"""One model in one precision on a machine with a GPU: built, compared with a computer's float32, timed, and told as a row."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.agreement import agreement
from posetrt.export.engine.build import build
from posetrt.export.engine.request import BuildRequest
from posetrt.runtime.engines.base import Engine, Precision
from posetrt.runtime.engines.choose import find_engine, open_engine
from posetrt.runtime.engines.tensorrt import TensorRTEngine
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.people import People
from posetrt.runtime.picture import to_input

# Largest difference from float32, as a share of each output's range; int8 is judged by its people.
LIMITS = {"fp32": 1e-3, "fp16": 1e-2}
FP16_MORE = 2.0
"""How much further than the folder's own fp16 graph on a computer a GPU's float16 may be from float32: it adds up in another order."""
# Agreement of the people with float32's. What INT8 costs is the graph's affair, and the desk has measured it there: a GPU that rounds to the same
# grid may cost that much and, since another order of additions flips a rounding here and there, little more.
LEAST_OKS, INT8_OKS_LOST = 0.95, 0.05
WARM_UP, TIMED = 20, 200


@dataclass
class Row:
    """What was found of one model in one precision; None where it was not measured, and `problem` says why it failed.

    Attributes:
        build_s, engine_mb: of the engine.
        difference: largest difference from float32, over the output's range; the worst output.
        oks: agreement of the people with those of float32.
        least_oks: what it must reach: 0.95; in int8 0.05 less than the same graph reaches at the desk, where that is less.
        share: of the computing layers that run in the precision asked for.
        layers: computing layers by precision.
        upload_ms, network_ms, download_ms: medians by the GPU's clock, one after the other.
        frame_ms: median of one `infer` by the computer's clock.
        in_flight_fps: frames a second with as many in flight as the engine takes.
        runtime: what else ran the graph, for comparison; empty for an engine of ours.
        notes: what was told: a fall-back that a build took, tensors without a range, why there are no CUDA graphs.
    """

    model: str
    precision: str
    passed: bool = True
    problem: str = ""
    build_s: float | None = None
    engine_mb: float | None = None
    difference: float | None = None
    oks: float | None = None
    least_oks: float | None = None
    share: float | None = None
    layers: dict[str, int] = field(default_factory=dict)
    upload_ms: float | None = None
    network_ms: float | None = None
    download_ms: float | None = None
    frame_ms: float | None = None
    in_flight_fps: float | None = None
    runtime: str = ""
    notes: list[str] = field(default_factory=list)

    def fail(self, problem: str) -> None:
        """Note what went wrong."""
        self.passed = False
        self.problem = f"{self.problem}; {problem}" if self.problem else problem


def check(name: str, folder: ModelFolder, precision: Precision, backend: str, reference: Any, *, explicit_qdq: bool = False) -> Row:
    """Build a model in a precision, compare it and time it.

    Args:
        explicit_qdq: int8 from the Q/DQ graph where this TensorRT takes ranges too.
    """
    row = Row(name, precision)
    if explicit_qdq:
        row.notes.append("--explicit-qdq")
    try:
        # Without TF32: it keeps ten bits of what float32 has, and would be compared with float32.
        wish = BuildRequest(precision, tf32=False, explicit_qdq=explicit_qdq) if backend != "onnxruntime" else None
        path, sidecar = build(folder, precision, backend, wish=wish, show=lambda level, line: row.notes.append(f"{level}: {line}"))
        row.build_s, row.engine_mb = sidecar.build_s, path.stat().st_size / 1e6
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            with open_engine(path) as engine:
                if reference is not None:
                    _compare(row, engine, reference)
                _time(row, engine)
        row.notes += [str(one.message) for one in told if one.category is RuntimeWarning]
        _layers(row, folder, precision, backend)
    except PosetrtError as error:
        row.fail(str(error))
    return row


def _compare(row: Row, engine: Engine, reference: Any) -> None:
    manifest = engine.manifest
    decoder = manifest.head.decoder(manifest.skeleton)
    ours: list[People] = []
    theirs: list[People] = []
    worst = 0.0
    for index in range(int(reference["count"])):
        expected = {
            name: reference[f"output_{number}_{index}"] for number, name in enumerate(dict.fromkeys(manifest.head.outputs.values()))
        }
        tensors = engine.infer(to_input(reference[f"canvas_{index}"], manifest.input))
        ours += decoder.decode(tensors, manifest.input.size_wh)
        theirs += decoder.decode(expected, manifest.input.size_wh)
        for name, wanted in expected.items():
            got = np.asarray(tensors[name], np.float32)
            worst = max(worst, float(np.abs(got - wanted).max() / max(float(np.ptp(wanted)), 1e-9)))
    row.oks = agreement(theirs, ours, manifest.skeleton).oks
    # Two peaks of one height may change places: slots are compared by the people that they come to.
    row.difference = None if manifest.head.decoded_in_graph else worst
    limit = LIMITS.get(row.precision)
    if row.precision == "fp16" and "fp16_difference" in reference:
        # What float16 costs is the graph's affair: raw boxes and rows reach far where nobody is.
        limit = max(limit or 0.0, FP16_MORE * float(reference["fp16_difference"]))
    if limit is not None and row.difference is not None and not row.difference <= limit:
        row.fail(f"differs from float32 by {row.difference:.2g} of the range, more than {limit:g}")
    row.least_oks = LEAST_OKS
    if row.precision == "int8" and "int8_oks" in reference:
        row.least_oks = min(LEAST_OKS, float(reference["int8_oks"]) - INT8_OKS_LOST)
    if not row.oks >= row.least_oks:
        row.fail(f"its people agree with float32's by {row.oks:.3f} OKS, less than {row.least_oks:.3f}")


def _time(row: Row, engine: Engine) -> None:
    frame = some_input(engine)
    for _ in range(WARM_UP):
        engine.infer(frame)
    times = []
    for _ in range(TIMED):
        began = time.perf_counter()
        engine.infer(frame)
        times.append(time.perf_counter() - began)
    row.frame_ms = 1000 * float(np.median(times))
    began = time.perf_counter()
    waiting = 0
    for _ in range(TIMED):
        if waiting == engine.frames_in_flight:
            engine.collect()
            waiting -= 1
        engine.submit(frame)
        waiting += 1
    for _ in range(waiting):
        engine.collect()
    row.in_flight_fps = TIMED / (time.perf_counter() - began)
    if isinstance(engine, TensorRTEngine):
        parts = [engine.parts_ms(frame) for _ in range(TIMED // 4)]
        row.upload_ms, row.network_ms, row.download_ms = (
            float(np.median([part[name] for part in parts])) for name in ("upload", "network", "download")
        )


def _layers(row: Row, folder: ModelFolder, precision: Precision, backend: str) -> None:
    if backend == "onnxruntime":
        return
    from posetrt.runtime.engines.layers import layers_of, share
    from posetrt.runtime.engines.library import as_library, installed

    path, _ = find_engine(folder, precision, backend)
    try:
        layers = layers_of(path, installed(as_library(backend)))
    except PosetrtError as error:
        row.problem = f"layers not shown: {error}"  # what an inspector lacks does not fail an engine that computes
        return
    row.share = share(layers, precision)[0]
    for layer in layers:
        if layer.computes:
            row.layers[layer.precision] = row.layers.get(layer.precision, 0) + 1


def some_input(engine: Engine) -> Any:
    """A random picture as the network takes it, the same each time."""
    width, height = engine.manifest.input.picture_wh
    canvas: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return to_input(canvas, engine.manifest.input)


def table(report: dict[str, Any]) -> str:
    """The report's rows as Markdown, for docs/measurements/verified.md."""

    def cell(value: Any, form: str) -> str:
        return "–" if value is None else format(value, form)

    lines = [
        "| model | precision | differs by | OKS | network ms | frame ms | copies | fps, in flight | runs in it | result |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in [*report["rows"], *report.get("others", [])]:
        copies = None
        if row["network_ms"] is not None:
            copied = row["upload_ms"] + row["download_ms"]
            copies = copied / (copied + row["network_ms"])
        asked = f"{row['precision']}, {row['runtime']}" if row["runtime"] else row["precision"]
        verdict = "passed" if row["passed"] else f"failed: {row['problem']}"
        cells = [
            row["model"],
            f"{asked} --explicit-qdq" if "--explicit-qdq" in row["notes"] else asked,
            cell(row["difference"], ".1e"),
            cell(row["oks"], ".3f"),
            cell(row["network_ms"], ".2f"),
            cell(row["frame_ms"], ".2f"),
            cell(copies, ".0%"),
            cell(row["in_flight_fps"], ".0f"),
            cell(row["share"], ".0%"),
            (row["problem"] or "for comparison") if row["runtime"] else verdict,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    told = [f"- {row['model']} {row['precision']}: {note}" for row in report["rows"] for note in row["notes"] if note != "--explicit-qdq"]
    return "\n".join([*lines, *(["", "What was told meanwhile:", "", *told] if told else [])])
