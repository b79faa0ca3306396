"""Multiply-adds of a graph, by what makes them: all of them, whether INT8 can serve them or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from posetrt.export.graph.camera import CAMERA_PREFIX
from posetrt.export.graph.graph import LAYER_KINDS, Graph

Shapes = Mapping[str, tuple[int, ...]]


def multiply_adds(graph: Graph, shapes: Shapes) -> dict[str, int]:
    """Multiply-adds of each Conv, ConvTranspose, Gemm and MatMul of the network, by the tensor that it writes; not of what places a camera's frame.

    Args:
        shapes: of float tensors, as observed, batch 1; what a ReLU writes stands for what it reads.
    """
    known = dict(shapes)
    for node in graph.nodes:
        if node.op_type in LAYER_KINDS or node.op_type == "Add":
            behind = graph.activated(node.output[0])
            if node.output[0] not in known and behind in known:
                known[node.output[0]] = known[behind]
    return {
        node.output[0]: _of_node(graph, node, known)
        for node in graph.nodes
        if node.op_type in LAYER_KINDS and not node.name.startswith(CAMERA_PREFIX) and not _is_constant(graph, node)
    }


def by_operator(graph: Graph, shapes: Shapes) -> Counter[str]:
    """Share of all multiply-adds, by what it is: "Conv", "ConvTranspose", "Gemm", "MatMul", each with constant weights, and "MatMul of two activations"."""
    cost = multiply_adds(graph, shapes)
    layers = {layer.output for layer in graph.layers}
    total = max(sum(cost.values()), 1)
    found: Counter[str] = Counter()
    for name, macs in cost.items():
        kind = graph.producers[name].op_type
        found[kind if name in layers else f"{kind} of two activations"] += macs / total  # type: ignore[assignment]
    return found


def _is_constant(graph: Graph, node: Any) -> bool:
    return all(name in graph.constants or not name for name in node.input)


def _of_node(graph: Graph, node: Any, shapes: Shapes) -> int:
    source, weight = node.input[:2]
    second = tuple(graph.constants[weight].shape) if weight in graph.constants else shapes[weight]
    if node.op_type == "Conv":
        return int(np.prod(shapes[node.output[0]][2:])) * int(np.prod(second))
    read = shapes[source] if source in shapes else tuple(graph.constants[source].shape)
    if node.op_type == "ConvTranspose":
        return int(np.prod(read[2:])) * int(np.prod(second))
    transposed = node.op_type == "Gemm" and any(one.name == "transA" and one.i for one in node.attribute)
    return int(np.prod(shapes[node.output[0]])) * int(read[0] if transposed else read[-1])
