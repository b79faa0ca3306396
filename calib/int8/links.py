"""Which channels of a graph must be scaled alike, and which cannot be scaled at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.export.graph.graph import Graph, Layer

# f(s·x) = s·f(x) for every s > 0, channel by channel: a scale passes through them unchanged.
_HOMOGENEOUS = frozenset(
    {
        "Relu",
        "LeakyRelu",
        "PRelu",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Identity",
        "Dropout",
        "Resize",
        "Upsample",
    }
)


@dataclass
class Links:
    """Channels that must be scaled alike have one number.

    Attributes:
        numbers: (C,) int64 by tensor, for every tensor whose channels come from convolutions through what lets a scale through.
        refused: by number, why these channels cannot be scaled.
        ceilings: by number, the lowest value at which a clip cuts these channels: they may be scaled up to it, and no further.
        clipped: tensors that such clips write.
    """

    numbers: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    ceilings: dict[int, float] = field(default_factory=dict)
    clipped: list[str] = field(default_factory=list)

    def refuse(self, tensor: str, reason: str) -> None:
        """None of this tensor's channels can be scaled."""
        for number in self.numbers.get(tensor, np.empty(0, np.int64)).tolist():
            self.refused.setdefault(number, reason)


def links(graph: Graph) -> Links:
    """Follow every convolution's channels to where they are read.

    A scale passes ReLU, PReLU, pooling, resizing, a factor for each channel, both operands of a sum alike, a concatenation piece by piece, and
    upwards a clip from 0. A depthwise convolution takes it into its weights. Everything else refuses it.
    """
    found = Links()
    layers = {layer.output: layer for layer in graph.layers}
    joined: list[tuple[int, int]] = []
    for node in graph.nodes:
        output = node.output[0]
        layer = layers.get(output)
        if layer is not None and layer.kind == "Conv":
            first = sum(map(len, found.numbers.values()))
            if not layer.depthwise:
                found.refuse(layer.input, f"{node.op_type} {layer.name} reads it too")
            found.numbers[output] = np.arange(first, first + layer.shape[0])
            continue
        passed = _passed(graph, found, node, joined)
        if passed is None:
            for name in node.input:
                found.refuse(name, f"{node.op_type}{' ' + node.name if node.name else ''} does not let a scale through")
        else:
            found.numbers[output] = passed
    for name in graph.outputs:
        found.refuse(name, f"{name} is an output of the network")
    return _merged(found, joined)


def _passed(graph: Graph, found: Links, node: Any, joined: list[tuple[int, int]]) -> NDArray[np.int64] | None:
    """The numbers of a node's output channels; None where no scale gets through."""
    inputs = [found.numbers.get(name) for name in node.input]
    first = inputs[0] if inputs else None
    if node.op_type == "Concat":
        axis = next((one.i for one in node.attribute if one.name == "axis"), None)
        return np.concatenate(inputs) if axis == 1 and all(one is not None for one in inputs) else None  # type: ignore[arg-type]
    if node.op_type == "Add" and len(inputs) == 2:
        second = inputs[1]
        if first is None or second is None or len(first) != len(second):
            return None
        joined.extend(zip(first.tolist(), second.tolist(), strict=True))
        return first
    if node.op_type == "Mul" and first is not None and node.input[1] in graph.constants:
        factor = graph.constants[node.input[1]]
        return first if factor.size == 1 or factor.shape[-3:] == (len(first), 1, 1) else None
    if node.op_type == "Clip" and first is not None:
        low, high = graph.clip_bounds(node)
        if low != 0 or high is None:
            return None
        for number in first.tolist():
            found.ceilings[number] = min(high, found.ceilings.get(number, high))
        found.clipped.append(node.output[0])
        return first
    return first if node.op_type in _HOMOGENEOUS else None


def _merged(found: Links, joined: list[tuple[int, int]]) -> Links:
    """The same with one number for all that sums have joined."""
    parent = list(range(sum(map(len, found.numbers.values())) + 1))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for one, other in joined:
        first, second = root(one), root(other)
        parent[max(first, second)] = min(first, second)
    refused: dict[int, str] = {}
    ceilings: dict[int, float] = {}
    for number, reason in found.refused.items():
        refused.setdefault(root(number), reason)
    for number, high in found.ceilings.items():
        ceilings[root(number)] = min(high, ceilings.get(root(number), high))
    numbers = {name: np.array([root(one) for one in known.tolist()], np.int64) for name, known in found.numbers.items()}
    return Links(numbers, refused, ceilings, found.clipped)


def depthwise_layers(graph: Graph) -> list[Layer]:
    """The layers whose input channels can have any scale."""
    return [layer for layer in graph.layers if layer.depthwise]
