"""A range for each channel, where ONNX Runtime's layout can have one: on what a convolution writes that is read in float alone.

There a convolution writes 8 bits before its activation, so SiLU and its like see a rounded tensor, and one range has to serve channels that differ
much. The convolution's filters are divided by the channels' steps, which costs its per-channel weights nothing; one common step rounds what it writes; and
each channel is multiplied by its own step where it is float again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.ranges import Range
from posetrt.export.graph.graph import Graph

# Operators that compute in 8 bits on what a convolution writes.
_EIGHT_BIT = frozenset({"Add", "Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool"})
# A channel that hardly reaches anywhere counts as if it reached this share of the tensor.
_FLOOR = 1e-3

Ends = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


def read_in_eight_bits(graph: Graph, name: str) -> bool:
    """Whether anything computes in 8 bits on a tensor. A concatenation does where its own result is read so: in front of a shuffle it would only round."""
    return any(
        read_in_eight_bits(graph, node.output[0]) if node.op_type == "Concat" else node.op_type in _EIGHT_BIT
        for node in graph.consumers.get(name, ())
    )


def by_channel(graph: Graph) -> list[str]:
    """The tensors that can have a range for each channel: what convolutions write, behind their ReLU where one follows."""
    return [
        layer.activated
        for layer in graph.layers
        if layer.kind == "Conv"
        and layer.activated not in graph.outputs
        and graph.consumers.get(layer.activated)
        and not read_in_eight_bits(graph, layer.activated)
    ]


def with_channel_ranges(ranges: Mapping[str, Range], ends: Ends) -> dict[str, Range]:
    """The ranges, with one for each channel of some tensors: what the channel held, and no more than the tensor's own range keeps.

    Args:
        ends: smallest and largest value of each channel.
    """
    found = dict(ranges)
    for name, (low, high) in ends.items():
        if name not in ranges:
            continue
        whole = ranges[name]
        least = _FLOOR * (whole.high - whole.low)
        lows = np.clip(low, whole.low, 0).astype(np.float32)
        highs = np.maximum(np.clip(high, 0, whole.high), lows + least).astype(np.float32)
        found[name] = replace(whole, lows=tuple(lows.tolist()), highs=tuple(np.maximum(highs, 0).tolist()))
    return found


def steps(one: Range) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Step and zero point of each channel of a tensor with this range: (C,) float32, (C,) uint8."""
    lows, highs = np.array(one.lows, np.float64), np.array(one.highs, np.float64)
    step = (np.maximum(highs - lows, 1e-8) / 255).astype(np.float32)
    return step, np.clip(np.rint(-lows / step), 0, 255).astype(np.uint8)
