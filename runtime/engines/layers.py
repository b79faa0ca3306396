"""What an engine is made of: its layers as TensorRT's inspector lists them, with the precision that each really runs in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrt.runtime.engines import driver
from posetrt.runtime.engines.library import Library
from posetrt.runtime.engines.trt_log import Log, started
from posetrt.runtime.errors import EngineMismatch, PosetrtError

# Words of "Format/Datatype" and of weights' types, from 8.6 ("Row major linear FP32", "Half") to 11.
_TYPES = (
    ("int8", r"int8|\bi8\b"),
    ("fp8", r"fp8"),
    ("bf16", r"bf16|bfloat"),
    ("fp16", r"fp16|half"),
    ("tf32", r"tf32"),
    ("fp32", r"fp32|float"),
    ("int64", r"int64"),
    ("int32", r"int32"),
    ("uint8", r"uint8"),
    ("bool", r"bool"),
)
_COMPUTES = re.compile(r"conv|gemm|matmul|matrix", re.IGNORECASE)


@dataclass(frozen=True)
class EngineLayer:
    """One layer of an engine.

    Attributes:
        name: the graph's nodes that became this layer.
        kind: TensorRT's type of layer.
        precision: "int8", "fp16", ... that it computes in; "?" where the engine does not say.
        unit: "gpu" or "dla".
        macs: multiply-adds of a convolution; 0 where unknown or none.
        computes: whether it is a convolution or matrix product: what a precision is asked for.
        output: type of its first output.
    """

    name: str
    kind: str
    precision: str
    unit: str
    macs: int
    computes: bool
    output: str


def layers_of(path: Path, library: Library, dla: int | None = None) -> list[EngineLayer]:
    """The layers of an engine file that was checked to fit this device.

    Raises:
        PosetrtError: no driver, or the inspector gives nothing.
        EngineMismatch: TensorRT refuses the file.
    """
    driver.probe()
    trt = library.module
    with Log().listening() as log:
        runtime = started(trt.Runtime, trt, log, library.title)
        if dla is not None:
            runtime.DLA_core = dla
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            why = log.reason("it gives no reason")
            raise EngineMismatch(f"{library.title} refuses {path.name}: {why}. Build it again with: posetrt build")
        inspector = engine.create_engine_inspector()
        return layers_from_json(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def layers_from_json(text: str) -> list[EngineLayer]:
    """Read the inspector's JSON.

    Raises:
        PosetrtError: no JSON, or an engine that holds names alone.
    """
    try:
        listed = json.loads(text)["Layers"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise PosetrtError(f"TensorRT's inspector gave no list of layers ({error}); is the engine of another version?") from error
    if listed and all(isinstance(layer, str) for layer in listed):
        raise PosetrtError("this engine holds the names of its layers alone: build it with `posetrt build`, which keeps their precisions")
    return [_layer(fields) for fields in listed if isinstance(fields, dict)]


def share(layers: Sequence[EngineLayer], precision: str) -> tuple[float, float | None]:
    """Share of the computing layers that run in a precision: by count, and by multiply-adds (None where those are unknown)."""
    computing = [layer for layer in layers if layer.computes]
    if not computing:
        return 0.0, None
    chosen = [layer for layer in computing if layer.precision == precision]
    macs = sum(layer.macs for layer in computing)
    known = all(layer.macs for layer in computing)
    return len(chosen) / len(computing), sum(layer.macs for layer in chosen) / macs if known else None


def _layer(fields: Mapping[str, Any]) -> EngineLayer:
    kind = str(fields.get("LayerType", "?"))
    parameter = str(fields.get("ParameterType", ""))
    inputs = [_type(str(end.get("Format/Datatype", end.get("Datatype", "")))) for end in fields.get("Inputs", ())]
    outputs = [_type(str(end.get("Format/Datatype", end.get("Datatype", "")))) for end in fields.get("Outputs", ())]
    weights = fields.get("Weights")
    stored = _type(str(weights.get("Type", ""))) if isinstance(weights, dict) else "?"
    computes = bool(_COMPUTES.search(parameter or kind)) and "reformat" not in kind.lower()
    first = inputs[0] if inputs else "?"
    # INT8 weights that meet float activations are unpacked first: the layer computes in the activations' type.
    precision = first if first != "?" else stored
    on_dla = "dla" in kind.lower() or "dla" in str(fields.get("TacticName", "")).lower()
    return EngineLayer(
        str(fields.get("Name", "?")), kind, precision, "dla" if on_dla else "gpu", _macs(fields), computes, outputs[0] if outputs else "?"
    )


def _type(text: str) -> str:
    # "uint8" holds "int8", so it is asked first.
    if re.search("uint8", text, re.IGNORECASE):
        return "uint8"
    return next((name for name, pattern in _TYPES if re.search(pattern, text, re.IGNORECASE)), "?")


def _macs(fields: Mapping[str, Any]) -> int:
    try:
        weights = int(fields["Weights"]["Count"])
        dimensions = [int(size) for size in fields["Outputs"][0]["Dimensions"]]
    except (KeyError, IndexError, TypeError, ValueError):
        return 0
    cells = 1
    for size in (dimensions[0], *dimensions[2:]):
        cells *= max(size, 0)
    return weights * cells
