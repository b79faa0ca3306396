"""What a machine with a GPU shows of posetrt: engines built, outputs compared with a computer's float32, times, and leaks.

It reads a bundle that a computer at the desk has made (`verification_bundle`): model folders, what ONNX Runtime gave for
them in float32, and a video. So the machine needs neither the onnx package nor ONNX Runtime.
"""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from posetrt.bench.verification_row import WARM_UP, check, some_input
from posetrt.runtime.engines.base import PRECISIONS, Engine
from posetrt.runtime.engines.choose import best_backend, open_engine
from posetrt.runtime.engines.tensorrt import TensorRTEngine
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.fields import is_plain_name, read_fields
from posetrt.runtime.model.folder import open_folder
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.pose import Pose
from posetrt.runtime.sources import open_source

LEAK_BYTES = 16 << 20

Say = Callable[[str], None]


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
        frame = some_input(engine)
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
