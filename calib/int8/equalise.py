"""Equalisation: channels scaled across Conv-ReLU-Conv in the weights, so that one INT8 range serves them all.

Source: M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, section 4.1. Here the scales come from the activations, and only inputs of depthwise convolutions are
scaled: their filters have a weight scale of their own a channel, so nothing is lost in the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.observe import Observation
from posetrt.export.graph.graph import Graph, Layer

# f(s·x) = s·f(x) for every s > 0, channel by channel: a scale passes through them unchanged.
_HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "Identity", "Dropout"})
SHARE = 0.9999
FLOOR = 0.02


@dataclass(frozen=True)
class Family:
    """Tensors whose channels are scaled together: from one convolution, through ReLU, to depthwise convolutions.

    Attributes:
        producer: the convolution that is divided.
        tensors: that carry the scale, from the convolution's output to the last consumer's input.
        consumers: the depthwise convolutions that are multiplied.
    """

    producer: Layer
    tensors: tuple[str, ...]
    consumers: tuple[Layer, ...]


def families(graph: Graph) -> tuple[tuple[Family, ...], dict[str, str]]:
    """Where channels can be scaled, and, for each depthwise input where they cannot, why."""
    by_output = {layer.output: layer for layer in graph.layers}
    by_node = {layer.name: layer for layer in graph.layers}
    found: dict[str, Family] = {}
    refused: dict[str, str] = {}
    for layer in graph.layers:
        if not layer.depthwise:
            continue
        source = layer.input
        while source not in by_output:
            node = graph.producers.get(source)
            if node is None or node.op_type not in _HOMOGENEOUS:
                refused[layer.input] = "it is the network's input" if node is None else f"{node.op_type} does not let a scale through"
                break
            source = node.input[0]
        else:
            family = _family(graph, by_output[source], by_node)
            if isinstance(family, str):
                refused[layer.input] = family
            else:
                found[source] = family
    return tuple(found.values()), refused


def _family(graph: Graph, producer: Layer, by_node: Mapping[str, Layer]) -> Family | str:
    """The family of a convolution, or why it has none."""
    tensors, consumers = [producer.output], []
    if _shared(graph, producer):
        return f"another layer has the weights of {producer.name} too"
    for tensor in tensors:
        if tensor in graph.outputs:
            return f"{tensor} is an output of the network"
        for node in graph.consumers.get(tensor, []):
            if node.op_type in _HOMOGENEOUS:
                tensors.append(node.output[0])
                continue
            layer = by_node.get(node.name or node.output[0])
            if layer is None or not layer.depthwise or layer.input != tensor:
                return f"{node.op_type} {node.name} reads it too"
            if _shared(graph, layer):
                return f"another layer has the weights of {layer.name} too"
            consumers.append(layer)
    return Family(producer, tuple(tensors), tuple(consumers))


def _shared(graph: Graph, layer: Layer) -> bool:
    """Whether weights or bias are read elsewhere too, so that scaling them here would change that place."""
    return any(len(graph.consumers.get(name, ())) > 1 for name in (layer.weight, layer.bias) if name)


def divisors(family: Family, seen: Observation) -> NDArray[np.float64]:
    """What each channel is divided by, so that all of them reach equally far.

    A channel's reach is its 99.99th percentile in the depthwise convolution's input; a dead channel counts as 2 % of the median. The
    median channel keeps its scale, so that nothing leaves float16's range.

    Returns:
        (C,) float64, positive.
    """
    reach = np.array([part.peak_quantile(SHARE) for part in seen.tensors[family.consumers[0].input].channels()])
    alive = reach[reach > 0]
    if not len(alive):
        return np.ones(len(reach))
    median = float(np.median(alive))
    scaled: NDArray[np.float64] = np.maximum(reach, FLOOR * median) / median
    # float32 as the weights are, so that a reader of calibration.json makes the same graph.
    return scaled.astype(np.float32).astype(np.float64)


def equalised(graph: Graph, scales: Mapping[str, NDArray[np.float64]]) -> Graph:
    """A copy of the graph with the channels of some convolutions divided and those of their readers multiplied.

    Args:
        scales: (C,) divisors by the name of the producing layer, as `divisors` gives them.

    Raises:
        ValueError: a layer that has no family in this graph.
    """
    known = {family.producer.name: family for family in families(graph)[0]}
    missing = sorted(set(scales) - set(known))
    if missing:
        raise ValueError(f"layers {missing[:3]} cannot be equalised in {graph.where}")
    changed: dict[str, NDArray[np.float64]] = {}

    def value(name: str) -> NDArray[np.float64]:
        return changed.get(name, graph.constants[name].astype(np.float64))

    for name, divisor in scales.items():
        family = known[name]
        changed[family.producer.weight] = value(family.producer.weight) / divisor[:, None, None, None]
        if family.producer.bias:
            changed[family.producer.bias] = value(family.producer.bias) / divisor
        for consumer in family.consumers:
            multiplier = np.repeat(divisor, consumer.shape[0] // len(divisor))
            changed[consumer.weight] = value(consumer.weight) * multiplier[:, None, None, None]
    return graph.with_constants({name: array.astype(np.float32) for name, array in changed.items()})
