"""Graphs that another tool quantised (ModelOpt, ONNX Runtime, NNCF, quantisation-aware training): what they hold, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posetrt.calib.int8.calibration import Calibration, write_calibration
from posetrt.calib.int8.scales import Layout
from posetrt.calib.int8.shares import multiply_adds
from posetrt.export.graph.graph import LAYER_KINDS, Graph, load_graph
from posetrt.export.graph.onnx_file import describe, save_model
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import read_json, sha256_of, written_together
from posetrt.runtime.model.folder import ModelFolder


@dataclass(frozen=True)
class Foreign:
    """A graph with Q/DQ nodes of another tool, kept as it is.

    Attributes:
        graph: as it was read.
        activations, weights: how many tensors it rounds.
        inside: outputs of the convolutions and matrix products that read rounded values on both sides.
        refused: what TensorRT does not take, a sentence each; empty where it takes everything.
    """

    graph: Graph
    activations: int
    weights: int
    inside: tuple[str, ...]
    refused: tuple[str, ...]

    @property
    def layout(self) -> Layout:
        """The engine whose layout it is in: TensorRT's where TensorRT takes it."""
        return "ort" if self.refused else "trt"

    def share(self, shapes: dict[str, tuple[int, ...]]) -> float:
        """Share of all multiply-adds in INT8.

        Args:
            shapes: of the float network's tensors, as observed; those that the other tool named are inferred.

        Raises:
            PosetrtError: the shape of a tensor is not to be found.
        """
        try:
            cost = multiply_adds(self.graph, _inferred(self.graph) | shapes)
        except KeyError as error:
            raise PosetrtError(
                f"{self.graph.where}: nothing tells the shape of {error.args[0]!r}: export the graph with fixed shapes, or run onnx.shape_inference on it"
            ) from error
        return sum(cost[name] for name in self.inside) / max(sum(cost.values()), 1)


