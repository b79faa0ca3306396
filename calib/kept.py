"""Layers that TensorRT's layouts keep in float before anything was measured: few multiply-adds, and much of what INT8 costs.

Signed activations with zero point 0 leave 127 levels behind a ReLU, half of what ONNX Runtime's unsigned ones have. On
human-pose-estimation-0001 seven layers of 58, with 2 % of the multiply-adds, then make half of the rounding noise in the maps
(docs/calibration.md has the table).
"""

from __future__ import annotations

from collections.abc import Mapping

from posetrt.calib.graph import Graph, Layer
from posetrt.calib.quantize import layer_shares

# A layer that takes more of the multiply-adds than this stays in INT8, and all kept ones together take no more than that.
LARGEST_SHARE, LARGEST_SUM = 0.01, 0.05


def kept_by_default(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Names of the layers, in the order in which they run.

    They are those that read maps from a concatenation, where features many times as large share the maps' scale; those that read at half of the
    input's resolution or more, whose values are few and feed all others; and those that make the network's outputs. Where they are too many,
    the first kinds come first.

    Args:
        shapes: of each layer's input and activated tensor, as observed.
    """
    shares = layer_shares(graph, shapes)
    chosen: list[Layer] = []
    taken = 0.0
    for kind in (_reads_maps, _reads_early, _makes_output):
        for layer in graph.layers:
            share = shares[layer.name]
            if layer in chosen or share > LARGEST_SHARE or taken + share > LARGEST_SUM or not kind(graph, layer, shapes):
                continue
            chosen.append(layer)
            taken += share
    names = {layer.name for layer in chosen}
    return tuple(layer.name for layer in graph.layers if layer.name in names)


def _reads_maps(graph: Graph, layer: Layer, _shapes: Mapping[str, tuple[int, ...]]) -> bool:
    node = graph.producers.get(layer.input)
    made = {one.output for one in graph.layers}
    return node is not None and node.op_type == "Concat" and any(name in made for name in node.input)


def _reads_early(graph: Graph, layer: Layer, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    widest = max(shapes[one.input][-1] for one in graph.layers)
    return 2 * shapes[layer.input][-1] >= widest


def _makes_output(graph: Graph, layer: Layer, _shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return layer.output in graph.outputs
