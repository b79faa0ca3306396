"""The model.onnx of a model folder: a graph simplified, checked, described, and written whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import posetrt
from posetrt.export.graph.canonical import canonical
from posetrt.export.graph.onnx_file import ModelProto as ModelProto
from posetrt.export.graph.onnx_file import check, describe, first_line, serialised
from posetrt.export.graph.opset import in_opset
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import written_together
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.manifest import Manifest

DEFAULT_OPSET = 17
IR_FOR_OPSET = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10}
# Simplifying and converting reorder float32 sums; more than this share of an output's range is a different network.
TOLERANCE = 1e-4
_STDERR = 2  # the descriptor, which C++ writes to
RUN_LIMIT_S = 120.0  # for one input; the largest pose networks take some ten seconds on a slow computer


def finish(model: ModelProto, manifest: Manifest, opset: int = DEFAULT_OPSET) -> ModelProto:
    """Bring a graph to its final form: canonical, in an opset and its IR version, simplified, checked, with the manifest inside.

    Raises:
        UsageError: the graph uses an operator that the opset lacks.
        PosetrtError: the result is not a valid graph.
    """
    import onnxsim

    if opset not in IR_FOR_OPSET:
        raise UsageError(f"--opset must be one of {', '.join(map(str, IR_FOR_OPSET))}; got {opset}")
    where = f"the graph of {manifest.network}"
    model = canonical(model, where)
    try:
        model = in_opset(model, opset, IR_FOR_OPSET[opset])
    except PosetrtError as error:
        raise UsageError(f"{error}. Try another with --opset") from error
    try:
        with _quiet_unless_it_fails():
            model, _ = onnxsim.simplify(model, check_n=0)
    except Exception as error:  # onnxsim raises whatever its C++ side threw
        raise PosetrtError(f"the graph cannot be simplified: {first_line(error)}") from error
    model = canonical(model, where)
    model.ir_version = IR_FOR_OPSET[opset]
    model.producer_name, model.producer_version = "posetrt", posetrt.__version__
    return check(describe(model, manifest.to_json()), "the exported graph")


@contextlib.contextmanager
def _quiet_unless_it_fails() -> Iterator[None]:
    """Keep off the terminal what C++ writes there: onnxsim names each constant that it could not compute, with a traceback, and leaves it as it was.

    An error shows it all. Descriptors belong to the whole process, so other threads' lines to stderr are kept off as well meanwhile.
    """
    with tempfile.TemporaryFile() as said:
        try:
            terminal = os.dup(_STDERR)
        except OSError:  # a service without a terminal
            yield
            return
        os.dup2(said.fileno(), _STDERR)
        try:
            yield
        except Exception:
            said.seek(0)
            with open(terminal, "wb", closefd=False) as stream:
                shutil.copyfileobj(said, stream)
            raise
        finally:
            os.dup2(terminal, _STDERR)
            os.close(terminal)


def check_equal(
    model: ModelProto, reference: dict[str, NDArray[np.float32]], inputs: NDArray[Any], names: list[str], path: Path
) -> dict[str, float]:
    """Compare a graph with reference outputs on the same input; give each output's largest difference over its range.

    Raises:
        PosetrtError: a difference above 1e-4 of the range, a NaN, or another shape.
    """
    found = run_plainly(model.SerializeToString(), inputs, path)
    differences = {}
    for name in names:
        expected = reference[name]
        if found[name].shape != expected.shape:
            came, wanted = ("x".join(map(str, values.shape)) for values in (found[name], expected))
            raise PosetrtError(
                f"{path.name}: after export, output {name!r} has shape {came}, and the original {wanted}; nothing was written"
            )
        if not expected.size:
            # A graph that ends with the people that it found gives none on noise.
            differences[name] = 0.0
            continue
        span = float(np.ptp(expected)) or 1.0
        differences[name] = float(np.max(np.abs(found[name] - expected))) / span
        if not differences[name] <= TOLERANCE:
            raise PosetrtError(
                f"{path.name}: after export, output {name!r} differs from the original by {differences[name]:.2g} of its range "
                f"(at most {TOLERANCE:g} was expected); nothing was written. Check the graph for NaN, or report it"
            )
    return differences


def write_folder(
    model: ModelProto, manifest: Manifest, folder: Path, *, fp16: ModelProto | None = None, force: bool = False
) -> ModelFolder:
    """Write a model folder's graphs, all of them or none.

    Args:
        model: as `finish` gave it, with the manifest inside.
        manifest: the same, for the path of errors.
        folder: made where absent.
        fp16: the same network in float16, as `to_fp16` gives it, for `variants/fp16.onnx`.
        force: replace another model; its calibration and engines stay, and are refused by their hashes from then on.

    Raises:
        UsageError: the folder holds another model and `force` was not given.
        PosetrtError: the disk refuses.
    """
    target = ModelFolder(folder)
    data = serialised(model)
    if target.onnx.is_file() and not force and target.onnx.read_bytes() != data:
        raise UsageError(
            f"{target.onnx} is there already, of other weights or other options, and model.onnx never changes after export: choose another "
            "folder, or replace it with --force"
        )
    contents = {target.onnx: data}
    if fp16 is not None:
        made_from = {"model": hashlib.sha256(data).hexdigest()}
        contents[target.variant("fp16")] = serialised(describe(fp16, manifest.to_json(), made_from))
    with written_together(*contents) as temporaries:
        for temporary, content in zip(temporaries, contents.values(), strict=True):
            temporary.write_bytes(content)
    return target


def run_plainly(data: bytes, inputs: NDArray[Any], path: Path, limit_s: float = RUN_LIMIT_S) -> dict[str, NDArray[np.float32]]:
    """All outputs of a graph on ONNX Runtime, without its optimisations: the reference.

    Raises:
        PosetrtError: it does not run, or not to its end within `limit_s`: a graph may hold a loop.
    """
    import onnxruntime

    options, running = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = running.log_severity_level = 4
    watch = threading.Timer(limit_s, setattr, (running, "terminate", True))
    watch.daemon = True
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        watch.start()
        return dict(zip(names, session.run(names, {session.get_inputs()[0].name: inputs}, running), strict=True))
    except Exception as error:  # ONNX Runtime raises many types, all of them RuntimeError's cousins in C++
        if running.terminate:
            raise PosetrtError(
                f"{path.name} was stopped after {limit_s:g} s on one input of {tuple(inputs.shape)}: it holds a loop that does not end, "
                "or is too large for this computer. A network for a camera answers in milliseconds; export it without the loop"
            ) from error
        raise PosetrtError(
            f"{path.name} does not run at input {tuple(inputs.shape)} on ONNX Runtime: {first_line(error)}. "
            "Networks that join maps of several strides want sizes that are multiples of 32"
        ) from error
    finally:
        watch.cancel()