def _inferred(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors, as far as ONNX infers them."""
    import onnx

    values = onnx.shape_inference.infer_shapes(graph.model).graph.value_info
    sizes = {one.name: tuple(dim.dim_value for dim in one.type.tensor_type.shape.dim) for one in values}
    return {name: size for name, size in sizes.items() if all(size)}


def is_quantised(graph: Graph) -> bool:
    """Whether a graph rounds anything."""
    return any(node.op_type == "QuantizeLinear" for node in graph.nodes)


def read_quantised(path: Path, original: Graph) -> Foreign:
    """Read a graph that another tool quantised.

    Args:
        original: the float graph of the model folder, whose inputs and outputs it must have.

    Raises:
        PosetrtError: it cannot be read, rounds nothing, has other inputs or outputs, or a scale that is not a positive number.
    """
    graph = load_graph(path)
    quantisers = [node for node in graph.nodes if node.op_type == "QuantizeLinear"]
    dequantisers = [node for node in graph.nodes if node.op_type == "DequantizeLinear"]
    if not quantisers:
        raise PosetrtError(
            f"{path.name} has no QuantizeLinear node, so nothing in it is quantised: give the Q/DQ graph that your tool wrote"
        )
    for what, ours, theirs in (("inputs", original.inputs, graph.inputs), ("outputs", original.outputs, graph.outputs)):
        if set(ours) != set(theirs):
            raise PosetrtError(
                f"{path.name} has the {what} {sorted(theirs)}, and the network has {sorted(ours)}: quantise the model.onnx of this folder"
            )
    for node in (*quantisers, *dequantisers):
        scale = graph.constants.get(node.input[1])
        if scale is not None and not (np.isfinite(scale).all() and (np.asarray(scale, np.float64) > 0).all()):
            raise PosetrtError(
                f"{path.name}: the scale {node.input[1]!r} holds what is no positive number; calibrate again in the tool that wrote it"
            )
    rounded = {node.output[0] for node in dequantisers}
    kinds = [node for node in graph.nodes if node.op_type in LAYER_KINDS]
    inside = tuple(node.output[0] for node in kinds if node.input[0] in rounded and node.input[1] in rounded)
    weights = sum(_origin(graph, node.input[0]) in graph.constants for node in dequantisers)
    activations = sum(node.input[0] not in graph.constants for node in quantisers)
    return Foreign(graph, activations, weights, inside, tuple(_refused(graph, [*quantisers, *dequantisers], kinds)))


ELSEWHERE = "quantised elsewhere"
"""The method that calibration.json names where the folder's INT8 graphs came from another tool."""


def refuse_adopted(folder: ModelFolder) -> None:
    """Leave a folder alone whose INT8 graphs came from another tool.

    Raises:
        UsageError: it is one.
    """
    fields = read_json(folder.calibration, "calibration") if folder.calibration.is_file() else None
    if isinstance(fields, dict) and fields.get("method") == ELSEWHERE:
        raise UsageError(
            f"{folder.path}: its INT8 graphs were quantised by another tool ({fields.get('images', {}).get('from', 'unknown')}), and calibrating would "
            "replace them. To compare, export the float network to a folder of its own and calibrate that with --beside; to replace them, --force"
        )


def adopt(folder: ModelFolder, path: Path) -> Foreign:
    """Take a graph that another tool quantised for the folder's INT8 graphs, as it is.

    It becomes int8-ort, and int8-trt where TensorRT takes it, in place of what `posetrt calibrate` made.

    Args:
        folder: with the float model.onnx, or with the quantised graph itself as its model.onnx.
        path: the Q/DQ graph.

    Raises:
        PosetrtError: as `read_quantised`; the folder then stays as it was.
    """
    found = read_quantised(path, load_graph(folder.onnx))
    manifest = folder.manifest()
    calibration = Calibration(sha256_of(folder.onnx), ELSEWHERE, manifest.input.size_wh, {"count": 0, "sha256": "", "from": path.name}, {})
    names = ["int8-ort", *([] if found.refused else ["int8-trt"])]
    with written_together(folder.calibration, *map(folder.variant, names)) as temporaries:
        write_calibration(temporaries[0], calibration)
        made_from = {"model": calibration.model_sha256, "calibration": sha256_of(temporaries[0])}
        for temporary in temporaries[1:]:
            save_model(temporary, describe(found.graph.copy().model, manifest.to_json(), made_from))
    for stale in folder.variant("int8-ort").parent.glob("int8-*.onnx"):
        if stale.stem not in names:
            stale.unlink()
    return found


def _origin(graph: Graph, name: str) -> str:
    """The tensor that a Q/DQ pair reads."""
    node = graph.producers.get(name)
    return str(node.input[0]) if node is not None and node.op_type == "QuantizeLinear" else name


def _refused(graph: Graph, pairs: Sequence[object], layers: Sequence[object]) -> list[str]:
    """What TensorRT does not take."""
    found = []
    zeros = [graph.constants.get(node.input[2]) for node in pairs if len(node.input) > 2 and node.input[2]]  # type: ignore[attr-defined]
    unsigned = sum(zero is not None and zero.dtype == np.uint8 for zero in zeros)
    moved = sum(zero is not None and bool(np.any(zero != 0)) for zero in zeros)
    biases = 0
    for node in layers:
        inputs = node.input  # type: ignore[attr-defined]
        bias = graph.producers.get(inputs[2]) if len(inputs) > 2 else None
        biases += bias is not None and bias.op_type == "DequantizeLinear"
    if unsigned:
        found.append(f"{unsigned} unsigned tensors: TensorRT takes int8 alone")
    if moved:
        found.append(f"{moved} zero points other than 0: TensorRT's INT8 is symmetric")
    if biases:
        found.append(f"{biases} quantised biases: TensorRT wants them in float (QuantizeBias=False in ONNX Runtime's quantizer)")
    return found
