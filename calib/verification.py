"""What a machine with a GPU shows of posetrt: engines built, outputs compared with a computer's float32, times, and leaks.

It reads a bundle that a computer at the desk has made (`verification_bundle`): model folders, what ONNX Runtime gave for
them in float32, and a video. So the machine needs neither the onnx package nor ONNX Runtime.
"""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.agreement import agreement
from posetrt.export.build import build
from posetrt.export.request import BuildRequest
from posetrt.runtime import pipeline
from posetrt.runtime.engines.base import Engine, Outputs, Precision
from posetrt.runtime.engines.choose import best_backend, find_engine, open_engine
from posetrt.runtime.engines.tensorrt import TensorRTEngine
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import read_json
from posetrt.runtime.folder import ModelFolder, open_folder
from posetrt.runtime.letterbox import to_input
from posetrt.runtime.parser import PafParser
from posetrt.runtime.people import People
from posetrt.runtime.pose import Pose
from posetrt.runtime.sources import open_source

# Largest difference from float32, as a share of each output's range; int8 is judged by its people.
LIMITS = {"fp32": 1e-3, "fp16": 1e-2}
# Agreement of the people with float32's. What INT8 costs is the graph's affair, and the desk has measured it there: a GPU that rounds to the same
# grid may cost that much and, since another order of additions flips a rounding here and there, little more.
LEAST_OKS, INT8_OKS_LOST = 0.95, 0.05
LEAK_BYTES = 16 << 20
WARM_UP, TIMED = 20, 200

Say = Callable[[str], None]


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

    def fail(self, problem: str) -> None:
        """Note what went wrong."""
        self.passed = False
        self.problem = f"{self.problem}; {problem}" if self.problem else problem


def verify(bundle: Path, backend: str = "auto", *, leak_frames: int = 10_000, say: Say = lambda _line: None) -> dict[str, Any]:
    """Run every check of a bundle on this machine.

    Args:
        bundle: folder that `prepare` made; engines are built into its model folders.
        backend: "auto" takes this machine's best; "onnxruntime" tries the checks without a GPU, and verifies none.
        leak_frames: how many frames the memory is watched for.
        say: told what is being done.

    Returns:
        A report for JSON: "machine", "rows", "video", "leak", "passed", "seconds".

    Raises:
        UsageError: no bundle.
    """
    contents = read_bundle(bundle)
    chosen = best_backend() if backend == "auto" else backend
    began = time.monotonic()
    rows = []
    for name, entry in contents["models"].items():
        folder = open_folder(bundle / "models" / name)
        reference = np.load(bundle / "reference" / f"{name}.npz") if not entry["timing_only"] else None
        for precision in entry["precisions"]:
            say(f"{name} {precision}")
            rows.append(check(name, folder, precision, chosen, reference))
    first, entry = next(iter(contents["models"].items()))
    report: dict[str, Any] = {"machine": machine(chosen), "rows": [asdict(row) for row in rows]}
    say("video")
    report["video"] = _caught(lambda: video(bundle, contents, chosen))
    say(f"{leak_frames} frames")
    report["leak"] = _caught(lambda: leak(bundle / "models" / first, entry["precisions"][-1], chosen, leak_frames))
    report["passed"] = all(row.passed for row in rows) and all(report[part].get("passed", True) for part in ("video", "leak"))
    report["seconds"] = round(time.monotonic() - began, 1)
    return report


def read_bundle(bundle: Path) -> dict[str, Any]:
    """What a bundle holds.

    Raises:
        UsageError: it is none.
    """
    path = bundle / "bundle.json"
    if not path.is_file():
        raise UsageError(f"{bundle} is no bundle: make one at the desk with: posetrt verify-gpu {bundle} --prepare --photographs DIR")
    fields: dict[str, Any] = read_json(path, "bundle")
    return fields


def check(name: str, folder: ModelFolder, precision: Precision, backend: str, reference: Any) -> Row:
    """Build a model in a precision, compare it and time it."""
    row = Row(name, precision)
    try:
        # Without TF32: it keeps ten bits of what float32 has, and would be compared with float32.
        wish = BuildRequest(precision, tf32=False) if backend != "onnxruntime" else None
        path, sidecar = build(folder, precision, backend, wish=wish)
        row.build_s, row.engine_mb = sidecar.build_s, path.stat().st_size / 1e6
        with open_engine(path) as engine:
            if reference is not None:
                _compare(row, engine, reference)
            _time(row, engine)
        _layers(row, folder, precision, backend)
    except PosetrtError as error:
        row.fail(str(error))
    return row


