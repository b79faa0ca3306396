"""All 256 levels in TensorRT's layout, whose grid lies around 0, for tensors that do not: behind a ReLU half of the levels would stand for nothing.

Such a tensor is rounded less a constant, the middle of its range: `DQ(Q(x - middle))` on the grid from -128 to 127. What reads it gets the constant back
in its bias, as `middle` times the sum of each filter. What writes it takes the constant from its own bias, and a ReLU in between goes: 0 becomes the grid's
lowest level, and rounding cuts there. So the graph has no operator more. Where what writes it is no layer, as behind SiLU, one subtraction joins the
element-wise operators that are there.

TensorRT rounds to -128 to 127, with the zero point 0 alone (source: its documentation of IQuantizeLayer). A convolution that pads does not serve: its
padding is a 0 of the moved tensor, which is the middle of the range.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.ranges import Range
from posetrt.calib.int8.scales import activation_scale, as_float16_holds
from posetrt.export.graph.graph import Graph, Layer

# A range that needs no more than this share of its symmetric form's levels is moved.
_WORTH = 0.8

# Element by element: an engine computes a subtraction behind them in the same step. Behind what only moves values (pools, slices, resizes) it would be a
# step of its own, where the engine rounds in front of them.
_POINTWISE = frozenset(
    {
        "Add",
        "Clip",
        "Div",
        "Elu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Mish",
        "Mul",
        "PRelu",
        "Relu",
        "Sigmoid",
        "Sub",
        "Swish",
        "Tanh",
    }
)


def moved_grid(one: Range) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scale and zero point by which a moved tensor with this range is rounded, as uint8 where it lies; 0 is a level."""
    scale = as_float16_holds(activation_scale(one, "ort")[0])
    return scale, np.asarray(np.clip(np.rint(-one.low / scale), 0, 255), np.uint8)


def moved_scale(one: Range) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale of the 8-bit form of a moved tensor with this range, and what is taken from it before it is rounded."""
    scale, zero = moved_grid(one)
    return scale, np.asarray((128 - zero.astype(np.float32)) * scale, np.float32)


def moved_tensors(
    graph: Graph,
    layers: Iterable[Layer],
    operators: Collection[Any],
    together: Sequence[Sequence[str]],
    ranges: Mapping[str, Range],
) -> frozenset[str]:
    """The quantised tensors that are moved.

    Args:
        layers: in INT8.
        operators: nodes besides, that take 8-bit tensors: adds and concats.
        together: tensors that share a scale; they are moved together.
        ranges: of the quantised tensors.
    """
    readers = {layer.output: layer for layer in layers}
    joined, outputs = {id(node) for node in operators}, {layer.output for layer in graph.layers}

    def serves(name: str) -> bool:
        made = graph.producers.get(name)
        if made is None or name in graph.outputs or ranges[name].high - ranges[name].low > _WORTH * 2 * ranges[name].amax:
            return False
        joins = made.op_type == "Concat" and id(made) in joined
        if not joins and made.op_type not in _POINTWISE and name not in outputs:
            return False
        for node in graph.consumers.get(name, ()):
            layer = readers.get(node.output[0])
            if layer is not None and not _gives_back(node, layer):
                return False
            if id(node) in joined and node.op_type != "Concat":
                return False
            # What a concatenation of moved tensors writes is moved, and has no other form.
            if joins and layer is None and id(node) not in joined:
                return False
        return True

    moved = {name for name in ranges if serves(name)}
    while True:
        apart = {name for group in together if not moved.issuperset(group) for name in group} & moved
        if not apart:
            return frozenset(moved)
        moved -= apart


def maker_of(graph: Graph, name: str, one: Range, readers: Collection[str], rounded: Collection[str]) -> Layer | None:
    """The layer whose bias can take what a moved tensor is moved by, so that nothing but the 8-bit form is left of the tensor; or None.

    Args:
        readers: outputs of the nodes that read the 8-bit form.
        rounded: the quantised tensors.
    """
    if any(node.output[0] not in readers for node in graph.consumers.get(name, ())):
        return None
    bare = name
    node = graph.producers[name]
    if node.op_type in ("Relu", "Clip"):
        bare = node.input[0]
        if graph.activated(bare) != name or not cut_by_rounding(graph, node, one):
            return None
        node = graph.producers.get(bare)
    sums = node is not None and node.op_type == "Add"
    wanted = [part for part in node.input if part not in rounded] if sums else [bare]
    for layer in graph.layers:
        if layer.output not in wanted or layer.kind == "MatMul":
            continue
        if not sums or (len(graph.consumers[layer.output]) == 1 and layer.output not in graph.outputs):
            return layer
    return None


def cut_by_rounding(graph: Graph, node: Any, one: Range) -> bool:
    """Whether rounding to a range that begins at 0 does what a ReLU, or a clip from 0, would do."""
    high = graph.clip_bounds(node)[1] if node.op_type == "Clip" else None
    return one.low == 0 and (high is None or one.high <= high)


def given_back(rounded: NDArray[np.int8], scales: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """(out,) sum of each filter of a layer, with its weights as INT8 has them.

    Args:
        rounded, scales, axis: whole numbers, the scale of each output channel, and which axis counts these.
    """
    others = tuple(one for one in range(rounded.ndim) if one != axis)
    sums: NDArray[np.float32] = (rounded.astype(np.float64).sum(axis=others) * scales).astype(np.float32)
    return sums


def _gives_back(node: Any, layer: Layer) -> bool:
    """Whether a layer's bias can give back what its input was moved by: every output adds up whole filters."""
    if layer.kind == "Gemm":
        return True
    pads = next((one for one in node.attribute if one.name == "pads"), None)
    own = next((one.s for one in node.attribute if one.name == "auto_pad"), b"NOTSET")
    return layer.kind == "Conv" and own in (b"NOTSET", b"VALID") and not (pads is not None and any(pads.ints))
