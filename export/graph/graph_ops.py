"""Nodes written one after the other into a graph that exists already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Value = str | float | NDArray[Any]


class GraphOps:
    """Writes nodes whose names begin with one prefix. A float argument becomes a float32 constant, an array a constant as it is."""

    def __init__(self, graph: Any, prefix: str) -> None:
        self._graph, self._prefix = graph, prefix
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def __call__(self, kind: str, *inputs: Value, **attributes: Any) -> str:
        """Add a node of one output and give that output's name."""
        return self.several(kind, 1, *inputs, **attributes)[0]

    def several(self, kind: str, count: int, *inputs: Value, **attributes: Any) -> list[str]:
        """Add a node of `count` outputs and give their names."""
        from onnx import helper

        name = f"{self._prefix}{len(self._nodes)}_{kind}"
        outputs = [name if index == 0 else f"{name}_{index}" for index in range(count)]
        names = [each if isinstance(each, str) else self._constant(each) for each in inputs]
        self._nodes.append(helper.make_node(kind, names, outputs, name=name, **attributes))
        return outputs

    def put(self, *, front: bool = False, renamed: Mapping[str, str] | None = None) -> None:
        """Add the nodes to the graph, behind its own or in front of them; `renamed` gives some of their tensors other names."""
        for node in self._nodes:
            for held in (node.input, node.output):
                for index, name in enumerate(held):
                    held[index] = (renamed or {}).get(name, name)
        own = list(self._graph.node)
        del self._graph.node[:]
        self._graph.node.extend([*self._nodes, *own] if front else [*own, *self._nodes])

    def _constant(self, value: float | NDArray[Any]) -> str:
        from onnx import numpy_helper

        array = np.asarray(value, np.float32) if isinstance(value, float | int) else value
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"{self._prefix}constant_{len(self._constants)}"
            self._graph.initializer.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]


def axes(*numbers: int) -> NDArray[np.int64]:
    """The int64 array that operators take axes, starts and sizes as."""
    return np.array(numbers, np.int64)
