"""What a machine with a GPU shows of posetrt: engines built, outputs compared with a computer's float32, times, and leaks.

It reads a bundle that a computer at the desk has made (`verification_bundle`): model folders, what ONNX Runtime gave for
them in float32, and a video. So the machine needs neither the onnx package nor ONNX Runtime.
"""

from __future__ import annotations

import platform
import resource
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.bench.other_runtimes import others
from posetrt.bench.verification_row import WARM_UP, check, some_input
from posetrt.runtime.engines.base import PRECISIONS, Engine, Precision
from posetrt.runtime.engines.choose import EngineOptions, best_backend, find_engine, open_engine
from posetrt.runtime.engines.tensorrt import TensorRTEngine, open_built
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.fields import is_plain_name, read_fields
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.pose import PoseOptions, open_pose
from posetrt.runtime.sources import open_source

LEAK_BYTES = 16 << 20
LEAK_SAMPLES = 20

Say = Callable[[str], None]


def verify(
    bundle: Path, backend: str = "auto", *, leak_frames: int = 10_000, minutes: float | None = None, say: Say = lambda _line: None
) -> dict[str, Any]:
    """Run every check of a bundle on this machine.

    Args:
        bundle: folder that `prepare` made; engines are built into its model folders.
        backend: "auto" takes this machine's best; "onnxruntime" tries the checks without a GPU, and verifies none.
        leak_frames: how many frames the memory is watched for.
        minutes: what has not begun by then is left out, and the report says so; None: everything is done, however long it takes.
        say: told what is being done.

    Returns:
        A report for JSON: "machine", "rows", "others" (the same graphs on other runtimes), "video", "leak", "memory", "failed_load", "passed", "seconds".

    Raises:
        UsageError: no bundle.
    """
    contents = read_bundle(bundle)
    chosen = best_backend() if backend == "auto" else backend
    began = time.monotonic()
    rows, left_out = [], []

    def late(what: str) -> bool:
        over = minutes is not None and time.monotonic() - began > 60 * minutes
        if over:
            left_out.append(what)
            say(f"{what} is left out: the {minutes:g} minutes are over")
        return over

    for name, entry in contents["models"].items():
        folder = open_folder(bundle / "models" / name)
        reference = _reference(bundle, name, entry)
        for precision in entry["precisions"]:
            if late(f"{name} {precision}"):
                continue
            if precision == "int8" and reference is not None and takes_both(chosen):
                say(f"{name} {precision} --explicit-qdq")
                rows.append(check(name, folder, precision, chosen, reference, explicit_qdq=True))
            say(f"{name} {precision}")
            rows.append(check(name, folder, precision, chosen, reference))
    beside = []
    for name, entry in contents["models"].items() if chosen != "onnxruntime" else ():
        if late(f"{name} on other runtimes"):
            continue
        say(f"{name} on ONNX Runtime and PyTorch")
        reference = _reference(bundle, name, entry)
        beside += others(bundle, name, open_folder(bundle / "models" / name), entry["precisions"], reference)
    first, entry = next(iter(contents["models"].items()))
    report: dict[str, Any] = {"machine": machine(chosen), "rows": [asdict(row) for row in rows], "others": [asdict(row) for row in beside]}
    last: Precision = entry["precisions"][-1]
    works: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
        "video": ("video", lambda: video(bundle, contents, chosen)),
        "leak": (f"{leak_frames} frames", lambda: leak(bundle / "models" / first, last, chosen, leak_frames)),
        "memory": ("memory and CUDA graphs", lambda: memory(bundle, contents, chosen)),
        "failed_load": ("an engine that does not load", lambda: failed_load(bundle / "models" / first, last, chosen)),
    }
    for part, (told, work) in works.items():
        if late(told):
            report[part] = {"skipped": "no time was left"}
            continue
        say(told)
        report[part] = _caught(work)
    report["left_out"] = left_out
    # Nobody needs Q/DQ where ranges do: that it is refused is news, and no failure of this machine.
    needed = [row for row in rows if "--explicit-qdq" not in row.notes]
    report["passed"] = all(row.passed for row in needed) and all(report[part].get("passed", True) for part in works)
    report["seconds"] = round(time.monotonic() - began, 1)
    return report


def _reference(bundle: Path, name: str, entry: Mapping[str, Any]) -> dict[str, NDArray[Any]] | None:
    """What the float network gave on the desk; None for a model that is there for its time alone."""
    if entry["timing_only"]:
        return None
    with np.load(bundle / "reference" / f"{name}.npz") as arrays:
        return dict(arrays)


