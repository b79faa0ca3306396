"""Tiny ONNX graphs with the outputs of networks that give candidates: their values come of the picture's mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.heads.rows import encode
from posetrt.export.heads.base import GraphFacts, OutputFacts
from posetrt.runtime.heads.candidates import CandidateHead, cells_of
from posetrt.runtime.heads.rows import RowsHead
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from tests.runtime.heads.families import BOXES, COCO

SIZE = (256, 192)
Outputs = dict[str, NDArray[Any]]
_GREY, _NOISE = 0.25, 0.75  # means of the two pictures


def people_everywhere(head: CandidateHead, seed: int, size_wh: tuple[int, int] = SIZE) -> People:
    """A candidate for each cell with a box and key points about it, as an untrained or trained network has; or twelve, best first."""
    rng = np.random.default_rng(seed)
    cells = cells_of(head.strides or (8, 16, 32), size_wh, head.per_cell)
    if head.ranked:
        cells = cells[:, rng.choice(cells.shape[1], 12, replace=False)]
    point = ((cells[:2] + np.float32(head.cell_point)) * cells[2]).T
    count = len(point)
    most = (head.values["box"][2] // 4 - 1) / 2 if head.box == "distribution" else 3
    half = rng.uniform(1, most, (count, 2)) * cells[2, :, None]
    # Where offsets are read, they are as often to the left as to the right.
    middle = point + rng.uniform(-0.45, 0.45, (count, 2)) * cells[2, :, None] if head.box == "log-size" else point
    boxes = np.concatenate([middle - half, 2 * half], 1).astype(np.float32)
    parts = head.parts if isinstance(head, RowsHead) else 0
    points = np.zeros((count, parts, 3), np.float32)
    points[..., :2] = point[:, None] + rng.uniform(-1, 1, (count, parts, 2)) * half[:, None]
    points[..., 2] = rng.uniform(0.1, 0.9, (count, parts))
    scores = rng.uniform(0.01, 0.3, count).astype(np.float32)
    return People(points, np.sort(scores)[::-1].copy() if head.ranked else scores, boxes=boxes)


def outputs_of(head: CandidateHead, seed: int, size_wh: tuple[int, int] = SIZE) -> Outputs:
    """What such a network gives of one picture."""
    skeleton: Skeleton = COCO if isinstance(head, RowsHead) else BOXES
    people = people_everywhere(head, seed, size_wh)
    outputs: Outputs = dict(encode(head, skeleton, [people], size_wh))
    rng = np.random.default_rng(seed)
    if "classes" in head.values and not head.ranked:
        # The other classes have scores too.
        role, start, count = head.values["classes"]
        for name in [name for key, name in head.outputs.items() if key.partition("/")[0] == role]:
            axis = 1 if head.transposed else -1
            part = np.moveaxis(outputs[name], axis, 0)[start : start + count]
            unset = np.abs(part) < 1e-9 if head.activation == "none" else part <= -29
            part[unset] = rng.uniform(0, 0.1, unset.sum()) if head.activation == "none" else rng.uniform(-9, -2, unset.sum())
    return outputs


def network(
    noise: Mapping[str, NDArray[Any]],
    grey: Mapping[str, NDArray[Any]],
    *,
    layout: str = "NCHW",
    dtype: str = "float32",
    size_wh: tuple[int, int] = SIZE,
) -> Any:
    """A graph that gives `noise` for a picture whose mean is .75 of the range, `grey` for one of .25, and between them what lies between."""
    from onnx import TensorProto, helper, numpy_helper

    kinds = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "uint8": TensorProto.UINT8}
    shape = [1, 3, size_wh[1], size_wh[0]] if layout == "NCHW" else [1, size_wh[1], size_wh[0], 3]
    full = 1.0 if dtype == "float32" else 255.0
    nodes = [
        helper.make_node("Cast", ["picture"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], keepdims=0),
    ]
    weights, outputs = [], []

    def constant(name: str, value: NDArray[Any]) -> str:
        weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    low = constant("low", np.float32(_GREY * full))
    nodes.append(helper.make_node("Sub", ["mean", low], ["above"]))
    nodes.append(helper.make_node("Div", ["above", constant("range", np.float32((_NOISE - _GREY) * full))], ["share"]))
    for name, value in noise.items():
        start = constant(f"{name}_grey", grey[name].astype(np.float32))
        step = constant(f"{name}_step", value.astype(np.float32) - grey[name].astype(np.float32))
        nodes.append(helper.make_node("Mul", ["share", step], [f"{name}_change"]))
        whole = value.dtype.kind == "i"
        nodes.append(helper.make_node("Add", [start, f"{name}_change"], [f"{name}_float" if whole else name]))
        if whole:
            nodes.append(helper.make_node("Cast", [f"{name}_float"], [name], to=TensorProto.INT64))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.INT64 if whole else TensorProto.FLOAT, list(value.shape)))
    picture = helper.make_tensor_value_info("picture", kinds[dtype], shape)
    graph = helper.make_graph(nodes, "candidates", [picture], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def facts_of(model: Any, *, metadata: Mapping[str, str] | None = None, size_wh: tuple[int, int] = SIZE) -> GraphFacts:
    """The graph run on the two pictures."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    given = session.get_inputs()[0]
    dtype = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(uint8)": "uint8"}[given.type]
    full = 1.0 if dtype == "float32" else 255.0
    noise, grey = (session.run(None, {given.name: np.full(given.shape, mean * full).astype(dtype)}) for mean in (_NOISE, _GREY))
    return GraphFacts(
        file="candidates.onnx",
        input_name=given.name,
        layout="NHWC" if given.shape[-1] == 3 else "NCHW",
        dtype=dtype,
        size_wh=size_wh,
        outputs=tuple(OutputFacts(output.name, a, b) for output, a, b in zip(session.get_outputs(), noise, grey, strict=True)),
        metadata=metadata or {},
        operators=Counter(node.op_type for node in model.graph.node),
    )


def facts_for(head: CandidateHead, **options: Any) -> GraphFacts:
    """Of a network with that head."""
    metadata, size_wh = options.pop("metadata", None), options.pop("size_wh", SIZE)
    model = network(outputs_of(head, 0, size_wh), outputs_of(head, 1, size_wh), size_wh=size_wh, **options)
    return facts_of(model, metadata=metadata, size_wh=size_wh)
