"""The model.onnx of a model folder: a graph simplified, checked, described, and written whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import posetrt
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import written_whole
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.manifest import METADATA_KEY, Manifest

DEFAULT_OPSET = 17
IR_FOR_OPSET = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10}
# Simplifying and converting reorder float32 sums; more than this share of an output's range is a different network.
TOLERANCE = 1e-4

ModelProto = Any  # onnx.ModelProto; the onnx package is imported only where a graph is touched


def finish(model: ModelProto, manifest: Manifest, opset: int = DEFAULT_OPSET) -> ModelProto:
    """Bring a graph to its final form: opset and IR version, simplified, checked, with the manifest inside.

    Raises:
        UsageError: the graph uses an operator that the opset lacks.
        PosetrtError: the result is not a valid graph.
    """
    import onnx
    import onnxsim
    from onnx import version_converter

    if opset not in IR_FOR_OPSET:
        raise UsageError(f"--opset must be one of {', '.join(map(str, IR_FOR_OPSET))}; got {opset}")
    present = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if present != opset:
        try:
            model = version_converter.convert_version(model, opset)
        except Exception as error:  # the converter raises RuntimeError and its own errors alike
            raise UsageError(
                f"the graph of opset {present} cannot be written in opset {opset}: {error}. Try another with --opset"
            ) from error
    try:
        model, _ = onnxsim.simplify(model, check_n=0)
    except Exception as error:  # onnxsim raises whatever its C++ side threw
        raise PosetrtError(f"the graph cannot be simplified: {error}") from error
    model.ir_version = IR_FOR_OPSET[opset]
    model.producer_name, model.producer_version = "posetrt", posetrt.__version__
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise PosetrtError(f"the exported graph is not valid ONNX: {error}") from error
    return model


def check_equal(
    model: ModelProto, reference: dict[str, NDArray[np.float32]], inputs: NDArray[Any], names: list[str], path: Path
) -> dict[str, float]:
    """Compare a graph with reference outputs on the same input; give each output's largest difference over its range.

    Raises:
        PosetrtError: a difference above 1e-4 of the range, or a NaN.
    """
    found = run_plainly(model.SerializeToString(), inputs, path)
    differences = {}
    for name in names:
        expected = reference[name]
        span = float(np.ptp(expected)) or 1.0
        differences[name] = float(np.max(np.abs(found[name] - expected))) / span
        if not differences[name] <= TOLERANCE:
            raise PosetrtError(
                f"{path.name}: after export, output {name!r} differs from the original by {differences[name]:.2g} of its range "
                f"(at most {TOLERANCE:g} was expected); nothing was written. Check the graph for NaN, or report it"
            )
    return differences


def write_folder(model: ModelProto, manifest: Manifest, folder: Path, *, force: bool = False) -> ModelFolder:
    """Write model.onnx into a model folder, whole or not at all.

    Args:
        model: as `finish` gave it, with the manifest inside.
        manifest: the same, for the path of errors.
        folder: made where absent.
        force: replace another model; its calibration and engines stay, and are refused by their hashes from then on.

    Raises:
        UsageError: the folder holds another model and `force` was not given.
        PosetrtError: the disk refuses.
    """
    target = ModelFolder(folder)
    data = model.SerializeToString(deterministic=True)
    if target.onnx.is_file() and not force and target.onnx.read_bytes() != data:
        raise UsageError(
            f"{target.onnx} holds another model ({target.manifest().network}), and model.onnx never changes after export; "
            f"choose another folder for {manifest.network}, or replace it with --force"
        )
    with written_whole(target.onnx) as temporary:
        temporary.write_bytes(data)
    return target


def run_plainly(serialised: bytes, inputs: NDArray[Any], path: Path) -> dict[str, NDArray[np.float32]]:
    """All outputs of a graph on ONNX Runtime, without its optimisations: the reference."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {session.get_inputs()[0].name: inputs}), strict=True))
    except Exception as error:  # ONNX Runtime raises many types, all of them RuntimeError's cousins in C++
        raise PosetrtError(
            f"{path.name} does not run at input {tuple(inputs.shape)} on ONNX Runtime: {str(error).splitlines()[0]}. "
            "Networks that join maps of several strides want sizes that are multiples of 32"
        ) from error