def read_bundle(bundle: Path) -> dict[str, Any]:
    """What a bundle holds.

    Raises:
        UsageError: it is none.
    """
    path = bundle / "bundle.json"
    if not path.is_file():
        raise UsageError(
            f"{bundle} is no bundle: make one at the desk with: posetrt verify-gpu {shlex.quote(str(bundle))} --prepare --photographs DIR"
        )
    given = read_fields(path, "bundle", "Make it again with: posetrt verify-gpu BUNDLE --prepare --photographs DIR")
    for name, entry in given.by_name("models").items():
        entry.flag("timing_only")
        for precision in entry.texts("precisions"):
            if precision not in PRECISIONS:
                entry.refuse("precisions", precision, f"one of {', '.join(PRECISIONS)}")
        if not is_plain_name(name):
            given.refuse("models", name, "the name of a folder of the bundle")
    if given.values.get("video") and not is_plain_name(given.text("video")):
        given.refuse("video", given.text("video"), "the name of a file of the bundle")
    given.text("video", "")
    return dict(given.values)


def video(bundle: Path, contents: dict[str, Any], backend: str) -> dict[str, Any]:
    """The bundle's video end to end, for each model with reference outputs: frames a second, people, share of the stages."""
    if not contents["video"]:
        return {"skipped": "the bundle has no video"}
    found: dict[str, Any] = {"passed": True, "models": {}}
    for name, entry in contents["models"].items():
        if entry["timing_only"]:
            continue
        precision = "int8" if "int8" in entry["precisions"] else entry["precisions"][-1]
        path = bundle / "models" / name
        # A network for crops is shown the whole frame as one.
        boxes = "whole" if open_folder(path).manifest().head.scope == "crop" else None
        with open_pose(path, PoseOptions(EngineOptions(precision, backend), boxes=boxes)) as pose:
            stats = pipeline.run(pose, [open_source(bundle / contents["video"])], [])
        found["models"][f"{name} {precision}"] = {
            "frames": stats.frames,
            "people": stats.people,
            "fps": stats.fps,
            "stages_ms": {stage: 1000 * one.busy_s / max(stats.frames, 1) for stage, one in stats.stages.items()},
        }
        found["passed"] &= stats.frames > 0
    return found


def takes_both(backend: str) -> bool:
    """Whether int8 can be asked for by ranges and by Q/DQ here, which are then both tried."""
    if backend != "tensorrt":
        return False
    from posetrt.export.engine.capabilities import capabilities_of
    from posetrt.runtime.engines.library import installed

    library = installed("tensorrt")
    return capabilities_of(library.module, library.name, library.text).weakly_typed


def memory(bundle: Path, contents: dict[str, Any], backend: str) -> dict[str, Any]:
    """Each model's last precision with its tensors shared or copied, and with RTX's own CUDA graphs; the fastest is kept in the sidecars."""
    if backend == "onnxruntime":
        return {"skipped": "no GPU"}
    from posetrt.bench.verification_memory import choose_memory

    found = {}
    for name, entry in contents["models"].items():
        path, _ = find_engine(open_folder(bundle / "models" / name), entry["precisions"][-1], backend)
        found[path.name] = choose_memory(path)
    return found


def failed_load(folder: Path, precision: Precision, backend: str) -> dict[str, Any]:
    """Hand TensorRT an engine cut in half: it must refuse, free what it made, and load the whole one after it."""
    if backend == "onnxruntime":
        return {"skipped": "no GPU"}
    path, sidecar = find_engine(open_folder(folder), precision, backend)
    with tempfile.TemporaryDirectory() as place:
        half = Path(place) / path.name
        half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        try:
            open_built(half, sidecar, trust=True).close()
        except EngineMismatch as error:
            refused = str(error)
        else:
            return {"passed": False, "problem": "TensorRT loaded an engine that was cut in half"}
    with open_engine(path) as engine:
        engine.infer(some_input(engine))
    return {"passed": True, "refused": refused}


def leak(folder: Path, precision: str, backend: str, frames: int) -> dict[str, Any]:
    """Memory of the device and of the process over many frames, by its slope.

    An integrated GPU's free memory is the whole computer's, which other programs take and give back meanwhile; a leak is what grows
    from sample to sample.
    """
    samples = min(LEAK_SAMPLES, max(frames, 1))
    sizes: list[dict[str, int]] = []
    with open_engine(folder, EngineOptions(precision, backend)) as engine:
        frame = some_input(engine)
        for _ in range(WARM_UP):
            engine.infer(frame)
        sizes.append(_memory(engine))
        for sample in range(samples):
            for _ in range(frames * sample // samples, frames * (sample + 1) // samples):
                engine.infer(frame)
            sizes.append(_memory(engine))
    grown = {what: round(slope([one[what] for one in sizes]) * samples) for what in sizes[0]}
    return {"frames": frames, "samples": sizes, "grown_bytes": grown, "passed": all(size <= LEAK_BYTES for size in grown.values())}


def slope(values: Sequence[float]) -> float:
    """Growth from one value to the next: the median of the slopes between every two (Theil and Sen), which few outliers do not move."""
    steps = [(later - earlier) / (b - a) for a, earlier in enumerate(values) for b, later in enumerate(values) if b > a]
    return float(np.median(steps)) if steps else 0.0


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
