"""Where an engine's tensors lie best on this board, and whether and by whom CUDA graphs are captured: decided by a clock.

On a board whose GPU shares the computer's memory a tensor can be seen by both sides, which saves its copy, or have memory of its own
that the GPU caches. Bytes that the network reads once gain from the first, maps that it reads again perhaps from the second.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posetrt.bench.verification_row import WARM_UP, some_input
from posetrt.runtime.engines import driver, tensorrt
from posetrt.runtime.engines.base import Engine
from posetrt.runtime.model.sidecar import Sidecar, read_sidecar, write_sidecar

# Options of a sidecar that are chosen here: `TensorRTEngine` describes them.
CHOICES = ("shared", "own_graphs", "cuda_graph")
FRAMES, ROUNDS = 100, 3
# A choice must be this much faster than what is there without one: less is the clock's noise.
LEAST_GAIN = 0.03


def choose_memory(path: Path) -> dict[str, Any]:
    """Time every way to hold an engine's tensors, and keep the fastest in its sidecar, which `open_engine` follows.

    Args:
        path: an engine of TensorRT, with its sidecar.

    Returns:
        For JSON: "trials", each with "options" and "frame_ms", the first as it is without a choice; "kept", the options written.
    """
    sidecar = read_sidecar(path)
    plain = replace(sidecar, options={name: value for name, value in sidecar.options.items() if name not in CHOICES})
    trials: list[dict[str, Any]] = [
        {"options": options, "frame_ms": float("inf")} for options in ways(plain, integrated=driver.gpu().integrated)
    ]
    for _ in range(ROUNDS):
        for trial in trials:
            tried = replace(plain, options={**plain.options, **trial["options"]})
            with tensorrt.open_built(path, tried, trust=True) as engine:
                trial["frame_ms"] = min(trial["frame_ms"], frame_ms(engine))
    best = min(trials, key=lambda trial: float(trial["frame_ms"]))
    kept = best["options"] if best["frame_ms"] < (1 - LEAST_GAIN) * trials[0]["frame_ms"] else {}
    write_sidecar(path, replace(plain, options={**plain.options, **kept}))
    return {"trials": trials, "kept": kept}


def ways(sidecar: Sidecar, *, integrated: bool) -> list[dict[str, Any]]:
    """The options to try, the first of them none."""
    image, outputs = sidecar.manifest.input.name, sorted(set(sidecar.manifest.head.outputs.values()))
    found: list[dict[str, Any]] = [{}]
    if integrated:
        held: Sequence[list[str]] = ([image], outputs, [])
        found += [{"shared": names} for names in held]
    launches: list[dict[str, Any]] = [{"cuda_graph": False}]
    if sidecar.backend == "tensorrt-rtx":
        launches.append({"own_graphs": True})
    return found + [{**options, **launch} for launch in launches for options in found]


def frame_ms(engine: Engine) -> float:
    """Median time of a frame, in ms: the network, and each output read twice on the computer's side, as a parser does."""
    frame = some_input(engine)
    times = []
    for index in range(WARM_UP + FRAMES):
        began = time.perf_counter()
        for values in engine.infer(frame).values():
            values.max(), values.sum(dtype=np.float32)
        if index >= WARM_UP:
            times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))
