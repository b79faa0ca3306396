"""Which tensors of a graph are quantised and which layers compute in 8 bits, in each layout, and how much of the network that is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.channels import by_channel, read_in_eight_bits
from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import Layout, activation_scale
from posetrt.calib.int8.shares import multiply_adds
from posetrt.calib.int8.shifted import moved_grid, moved_tensors
from posetrt.export.graph.graph import Graph, Layer
from posetrt.runtime.errors import PosetrtError

# Operators that ONNX Runtime runs on 8-bit tensors besides Conv, and that a scale can be given to.
_EIGHT_BIT = frozenset({"Add", "Concat", "MaxPool"})


# A layer that makes an output map and has no more than this share of the weights computes it in float from 8-bit inputs in ONNX Runtime's layout.
_SMALL_MAP = 0.02

# Layers whose 8-bit form writes float as readily as 8 bits: ONNX Runtime has MatMulIntegerToFloat and QGemm.
WRITES_FLOAT = frozenset({"Gemm", "MatMul"})


def makes_small_map(graph: Graph, layer: Layer) -> bool:
    """Whether a layer's output is looked at as it is, for people, and costs little to make in float.

    Rounded to 8 bits a map has steps of half a per cent of its range, about what it changes from a peak to the cell beside it.
    """
    weights = sum(int(np.prod(one.shape)) for one in graph.layers)
    return layer.output not in graph.leading_to_layers and int(np.prod(layer.shape)) <= _SMALL_MAP * weights


def fused_activations(graph: Graph) -> dict[str, str]:
    """What layers and sums write, where an activation alone reads it that every engine computes in the same step: by tensor the activation's."""
    made = [layer.output for layer in graph.layers] + [node.output[0] for node in graph.nodes if node.op_type == "Add"]
    return {name: behind for name in made if (behind := graph.activated(name)) != name}


