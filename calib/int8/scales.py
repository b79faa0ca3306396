"""Scales: how wide a step of 8 bits is, of activations and of weights, in each layout."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.ranges import Range
from posetrt.export.graph.graph import Graph, Layer

Layout = Literal["ort", "trt"]

# Operators that give each channel of a convolution's output by itself.
_ELEMENTWISE = frozenset(
    {"Add", "Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "MaxPool", "Mul", "PRelu", "Relu", "Resize", "Sigmoid", "Sub"}
)
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


def coarsened(graph: Graph, layer: Layer) -> float:
    """How many times as large the squared error of a layer's weights gets because float16 holds no scale as small as theirs; 1 where it does.

    A channel counts by how much its readers make of it: one that hardly differs from its bias has small weights, and its readers none that make
    up for them. Where they cannot be followed, channels count alike.
    """
    weight = graph.constants[layer.weight]
    wanted = weight_scales(np.moveaxis(weight, layer.axis, 0), None, 1.0).astype(np.float64)
    held = as_float16_holds(wanted).astype(np.float64)
    heard = _heard(graph, layer.output, len(wanted))
    if heard is None or not heard.any():
        heard = np.ones_like(wanted)
    return float(np.square(held * heard).sum() / np.square(wanted * heard).sum())


def _heard(graph: Graph, name: str, channels: int) -> NDArray[np.float64] | None:
    """(channels,) the largest factor that a tensor's readers give each channel; of depthwise ones, with that of their own readers.

    None where something reads it that mixes channels otherwise than by a convolution, and where nothing does.
    """
    layers = {layer.output: layer for layer in graph.layers}
    found: list[NDArray[np.float64]] = []
    waiting, done = [name], set[str]()
    while waiting:
        here = waiting.pop()
        done.add(here)
        for node in graph.consumers.get(here, ()):
            layer = layers.get(node.output[0])
            if layer is None:
                if node.op_type not in _ELEMENTWISE:
                    return None
                waiting += [one for one in node.output if one not in done]
                continue
            weight = graph.constants[layer.weight].astype(np.float64)
            if layer.depthwise and len(weight) == channels:
                behind = _heard(graph, layer.output, channels)
                found.append(np.abs(weight).reshape(channels, -1).max(axis=1) * (1.0 if behind is None else behind))
            elif layer.kind == "Conv" and layer.group == 1 and weight.shape[1] == channels:
                found.append(np.sqrt(np.square(weight).sum(axis=(0, 2, 3))))
            else:
                return None
    return np.max(found, axis=0) if found else None


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
