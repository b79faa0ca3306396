"""Ranges that a user's own training found: read from the Q/DQ nodes of an ONNX file made elsewhere (quantisation-aware training)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetrt.calib.int8.ranges import Range
from posetrt.export.graph.graph import Graph, load_graph
from posetrt.runtime.errors import PosetrtError


def trained_ranges(path: Path, graph: Graph) -> dict[str, Range]:
    """The range of each activation of `graph` that a Q/DQ model of the same network quantises.

    Tensors are matched by name; where a trainer's exporter has renamed them, by their place: the input of the n-th convolution is the input
    of the n-th convolution, if both graphs have equally many of the same shapes.

    Args:
        path: ONNX with QuantizeLinear nodes with one scale a tensor, int8 or uint8.
        graph: the float graph of the model folder.

    Raises:
        PosetrtError: no Q/DQ nodes on activations, or none that belong to this graph.
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
        found[node.input[0]] = _range(float(np.ravel(scale)[0]), np.ravel(zero)[0])
    if not found:
        raise PosetrtError(
            f"{path.name} has no QuantizeLinear with one scale on an activation: export it from training with its Q/DQ nodes in the graph"
        )
    known = set(graph.float_tensors)
    named = {name: one for name, one in found.items() if name in known}
    placed = _by_place(trained, graph, found)
    matched = {**placed, **named}
    inputs = {layer.input for layer in graph.layers}
    if not inputs & matched.keys():
        raise PosetrtError(
            f"none of the {len(found)} quantised tensors of {path.name} (as {next(iter(found))!r}) feeds a convolution of "
            f"{graph.where}, by name or by place: it is another network"
        )
    return {name: matched[name] for name in graph.float_tensors if name in matched}


def _by_place(trained: Graph, graph: Graph, found: dict[str, Range]) -> dict[str, Range]:
    """Ranges of convolution inputs, matched by the order of the convolutions."""
    ours = graph.layers
    theirs = [node for node in trained.nodes if node.op_type == "Conv"]
    if len(ours) != len(theirs):
        return {}
    placed = {}
    for layer, node in zip(ours, theirs, strict=True):
        source = trained.producers.get(node.input[0])
        if source is None or source.op_type != "DequantizeLinear":
            continue
        quantizer = trained.producers.get(source.input[0])
        if quantizer is not None and quantizer.input[0] in found:
            placed[layer.input] = found[quantizer.input[0]]
    return placed


def _range(scale: float, zero: np.generic) -> Range:
    """What a scale and a zero point of int8 or uint8 can express."""
    limits = np.iinfo(zero.dtype)
    low, high = (limits.min - int(zero)) * scale, (limits.max - int(zero)) * scale
    if limits.min < 0 and int(zero) == 0:
        low = -high
    return Range(low, high, max(-low, high), "trained", low, high)
