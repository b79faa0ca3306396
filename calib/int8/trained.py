"""Ranges that a user's own training found: read from the Q/DQ nodes of an ONNX file made elsewhere (quantisation-aware training)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from posetrt.calib.int8.ranges import Range
from posetrt.export.graph.graph import LAYER_KINDS, Graph, load_graph
from posetrt.runtime.errors import PosetrtError


def trained_ranges(path: Path, graph: Graph) -> dict[str, Range]:
    """The range of each activation of `graph` that a Q/DQ model of the same network quantises.

    Tensors are matched by name; where a trainer's exporter has renamed them, by their place: the input of the n-th layer is the input of the
    n-th layer, if both graphs have equally many, with weights of the same shapes.

    Args:
        path: ONNX with QuantizeLinear nodes with one scale a tensor, int8 or uint8.
        graph: the float graph of the model folder.

    Raises:
        PosetrtError: no Q/DQ nodes on activations, none that belong to this graph, a scale that is no positive number, or another type than
            int8 and uint8.
    """
    trained = load_graph(path)
    found: dict[str, Range] = {}
    for node in trained.nodes:
        if node.op_type != "QuantizeLinear" or node.input[0] in trained.constants:
            continue
        scale = trained.constants.get(node.input[1])
        zero = trained.constants.get(node.input[2]) if len(node.input) > 2 else np.uint8(0)
        if scale is None or zero is None or np.size(scale) != 1 or np.size(zero) != 1:
            continue
        found[node.input[0]] = _range(path, node.input[0], float(np.ravel(scale)[0]), np.ravel(zero)[0])
    if not found:
        raise PosetrtError(
            f"{path.name} has no QuantizeLinear with one scale on an activation: export it from training with its Q/DQ nodes in the graph"
        )
    known = set(graph.float_tensors)
    named = {name: one for name, one in found.items() if name in known}
    placed = _by_place(trained, graph, found, path)
    matched = {**placed, **named}
    inputs = {layer.input for layer in graph.layers}
    if not inputs & matched.keys():
        raise PosetrtError(
            f"none of the {len(found)} quantised tensors of {path.name} (as {next(iter(found))!r}) feeds a layer of "
            f"{graph.where}, by name or by place: it is another network"
        )
    return {name: matched[name] for name in graph.float_tensors if name in matched}


def _by_place(trained: Graph, graph: Graph, found: dict[str, Range], path: Path) -> dict[str, Range]:
    """Ranges of layers' inputs, matched by the order of the layers; none where there are not equally many.

    Raises:
        PosetrtError: there are equally many, and their weights have other shapes.
    """
    ours = graph.layers
    shapes = {id(node): _weight_shape(trained, node) for node in trained.nodes if node.op_type in LAYER_KINDS}
    theirs = [node for node in trained.nodes if shapes.get(id(node)) is not None]
    if len(ours) != len(theirs):
        return {}
    placed = {}
    for number, (layer, node) in enumerate(zip(ours, theirs, strict=True), 1):
        shape = shapes[id(node)]
        if shape is None or sorted(shape) != sorted(layer.shape):
            raise PosetrtError(
                f"{path.name} is another network than {graph.where}: of {len(ours)} layers in both, number {number} has weights {shape} there and "
                f"{layer.shape} here"
            )
        source = trained.producers.get(node.input[0])
        if source is None or source.op_type != "DequantizeLinear":
            continue
        quantizer = trained.producers.get(source.input[0])
        if quantizer is not None and quantizer.input[0] in found:
            placed[layer.input] = found[quantizer.input[0]]
    return placed


def _weight_shape(graph: Graph, node: Any) -> tuple[int, ...] | None:
    """The shape of a layer's weights, which may stand behind Q/DQ nodes; None where they are computed."""
    name = node.input[1] if len(node.input) > 1 else ""
    while name not in graph.constants:
        maker = graph.producers.get(name)
        if maker is None or maker.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            return None
        name = maker.input[0]
    return tuple(graph.constants[name].shape)


def _range(path: Path, tensor: str, scale: float, zero: np.generic) -> Range:
    """What a scale and a zero point of int8 or uint8 can express."""
    if zero.dtype not in (np.int8, np.uint8) or not (np.isfinite(scale) and scale > 0):
        raise PosetrtError(
            f"{path.name} rounds {tensor!r} by the scale {scale:g} to {zero.dtype}: expected a positive scale, and int8 or uint8. Train and export "
            "again for 8 bits"
        )
    limits = np.iinfo(zero.dtype)
    low, high = (limits.min - int(zero)) * scale, (limits.max - int(zero)) * scale
    if limits.min < 0 and int(zero) == 0:
        low = -high
    return Range(low, high, max(-low, high), "trained", low, high)
