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
_EIGHT_BIT = frozenset({"Add", "Concat", "Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool"})
# A channel that hardly reaches anywhere counts as if it reached this share of the tensor.
_FLOOR = 1e-3

Ends = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


def by_channel(graph: Graph) -> list[str]:
    """The tensors that can have a range for each channel."""
    return [
        layer.output
        for layer in graph.layers
        if layer.kind == "Conv"
        and layer.activated == layer.output
        and layer.output not in graph.outputs
        and graph.consumers.get(layer.output)
        and not any(node.op_type in _EIGHT_BIT for node in graph.consumers[layer.output])
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
