"""Equalisation: channels scaled from convolution to depthwise convolution in the weights, so that one INT8 range serves them all.

Source: M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, section 4.1. Here the scales come from the activations, and only inputs of depthwise convolutions are
scaled: their filters have a weight scale of their own a channel, so nothing is lost in the weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.dense import dense_divisors, streams
from posetrt.calib.int8.links import Links, depthwise_layers, links
from posetrt.export.graph.graph import Graph

# A channel that reaches less than this share of the median counts as if it reached so far: a dead one would get any scale.
FLOOR = 0.02
# How far a channel reaches is what it reaches on nine photographs of ten.
USUAL = 0.9

# The largest magnitude of each channel on each photograph: (photographs, C) float32, by tensor.
Peaks = Mapping[str, NDArray[np.float32]]


def watched(graph: Graph) -> list[str]:
    """Tensors whose channels must be looked at for `divisors`: inputs of depthwise convolutions, what clips write, and inputs of dense ones."""
    known = links(graph)
    free = [layer.input for layer in depthwise_layers(graph) if _free(known, layer.input)]
    return list(dict.fromkeys([*free, *(known.clipped if free else ()), *(name for one in streams(graph) for name in one.tensors)]))


def not_equalised(graph: Graph) -> dict[str, str]:
    """For each depthwise input of which no channel can be scaled, why."""
    known = links(graph)
    told = {}
    for layer in depthwise_layers(graph):
        if _free(known, layer.input):
            continue
        numbers = known.numbers.get(layer.input)
        node = graph.producers.get(layer.input)
        unknown = "it is the network's input" if node is None else f"{node.op_type} does not let a scale through"
        told[layer.input] = unknown if numbers is None else known.refused[int(numbers[0])]
    return told


def _free(known: Links, tensor: str) -> bool:
    numbers = known.numbers.get(tensor)
    return numbers is not None and any(number not in known.refused for number in numbers.tolist())


def divisors(graph: Graph, peaks: Peaks) -> dict[str, NDArray[np.float64]]:
    """What the channels of each layer are divided by, so that all channels that a depthwise convolution reads reach equally far.

    The median channel keeps its scale, so that nothing leaves float16's range. Where a clip stands on the way, channels are only scaled up, and
    no further than their highest value on any photograph allows, so that the clip cuts what it cut before.

    Args:
        peaks: of the tensors that `watched` names.

    Returns:
        (C,) float64, positive, by the name of the layer that is divided; layers that keep all their channels are left out.
    """
    known = links(graph)
    reach: dict[int, float] = {}
    highest: dict[int, float] = {}
    depthwise = {layer.input for layer in depthwise_layers(graph)}
    for name, seen in peaks.items():
        if name not in depthwise and name not in known.clipped:
            continue
        numbers = known.numbers[name].tolist()
        usual, most = np.quantile(seen, USUAL, axis=0), seen.max(axis=0)
        for number, one, top in zip(numbers, usual.tolist(), most.tolist(), strict=True):
            highest[number] = max(top, highest.get(number, 0.0))
            if name in depthwise:
                reach[number] = max(one, reach.get(number, 0.0))
    scale: dict[int, float] = {}
    for together in _together(graph, known, peaks):
        scale.update(_scales(together, known, reach, highest))
    found = {}
    for layer in graph.layers:
        numbers = known.numbers.get(layer.output)
        if numbers is not None and any(number in scale for number in numbers.tolist()):
            factor = np.array([scale.get(number, 1.0) for number in numbers.tolist()])
            # float32 as the weights are, so that a reader of calibration.json makes the same graph.
            found[layer.name] = factor.astype(np.float32).astype(np.float64)
    return {**dense_divisors(graph, peaks), **found}


def _together(graph: Graph, known: Links, peaks: Peaks) -> list[list[int]]:
    """Numbers of channels, in groups that share a tensor which a depthwise convolution reads."""
    groups: list[set[int]] = []
    for layer in depthwise_layers(graph):
        if layer.input not in peaks:
            continue
        joined = set(known.numbers[layer.input].tolist())
        apart = [group for group in groups if not group & joined]
        groups = [*apart, joined.union(*(group for group in groups if group & joined))]
    return [sorted(group) for group in groups]


def _scales(numbers: list[int], known: Links, reach: Mapping[int, float], highest: Mapping[int, float]) -> dict[int, float]:
    """The divisor of each channel of a group that may be scaled."""
    alive = [reach[number] for number in numbers if reach[number] > 0]
    if not alive:
        return {}
    median = float(np.median(alive))
    fixed = [reach[number] for number in numbers if number in known.refused]
    ceiling = min((known.ceilings[number] for number in numbers if number in known.ceilings), default=None)
    level = ceiling if ceiling is not None else max([median, *fixed])
    found = {}
    for number in numbers:
        if number in known.refused:
            continue
        wanted = max(reach[number], FLOOR * median) / level
        high = known.ceilings.get(number)
        found[number] = wanted if high is None else min(1.0, max(wanted, highest[number] / high))
    return found


def equalised(graph: Graph, scales: Mapping[str, NDArray[np.float64]]) -> Graph:
    """A copy of the graph with the channels of some convolutions divided and those of their readers multiplied.

    Args:
        scales: (C,) divisors by the name of the producing layer, as `divisors` gives them.

    Raises:
        ValueError: a layer whose channels cannot be scaled in this graph.
    """
    if not scales:
        return graph.copy()
    known = links(graph)
    layers = {layer.name: layer for layer in graph.layers}
    factor: dict[int, float] = {}
    dense: dict[str, NDArray[np.float64]] = {}
    before_dense = {maker.name: stream.tensors for stream in streams(graph) for maker in stream.makers}
    for name, divisor in scales.items():
        if name in before_dense and len(divisor) == layers[name].shape[0]:
            dense.update(dict.fromkeys(before_dense[name], divisor))
            continue
        numbers = known.numbers.get(layers[name].output) if name in layers else None
        if numbers is None or len(numbers) != len(divisor):
            raise ValueError(f"layer {name!r} cannot be equalised in {graph.where}")
        for number, one in zip(numbers.tolist(), divisor.tolist(), strict=True):
            if one != 1 and number in known.refused:
                raise ValueError(f"layer {name!r} cannot be equalised in {graph.where}: {known.refused[number]}")
            factor[number] = one
    graph = _with_own_weights(graph)
    changed: dict[str, NDArray[np.float32]] = {}
    for layer in graph.layers:
        weight = graph.constants[layer.weight].astype(np.float64)
        made, read = known.numbers.get(layer.output), known.numbers.get(layer.input) if layer.depthwise else None
        divisor = np.ones(1) if made is None else np.array([factor.get(number, 1.0) for number in made.tolist()])
        divisor = dense.get(layer.activated, divisor)
        if layer.input in dense and layer.kind == "Conv" and layer.group == 1:
            weight = weight * dense[layer.input].reshape(1, -1, 1, 1)
        multiplier = np.ones(1) if read is None else np.array([factor.get(number, 1.0) for number in read.tolist()])
        if np.any(divisor != 1) or np.any(multiplier != 1) or layer.input in dense:
            each = np.repeat(multiplier, layer.shape[0] // len(multiplier)) / divisor
            changed[layer.weight] = (weight * each.reshape(-1, 1, 1, 1)).astype(np.float32)
            if layer.bias and np.any(divisor != 1):
                changed[layer.bias] = (graph.constants[layer.bias].astype(np.float64) / divisor).astype(np.float32)
    return graph.with_constants(changed)


def _with_own_weights(graph: Graph) -> Graph:
    """A copy in which each layer has weights and a bias that nothing else reads: simplifiers merge those that are equal, as biases of zeros."""
    from onnx import numpy_helper

    copied = graph.copy()
    by_output = {node.output[0]: node for node in copied.model.graph.node}
    for layer in copied.layers:
        node = by_output[layer.output]
        for place, name in enumerate((layer.weight, layer.bias), start=1):
            if name and len(copied.consumers.get(name, ())) > 1:
                own = f"{layer.output}/{name}"
                copied.model.graph.initializer.append(numpy_helper.from_array(copied.constants[name], own))
                node.input[place] = own
    return Graph(copied.model, graph.where)
