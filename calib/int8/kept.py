"""Layers that stay in float before anything was measured: few multiply-adds, and much of what INT8 costs.

On human-pose-estimation-0001 seven layers of 58, with 2 % of the multiply-adds, make half of the rounding noise in the maps
(docs/measurements/int8.md has the table).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from posetrt.calib.int8.heard import coarsened, heard
from posetrt.calib.int8.plan import eight_bit_layers, layer_shares
from posetrt.calib.int8.scales import Layout
from posetrt.export.graph.graph import Graph, Layer

# A layer that takes more of the multiply-adds out of INT8 than this stays there, and all kept ones together take no more than that.
LARGEST_SHARE, LARGEST_SUM = 0.02, 0.1
# The squared error of a layer's weights gets no more times as large because float16 holds no scale as small as theirs.
MOST_COARSENED = 2.0


def kept_by_default(graph: Graph, shapes: Mapping[str, tuple[int, ...]], layout: Layout, unequal: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the layers, in the order in which they run.

    They are those that read maps from a concatenation, where features many times as large share the maps' scale; those that read at half of the
    input's resolution or more, whose values are few and feed all others (on a processor they wait for memory, and are as fast in float); for
    TensorRT, those that make the network's outputs, which ONNX Runtime's layout makes in float by itself, and those with weights so small that
    float16 has no scale for them; and depthwise convolutions whose channels cannot be brought to one reach. Where they are too many, the first
    kinds come first.

    Args:
        shapes: of each layer's input and activated tensor, as observed.
        layout: whose graph keeps them; in ONNX Runtime's a layer may take the one that feeds it along.
        unequal: inputs of depthwise convolutions that were not equalised.
    """

    def reads_unequal(_graph: Graph, layer: Layer, _shapes: Mapping[str, tuple[int, ...]]) -> bool:
        return layer.depthwise and layer.input in unequal

    factors = heard(graph) if layout == "trt" else {}

    def too_small(_graph: Graph, layer: Layer, _shapes: Mapping[str, tuple[int, ...]]) -> bool:
        return coarsened(graph, layer, factors) > MOST_COARSENED

    kinds: list[Callable[[Graph, Layer, Mapping[str, tuple[int, ...]]], bool]] = [_reads_maps, _reads_early]
    kinds += [_makes_output, too_small, reads_unequal] if layout == "trt" else [reads_unequal]
    shares = layer_shares(graph, shapes)
    chosen: list[Layer] = []
    inside = eight_bit_layers(graph, layout, ())
    taken = 0.0
    for kind in kinds:
        for layer in graph.layers:
            if layer in chosen or not kind(graph, layer, shapes):
                continue
            left = eight_bit_layers(graph, layout, [one.name for one in (*chosen, layer)])
            share = sum(shares[name] for name in inside - left)
            if share > LARGEST_SHARE or taken + share > LARGEST_SUM:
                continue
            chosen.append(layer)
            inside = left
            taken += share
    names = {layer.name for layer in chosen}
    return tuple(layer.name for layer in graph.layers if layer.name in names)


def _reads_maps(graph: Graph, layer: Layer, _shapes: Mapping[str, tuple[int, ...]]) -> bool:
    node = graph.producers.get(layer.input)
    made = {one.output for one in graph.layers}
    return node is not None and node.op_type == "Concat" and any(name in made for name in node.input)


def _reads_early(graph: Graph, layer: Layer, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    if len(shapes[layer.input]) != 4:
        return False
    widest = max(shapes[one.input][-1] for one in graph.layers if len(shapes[one.input]) == 4)
    return 2 * shapes[layer.input][-1] >= widest


def _makes_output(graph: Graph, layer: Layer, _shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return layer.output in graph.outputs
