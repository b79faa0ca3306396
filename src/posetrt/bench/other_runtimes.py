"""The same graphs on ONNX Runtime's CUDA provider and in PyTorch, beside TensorRT, where a Python of this machine has them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posetrt.bench import runtime_clock
from posetrt.bench.verification_row import TIMED, WARM_UP, Row
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.picture import to_input

TITLES = {"onnxruntime": "ONNX Runtime, CUDA", "torch": "PyTorch"}
PRECISIONS = ("fp32", "fp16")
"""INT8 is left out: both compute it in other ways, or not at all."""
_LIMIT_S = 180.0


def torch_path(bundle: Path, name: str) -> Path:
    """Where a bundle has a model's PyTorch graph."""
    return bundle / "torch" / f"{name}.pt"


def others(bundle: Path, name: str, folder: ModelFolder, precisions: Sequence[str], reference: Any) -> list[Row]:
    """A row for each runtime and precision of a model; they decide nothing. One that is not at hand says so.

    Args:
        bundle: where the model is from.
        name: of the model.
        folder: of the model.
        precisions: that the bundle has of it.
        reference: what `verification_bundle.write_reference` wrote; None where the model is there for its time alone.
    """
    rows = []
    for runtime in TITLES:
        for precision in PRECISIONS:
            if precision not in precisions:
                continue
            graph = folder.onnx if precision == "fp32" else folder.variant("fp16")
            rows.append(_measured(runtime, torch_path(bundle, name) if runtime == "torch" else graph, name, precision, folder, reference))
    return rows


def pythons() -> list[str]:
    """This Python, and the one that the machine itself calls python3: what was installed for the bundle hides that one's packages."""
    found = [sys.executable, shutil.which("python3") or sys.executable]
    return list(dict.fromkeys(found))


def _measured(runtime: str, graph: Path, name: str, precision: str, folder: ModelFolder, reference: Any) -> Row:
    row = Row(name, precision, runtime=TITLES[runtime])
    spec, outputs = folder.manifest().input, list(dict.fromkeys(folder.manifest().head.outputs.values()))
    width, height = spec.picture_wh
    canvas = reference["canvas_0"] if reference is not None else np.full((height, width, 3), 128, np.uint8)
    missing = []
    with tempfile.TemporaryDirectory() as place:
        given, made = Path(place) / "given.npz", Path(place) / "made.npz"
        np.savez(given, input=to_input(canvas, spec), names=np.array(outputs))
        for python in pythons():
            said = _asked([python, runtime_clock.__file__, runtime, str(graph), str(given), str(made), str(WARM_UP), str(TIMED), precision])
            if "missing" in said or "failed" in said:
                missing.append(f"{python}: {said.get('missing') or said['failed']}")
                continue
            row.runtime = said["title"]
            row.upload_ms, row.network_ms, row.download_ms, row.frame_ms = (
                said[part] for part in ("upload_ms", "network_ms", "download_ms", "frame_ms")
            )
            if reference is not None:
                with np.load(made) as arrays:
                    row.difference = max(
                        _apart(arrays[f"output_{number}"], reference[f"output_{number}_0"]) for number in range(len(outputs))
                    )
            return row
    row.problem = f"not at hand: {'; '.join(missing)}"
    return row


def _asked(words: Sequence[str]) -> dict[str, Any]:
    """What the clock says; where it fails, "failed" and its last line."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"failed": str(error)}
    try:
        said = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        said = {"failed": (done.stderr.strip().splitlines() or [f"it ended with {done.returncode} and said nothing"])[-1]}
    return dict(said)


def _apart(got: Any, wanted: Any) -> float:
    return float(np.abs(got.reshape(wanted.shape) - wanted).max() / max(float(np.ptp(wanted)), 1e-9))