def _compare(row: Row, engine: Engine, reference: Any) -> None:
    parser = PafParser(engine.manifest.skeleton)
    ours: list[People] = []
    theirs: list[People] = []
    worst = 0.0
    for index in range(int(reference["count"])):
        expected = {role: reference[f"{role}_{index}"] for role in engine.manifest.outputs.present()}
        outputs = engine.infer(to_input(reference[f"canvas_{index}"], engine.manifest.input))
        ours += parser.parse_outputs(outputs)
        theirs += parser.parse_outputs(Outputs(**expected))
        for role, wanted in expected.items():
            got = np.asarray(getattr(outputs, role), np.float32)
            worst = max(worst, float(np.abs(got - wanted).max() / max(float(np.ptp(wanted)), 1e-9)))
    row.oks = agreement(theirs, ours, engine.manifest.skeleton).oks
    # Two peaks of one height may change places: slots are compared by the people that they come to.
    row.difference = None if engine.manifest.decodes else worst
    limit = LIMITS.get(row.precision)
    if limit is not None and row.difference is not None and not row.difference <= limit:
        row.fail(f"differs from float32 by {row.difference:.2g} of the range, more than {limit:g}")
    row.least_oks = LEAST_OKS
    if row.precision == "int8" and "int8_oks" in reference:
        row.least_oks = min(LEAST_OKS, float(reference["int8_oks"]) - INT8_OKS_LOST)
    if not row.oks >= row.least_oks:
        row.fail(f"its people agree with float32's by {row.oks:.3f} OKS, less than {row.least_oks:.3f}")


def _time(row: Row, engine: Engine) -> None:
    frame = _canvas(engine)
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


def _canvas(engine: Engine) -> Any:
    width, height = engine.manifest.input.size_wh
    canvas: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return to_input(canvas, engine.manifest.input)


def video(bundle: Path, contents: dict[str, Any], backend: str) -> dict[str, Any]:
    """The bundle's video end to end, for each model with reference outputs: frames a second, people, share of the stages."""
    if not contents["video"]:
        return {"skipped": "the bundle has no video"}
    found: dict[str, Any] = {"passed": True, "models": {}}
    for name, entry in contents["models"].items():
        if entry["timing_only"]:
            continue
        precision = "int8" if "int8" in entry["precisions"] else entry["precisions"][-1]
        with Pose(open_engine(bundle / "models" / name, precision, backend)) as pose:
            stats = pipeline.run(pose, [open_source(bundle / contents["video"])], [])
        found["models"][f"{name} {precision}"] = {
            "frames": stats.frames,
            "people": stats.people,
            "fps": stats.fps,
            "network_ms": 1000 * stats.stages["network"].busy_s / max(stats.frames, 1),
            "parse_ms": 1000 * stats.stages["parser"].busy_s / max(stats.frames, 1),
        }
        found["passed"] &= stats.frames > 0
    return found


def leak(folder: Path, precision: str, backend: str, frames: int) -> dict[str, Any]:
    """Memory of the device and of the process before and after many frames, and after opening the engine again and again."""
    with open_engine(folder, precision, backend) as engine:
        frame = _canvas(engine)
        for _ in range(WARM_UP):
            engine.infer(frame)
        before = _memory(engine)
        for _ in range(frames):
            engine.infer(frame)
        after = _memory(engine)
    grown = {what: after[what] - before[what] for what in before}
    return {"frames": frames, "grown_bytes": grown, "passed": all(size <= LEAK_BYTES for size in grown.values())}


def _memory(engine: Engine) -> dict[str, int]:
    """Bytes in use: of the process now, and of the device where there is one."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    used = {"process": pages * resource.getpagesize()}
    if isinstance(engine, TensorRTEngine):
        used["device"] = -engine.free_bytes()
    return used


def machine(backend: str) -> dict[str, Any]:
    """This machine, as far as results depend on it."""
    described: dict[str, Any] = {"backend": backend, "python": platform.python_version(), "machine": platform.machine(), "gpu": None}
    if backend != "onnxruntime":
        from posetrt.runtime.engines import driver
        from posetrt.runtime.engines.library import as_library, installed

        found = driver.probe()
        described |= {
            "gpu": asdict(found.gpus[0]),
            "driver_cuda": list(found.cuda),
            "library": installed(as_library(backend)).title,
            "board": driver.board_name(),
        }
    return described


def _caught(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except PosetrtError as error:
        return {"passed": False, "problem": str(error)}


def table(report: dict[str, Any]) -> str:
    """The report's rows as Markdown, for docs/verified.md."""

    def cell(value: Any, form: str) -> str:
        return "–" if value is None else format(value, form)

    lines = [
        "| model | precision | differs by | OKS | network ms | frame ms | copies | fps, in flight | runs in it | result |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        copies = None
        if row["network_ms"] is not None:
            copied = row["upload_ms"] + row["download_ms"]
            copies = copied / (copied + row["network_ms"])
        cells = [
            row["model"],
            row["precision"],
            cell(row["difference"], ".1e"),
            cell(row["oks"], ".3f"),
            cell(row["network_ms"], ".2f"),
            cell(row["frame_ms"], ".2f"),
            cell(copies, ".0%"),
            cell(row["in_flight_fps"], ".0f"),
            cell(row["share"], ".0%"),
            "passed" if row["passed"] else f"failed: {row['problem']}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
