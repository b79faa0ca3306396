"""How much its readers make of each channel that a layer writes: what an error there matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.scales import as_float16_holds, weight_scales
from posetrt.export.graph.graph import Graph, Layer
from posetrt.export.graph.onnx_file import reads

# Operators behind which each channel is still by itself, and about as large.
_CHANNEL_BY_CHANNEL = frozenset(
    {"Add", "Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "MaxPool", "Mul", "PRelu", "Relu", "Resize", "Sigmoid", "Sub"}
)

Heard = Mapping[str, NDArray[np.float64] | None]


def heard(graph: Graph) -> Heard:
    """(C,) by tensor: the largest factor by which anything that reads it multiplies each channel; of a depthwise layer, with that of its own readers.

    None where not all readers are known: convolutions without groups, depthwise ones, and operators that work channel by channel. Tensors that nobody reads
    are left out.
    """
    layers = {layer.output: layer for layer in graph.layers}
    found: dict[str, NDArray[np.float64] | None] = dict.fromkeys(graph.outputs)
    for node in reversed(graph.nodes):
        layer = layers.get(node.output[0])
        for name in reads(node):
            if name in graph.constants:
                continue
            if layer is not None:
                factor = _by_layer(graph, layer, found) if name == layer.input else None
            elif node.op_type in _CHANNEL_BY_CHANNEL:
                if node.output[0] not in found:
                    continue  # nobody reads it
                factor = _by_constant(graph, node, found[node.output[0]])
            else:
                factor = None
            before = found.get(name, factor)
            apart = factor is None or before is None or factor.shape != before.shape
            found[name] = None if apart else np.maximum(before, factor)  # type: ignore[arg-type]
    return found


def _by_layer(graph: Graph, layer: Layer, found: Heard) -> NDArray[np.float64] | None:
    weight = np.abs(graph.constants[layer.weight].astype(np.float64))
    if layer.kind == "Conv" and layer.group == 1:
        factor: NDArray[np.float64] = np.sqrt(np.square(weight).sum(axis=(0, 2, 3)))
        return factor
    if not layer.depthwise or len(weight) != layer.group:
        return None
    own: NDArray[np.float64] = weight.reshape(len(weight), -1).max(axis=1)
    behind = found.get(layer.output)
    return own if behind is None or behind.shape != own.shape else own * behind


def _by_constant(graph: Graph, node: Any, factor: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """What stands behind an operator, times the constant that it multiplies by, if any."""
    constants = [graph.constants[name] for name in node.input if name in graph.constants]
    if factor is None or node.op_type != "Mul" or not constants:
        return factor
    by = np.abs(constants[0].astype(np.float64))
    if by.size == 1:
        return factor * by.reshape(1)
    return factor * by.reshape(-1) if by.shape[-3:] == (len(factor), 1, 1) else None


def coarsened(graph: Graph, layer: Layer, factors: Heard) -> float:
    """How many times as large the squared error of a layer's weights gets because float16 holds no scale as small as theirs; 1 where it does.

    Channels count by what their readers make of them: many networks have channels that hardly differ from their bias, whose weights are small and whose
    readers do not multiply by more. Where the readers are not known, channels count alike. Channels without any weight do not count.

    Args:
        factors: as `heard` gives them.
    """
    weight = np.moveaxis(graph.constants[layer.weight], layer.axis, 0)
    alive = np.abs(weight.reshape(len(weight), -1)).max(axis=1) > 0
    wanted = weight_scales(weight, None, 1.0).astype(np.float64)
    held = as_float16_holds(wanted).astype(np.float64)
    behind = factors.get(layer.output)
    known = behind is not None and behind.shape == wanted.shape
    counts = alive * behind if known and (alive * behind).any() else alive.astype(np.float64)
    if not counts.any():
        return 1.0
    return float(np.square(held * counts).sum() / np.square(wanted * counts).sum())