class Plan:
    """Which tensors are quantised, which layers compute in 8 bits, and who reads the float form."""

    def __init__(self, graph: Graph, layers: Collection[str], layout: Layout, ranges: Mapping[str, Range], *, move: bool = True) -> None:
        self.graph, self.layout = graph, layout
        # ONNX Runtime has no 8-bit deconvolution.
        chosen = [layer for layer in graph.layers if layer.name in layers and (layout == "trt" or layer.kind != "ConvTranspose")]
        names = {layer.name for layer in chosen}
        self.float_read = {layer.input for layer in graph.layers if layer.name not in names}
        outside = [layer for layer in graph.layers if layer.name not in names and not layer.depthwise]
        self.float_made = {name for layer in outside for name in (layer.output, layer.activated)}
        self.tensors = {layer.input for layer in chosen}
        self.activated = fused_activations(graph)
        if layout == "ort":
            # A convolution whose float output someone reads cannot be one 8-bit operator there.
            float_read = {*self.float_read, *(layer.output for layer in chosen if makes_small_map(graph, layer))}
            inside = [layer for layer in chosen if layer.activated not in float_read and layer.output not in float_read]
            self.tensors |= {layer.activated for layer in inside if layer.kind not in WRITES_FLOAT}
            self.eight_bit = [layer for layer in chosen if layer in inside or layer.kind in WRITES_FLOAT]
        else:
            self.eight_bit = chosen
        self.operators: list[Any] = []
        self.together: list[list[str]] = []
        if layout == "ort":
            self._reach_operators()
        else:
            self._reach_joints()
        self.ranges = {name: self._range(name, ranges) for name in sorted(self.tensors)}
        made = {layer.activated: layer for layer in self.eight_bit} if layout == "ort" else {}
        self.by_channel = {name for name in by_channel(graph) if name in made and name in self.ranges and self.ranges[name].lows}
        self._share_scales()
        self.moved = frozenset[str]()
        if layout == "trt" and move:
            self.moved = moved_tensors(graph, self.eight_bit, self.operators, self.together, self.ranges)

    def _reach_operators(self) -> None:
        """Take in the adds, concats and pools that stand between quantised tensors in ONNX Runtime's layout."""
        for node in self._candidates(_EIGHT_BIT):
            ends = [*node.input, self.activated.get(node.output[0], node.output[0])]
            if node.op_type != "MaxPool" and any(name in self.graph.constants for name in ends):
                continue
            if any(name in self.float_read for name in ends):
                continue
            # A layer is kept in float for what it writes too, which a sum in 8 bits would round; a depthwise one for what it reads.
            if node.op_type == "Add" and any(name in self.float_made for name in node.input):
                continue
            if node.op_type == "Concat" and not read_in_eight_bits(self.graph, node.output[0]):
                continue
            if any(name in self.tensors for name in ends):
                self.operators.append(node)
                self.tensors.update(ends)

    def _reach_joints(self) -> None:
        """Take in the adds and concats in front of quantised tensors in TensorRT's layout. MaxPool lets a Q pass by itself there.

        TensorRT computes a convolution, the sum with a shortcut and the activation in one step, if the shortcut comes in 8 bits and
        the convolution's own output is not rounded: so a bare convolution's output is never quantised but for the second of two.
        """
        bare = {layer.output for layer in self.eight_bit if len(self.graph.consumers.get(layer.output, ())) == 1}
        for node in self._candidates(frozenset({"Add", "Concat"})):
            output = self.activated.get(node.output[0], node.output[0])
            ends = [*node.input, output]
            if output not in self.tensors or any(name in self.graph.constants or name in self.float_read for name in ends):
                continue
            inside = list(node.input)
            if node.op_type == "Add":
                fused = next((name for name in inside if name in bare and inside.count(name) == 1), None)
                inside = [name for name in inside if name != fused]
            self.operators.append(node)
            self.tensors.update(inside)
            self.together.append(inside if node.op_type == "Add" else [*inside, output])

    def _candidates(self, kinds: frozenset[str]) -> list[Any]:
        # What stands behind the last layer (peaks, line integrals) computes in float32 in every precision.
        return [node for node in self.graph.nodes if node.op_type in kinds and node.output[0] in self.graph.leading_to_layers]

    def _range(self, name: str, ranges: Mapping[str, Range]) -> Range:
        if name not in ranges:
            raise PosetrtError(
                f"the calibration has no range for tensor {name!r} of {self.graph.where}: it was made for another graph. "
                "Calibrate again with: posetrt calibrate FOLDER --images DIR"
            )
        return ranges[name]

    def _share_scales(self) -> None:
        """One scale for the quantised operands of a residual add, and for all that a concat joins: TensorRT then moves 8-bit values as they are."""
        changed = True
        while changed:
            changed = False
            for group in self.together:
                widest = self.ranges[group[0]]
                for name in group[1:]:
                    widest = widest.widened(self.ranges[name])
                for name in group:
                    one = self.ranges[name]
                    if (one.amax, one.low, one.high) != (widest.amax, widest.low, widest.high):
                        self.ranges[name] = widest
                        changed = True


def eight_bit_share(graph: Graph, layout: Layout, kept_float: Collection[str], shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Share of all multiply-adds of the network that the graph of this layout does in INT8.

    Args:
        shapes: as for `multiply_adds`.
    """
    shares = layer_shares(graph, shapes)
    return sum(shares[name] for name in eight_bit_layers(graph, layout, kept_float))


def eight_bit_layers(graph: Graph, layout: Layout, kept_float: Collection[str]) -> set[str]:
    """Names of the layers that the graph of this layout computes in INT8: with ONNX Runtime, not those that feed a kept one either."""
    layers = [layer.name for layer in graph.layers if layer.name not in set(kept_float)]
    blank = dict.fromkeys(graph.float_tensors, Range(0, 1, 1, "", 0, 1))
    return {layer.name for layer in Plan(graph, layers, layout, blank).eight_bit}


def layer_shares(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, float]:
    """Each layer's share of all multiply-adds of the network, by name; what is no layer (products of two activations, computed weights) counts
    in the whole. `shapes` as for `multiply_adds`."""
    cost = multiply_adds(graph, shapes)
    total = max(sum(cost.values()), 1)
    return {layer.name: cost[layer.output] / total for layer in graph.layers}


def grids(graph: Graph, ranges: Mapping[str, Range], layout: Layout) -> dict[str, tuple[NDArray[np.float32], NDArray[Any]]]:
    """Scale and zero point by which each tensor is rounded where every layer is in INT8: uint8, or int8 around 0."""
    plan = Plan(graph, [layer.name for layer in graph.layers], layout, ranges)
    return {name: moved_grid(one) if name in plan.moved else activation_scale(one, layout) for name, one in plan.ranges.items()}
