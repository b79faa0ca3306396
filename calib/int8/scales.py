"""Scales: how wide a step of 8 bits is, of activations and of weights, in each layout."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.ranges import Range
from posetrt.export.graph.graph import Graph, Layer

Layout = Literal["ort", "trt"]

_LARGEST, _SMALLEST = float(np.finfo(np.float16).max), float(np.finfo(np.float16).tiny)


def weight_scales(weight: NDArray[np.floating[Any]], bias: NDArray[np.floating[Any]] | None, input_scale: float) -> NDArray[np.float32]:
    """(out,) float32: the scale of each output channel's int8 weights, symmetric; `weight` has the output channels first.

    A dead channel gets the scale 1; and where a bias would leave int32 at this scale, the scale is raised until it fits.
    """
    widest = np.abs(weight.reshape(len(weight), -1)).max(axis=1).astype(np.float64)
    scales = np.where(widest > 0, widest / 127, 1.0)
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias) / (input_scale * (2**31 - 1)) * 2)
    fitted: NDArray[np.float32] = np.maximum(scales, np.finfo(np.float32).tiny).astype(np.float32)
    return fitted


def as_float16_holds(scales: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Scales as float16 holds them, at least its smallest normal number (6.1e-5), in float32; those above its largest as they are.

    TensorRT's graphs with float32 and with float16 around INT8 have the same scales, so that what is judged is what is built. Weights are rounded by the
    raised scale: they get smaller, not the filter larger.
    """
    with np.errstate(over="ignore"):
        held = np.maximum(scales, _SMALLEST).astype(np.float16).astype(np.float32)
    kept: NDArray[np.float32] = np.where(scales > _LARGEST, scales, held).astype(np.float32)
    return kept


def activation_scale(one: Range, layout: Layout) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Scale and zero point of the 8-bit form of a tensor with this range: uint8 for ONNX Runtime, int8 around 0 for TensorRT."""
    if layout == "trt":
        return as_float16_holds(np.asarray(max(one.amax, 1e-8) / 127)), np.asarray(0, np.int8)
    scale = np.asarray(max(one.high - one.low, 1e-8) / 255, np.float32)
    return scale, np.asarray(np.clip(np.rint(-one.low / scale), 0, 255), np.uint8)


def bias_of(graph: Graph, layer: Layer) -> NDArray[Any] | None:
    """(out,) a layer's bias, which a Gemm may hold as a row of a table; None where it has none."""
    bias = graph.constants[layer.bias] if layer.bias else None
    return bias if bias is None or bias.ndim == 1 else bias.reshape(-1)


def rounded_weights(
    graph: Graph,
    layer: Layer,
    layout: Layout,
    input_scale: float,
    on_grid: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A layer's weights as int8, in their own shape, and the scale of each output channel.

    Args:
        on_grid: its weights in `Corrections.weights`.
    """
    weight = graph.constants[layer.weight]
    bias = bias_of(graph, layer) if layout == "ort" else None
    scales = weight_scales(np.moveaxis(weight, layer.axis, 0), bias, input_scale)
    if layout == "trt":
        scales = as_float16_holds(scales)
    each = scales.reshape([-1 if axis == layer.axis else 1 for axis in range(weight.ndim)])
    return np.clip(np.rint((weight if on_grid is None else on_grid) / each), -127, 127).astype(np.int8), scales
