"""Candidates decoded in the graph give what the decoder gives of the raw outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.calib.heads.rows import encode
from posetrt.export.graph.graph_ops import GraphOps
from posetrt.export.heads.candidate_graph import choose_rows
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.rows import RowsHead
from tests.rtx import build_with_rtx
from tests.runtime.heads.families import COCO, ROWS
from tests.runtime.heads.test_rows import SIZE, people_in_a_row

RAW = [name for name, head in ROWS.items() if not head.ranked]


def graph_of(head: RowsHead, tensors: dict[str, NDArray[np.float32]], most: int = 300) -> tuple[Any, RowsHead]:
    """A graph whose inputs are the raw outputs, decoded inside."""
    from onnx import TensorProto, helper

    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *value.shape[1:]]) for name, value in tensors.items()]
    graph = helper.make_graph([], "decode", inputs, [])
    ops = GraphOps(graph, "decode/")
    rows, _, decoded = choose_rows(ops, head, SIZE, most)
    ops.put(renamed={rows: "rows"})
    graph.output.append(helper.make_tensor_value_info("rows", TensorProto.FLOAT, None))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), decoded


def run(model: Any, tensors: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    return {"rows": session.run(None, tensors)[0]}


@pytest.mark.parametrize("family", RAW)
def test_the_graph_finds_the_same_people(family: str) -> None:
    head = ROWS[family]
    frames = [encode(head, COCO, [people_in_a_row(count)], SIZE) for count in (3, 10)]
    tensors = {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}
    model, decoded = graph_of(head, tensors)
    inside = decoded.decoder(COCO).decode(run(model, tensors), SIZE)
    outside = head.decoder(COCO).decode(tensors, SIZE)
    for a, b in zip(inside, outside, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
        np.testing.assert_allclose(a.keypoints, b.keypoints, atol=2e-3)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=2e-3)


@pytest.mark.parametrize("family", RAW)
def test_tensorrt_builds_it(family: str) -> None:
    head = ROWS[family]
    tensors = encode(head, COCO, [people_in_a_row(1)], SIZE)
    model, _ = graph_of(head, tensors)
    profile = {name: (value.shape, value.shape, (2, *value.shape[1:])) for name, value in tensors.items()}
    assert build_with_rtx(model, profile)


def test_fewer_rows_than_asked_come_of_a_small_picture() -> None:
    head = ROWS["yolo11"]
    tensors = encode(head, COCO, [people_in_a_row(1)], SIZE)
    model, _ = graph_of(head, tensors, most=20)
    assert run(model, tensors)["rows"].shape == (1, 20, 56)


def test_what_is_decoded_already_is_refused() -> None:
    for family in ("yolo26", "movenet"):
        with pytest.raises(UsageError, match="already"):
            graph_of(ROWS[family], encode(ROWS[family], COCO, [people_in_a_row(1)], SIZE))
    with pytest.raises(UsageError, match="1 to 3840"):
        graph_of(ROWS["yolo11"], encode(ROWS["yolo11"], COCO, [people_in_a_row(1)], SIZE), most=4000)
