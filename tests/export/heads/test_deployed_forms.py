"""Forms in which other tools export detectors and pose networks, and families that are refused by name: all without PyTorch."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from posetrt.export.graph.onnx_model import run_plainly
from posetrt.export.heads.base import Asked, GraphFacts, OutputFacts
from posetrt.export.heads.facts import image_input, with_known_inputs
from posetrt.export.heads.recognise import recognise
from posetrt.export.heads.user_graph import size_told
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.heads.boxes import BoxesHead
from posetrt.runtime.heads.registry import head_from_dict
from posetrt.runtime.heads.rows import RowsHead
from posetrt.runtime.model.skeleton import load_skeleton
from tests.export.heads.graph_facts import drawn, facts

SIZE = (544, 320)
BOXES = load_skeleton("boxes")
Array = NDArray[np.float32]


def boxes_of(count: int, seed: int = 0) -> tuple[Array, Array]:
    """(N, 4) left, top, right, bottom as shares of the picture, and (N, 1) scores, the best first."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.6, (count, 2))
    corners = np.concatenate([low, low + rng.uniform(0.1, 0.3, (count, 2))], 1).astype(np.float32)
    return corners, np.sort(rng.uniform(0.3, 0.9, (count, 1)), 0)[::-1].astype(np.float32)


def found_in(given: GraphFacts, tensors: dict[str, Array], asked: Asked | None = None) -> Any:
    """People of the one frame, by the head that was recognised."""
    head = recognise(given, asked or Asked())[0].head
    assert isinstance(head, BoxesHead)
    (found,) = head.decoder(BOXES).decode(tensors, SIZE)
    return found


def test_what_gives_as_many_rows_as_it_finds_is_read_though_two_pictures_differ() -> None:
    """RTMO and RTMDet as mmdeploy exports them: the rows that NMS leaves."""
    outputs = []
    for name, columns in (("dets", (5,)), ("keypoints", (17, 3))):
        pictures = []
        for seed, count in ((0, 11), (1, 1)):
            corners, scores = boxes_of(count, seed)
            values = np.concatenate([corners * 500, scores], 1) if name == "dets" else drawn((count, *columns), "pixels", seed)
            pictures.append(values[None])
        outputs.append(OutputFacts(name, *pictures))
    head = recognise(GraphFacts("end2end.onnx", "input", "NCHW", "float32", (640, 640), tuple(outputs)), Asked())[0].head
    assert isinstance(head, RowsHead)
    assert head.ranked


@pytest.mark.parametrize("label", [0, 1])
def test_detection_output_ends_where_the_frame_is_minus_one(label: int) -> None:
    corners, scores = boxes_of(6)
    rows = np.concatenate([np.zeros((6, 1)), np.full((6, 1), label), scores, corners], 1).astype(np.float32)
    padded = np.zeros((1, 1, 200, 7), np.float32)
    padded[0, 0, :6] = rows
    padded[0, 0, 6, 0] = -1
    found = found_in(facts(SIZE, {"detection_out": padded}), {"detection_out": padded})
    np.testing.assert_allclose(found.scores, scores[:, 0], rtol=1e-6)
    scale = np.array([*SIZE, *SIZE])
    np.testing.assert_allclose(found.boxes[:, :2], corners[:, :2] * scale[:2], atol=1e-2)
    np.testing.assert_allclose(found.boxes[:, 2:], (corners[:, 2:] - corners[:, :2]) * scale[2:], atol=1e-2)


def test_detection_output_of_several_classes_asks_which_is_a_person() -> None:
    corners, scores = boxes_of(6)
    rows = np.concatenate([np.zeros((6, 1)), np.arange(6)[:, None] + 10, scores, corners], 1).astype(np.float32)[None, None]
    with pytest.raises(UsageError, match="--class N"):
        recognise(facts(SIZE, {"detection_out": rows}), Asked())
    found = found_in(facts(SIZE, {"detection_out": rows}), {"detection_out": rows}, Asked(person_class=15))
    np.testing.assert_allclose(found.scores, scores[5], rtol=1e-6)


def test_rows_with_the_class_first_are_paddledetections() -> None:
    corners, scores = boxes_of(5)
    classes = np.array([0, 2, 0, -1, -1], np.float32)[:, None]
    rows = np.concatenate([classes, scores, corners * np.array([*SIZE, *SIZE])], 1).astype(np.float32)
    rows[3:, 1:] = 0
    found = found_in(facts(SIZE, {"multiclass_nms3_0.tmp_0": rows}), {"multiclass_nms3_0.tmp_0": rows})
    np.testing.assert_allclose(found.scores, scores[[0, 2], 0], rtol=1e-6)


def test_efficientdets_rows_have_y_first_and_count_people_as_1() -> None:
    corners, scores = boxes_of(8)
    pixels = (corners * np.array([*SIZE, *SIZE]))[:, [1, 0, 3, 2]]
    classes = np.array([1, 3] * 4)[:, None]
    rows = np.concatenate([np.zeros((8, 1)), pixels, scores, classes], 1).astype(np.float32)[None]
    found = found_in(facts(SIZE, {"detections:0": rows}, layout="NHWC", dtype="uint8"), {"detections:0": rows})
    np.testing.assert_allclose(found.scores, scores[::2, 0], rtol=1e-6)
    np.testing.assert_allclose(found.boxes[:, 0], corners[::2, 0] * SIZE[0], atol=1e-2)


def mediapipe_anchors(side: int, strides: tuple[int, ...]) -> Array:
    """(A, 2) middles in pixels, as MediaPipe's SsdAnchorsCalculator walks its layers: two anchors for each, neighbours of one stride together."""
    found, layer = [], 0
    while layer < len(strides):
        stride, each = strides[layer], 0
        while layer < len(strides) and strides[layer] == stride:
            layer, each = layer + 1, each + 2
        for row in range(side // stride):
            for column in range(side // stride):
                found += [((column + 0.5) * stride, (row + 0.5) * stride)] * each
    return np.array(found, np.float32)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("side", "strides", "columns", "count", "normalise"),
    [
        (224, (8, 16, 32, 32, 32), 12, 2254, "blaze"),
        (128, (8, 16, 16, 16), 12, 896, "blaze"),
        (192, (8, 16, 16, 16), 18, 2016, "mediapipe"),
        (256, (8, 16, 32, 32, 32), 18, 2944, "mediapipe"),
        (128, (8, 16, 16, 16), 16, 896, "blaze"),
        (256, (16, 32, 32, 32), 16, 896, "blaze"),
    ],
)
def test_mediapipes_detectors_count_from_anchors_in_the_middle_of_cells(
    side: int, strides: tuple[int, ...], columns: int, count: int, normalise: str, apart: bool
) -> None:
    anchors = mediapipe_anchors(side, strides)
    assert len(anchors) == count
    rng = np.random.default_rng(0)
    rows, scores = rng.normal(0, 5, (1, count, columns)).astype(np.float32), np.full((1, count, 1), -9, np.float32)
    at = np.array([3, count // 2, count - 5])
    scores[0, at, 0] = 2, 1, 0
    centre, size = np.float32([[0.2, 0.3], [0.7, 0.2], [0.5, 0.8]]) * side, np.float32([[20, 20], [24, 24], [16, 16]])
    rows[0, at, :2], rows[0, at, 2:4] = centre - anchors[at], size
    if columns == 12:
        # The box is of the face: whoever it is of lies in the circle about the second pair of numbers that the third lies on.
        rows[0, at, :2] += 3
        rows[0, at, 4:6] = centre - anchors[at]
        rows[0, at, 6:8] = rows[0, at, 4:6] + np.stack([0.6 * size[:, 0], -0.8 * size[:, 0]], 1) / 2
    outputs = {"Identity": rows, "Identity_1": scores}
    if apart:
        ends = [0, *np.cumsum([sum((side // stride) ** 2 * 2 for each in strides if each == stride) for stride in sorted({*strides})])]
        outputs = {f"{name}_{start}": values[:, start:end] for name, values in outputs.items() for start, end in pairwise(ends)}
    reading, _ = recognise(facts((side, side), outputs, layout="NHWC"), Asked())
    assert (reading.normalise, reading.fit) == (normalise, "centre")
    (found,) = reading.head.decoder(BOXES).decode(outputs, (side, side))
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-2, -1, 0])), rtol=1e-5)
    np.testing.assert_allclose(found.boxes, np.concatenate([centre - size / 2, size], 1), atol=1e-3)
    assert head_from_dict(reading.head.to_dict(), "manifest") == reading.head


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"cif": (1, 17, 5, 41, 41), "caf": (1, 19, 8, 41, 41)}, "OpenPifPaf"),
        ({"output": (1, 2, 16, 64, 64)}, "the last of them alone"),
        (
            {"hm": (1, 1, 64, 64), "wh": (1, 2, 64, 64), "hps": (1, 34, 64, 64), "reg": (1, 2, 64, 64), "hm_hp": (1, 17, 64, 64)},
            "CenterNet",
        ),
        ({"heatmaps": (1, 18, 64, 64), "offsets": (1, 34, 64, 64)}, "DEKR"),
        ({"output": (1, 51, 64, 48)}, "UDP's heat maps with offsets"),
    ],
)
def test_families_that_no_head_reads_are_refused_by_name(outputs: dict[str, tuple[int, ...]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        recognise(facts((256, 256), {name: drawn(shape, "tags") for name, shape in outputs.items()}), Asked())


def graph_with(beside: dict[str, tuple[int, list[Any]]], size: list[Any]) -> Any:
    """image + the sum of all else that it takes."""
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *size])]
    nodes, last = [], "image"
    for name, (kind, shape) in beside.items():
        inputs.append(helper.make_tensor_value_info(name, kind, shape))
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", [f"{name}_f"], [f"{name}_s"], keepdims=0),
            helper.make_node("Add", [last, f"{name}_s"], [f"{name}_added"]),
        ]
        last = f"{name}_added"
    graph = helper.make_graph(nodes, "beside", inputs, [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


PADDLE = {"im_shape": (TensorProto.FLOAT, [1, 2]), "scale_factor": (TensorProto.FLOAT, ["N", 2])}
OTHERS = {
    "orig_target_sizes": (TensorProto.INT64, [1, 2]),
    "pixel_mask": (TensorProto.INT64, [1, "h", "w"]),
    "dataset_index": (TensorProto.INT64, [1]),
}


@pytest.mark.parametrize(("beside", "adds"), [(PADDLE, 48 + 64 + 2), (OTHERS, 48 + 64 + 48 * 64)])
def test_what_is_the_same_for_every_picture_becomes_constants(beside: dict[str, tuple[int, list[Any]]], adds: int) -> None:
    model = with_known_inputs(graph_with(beside, [48, 64]), Path("net.onnx"), None)
    assert image_input(model, Path("net.onnx")).size_wh == (64, 48)
    (found,) = run_plainly(model.SerializeToString(), np.zeros((1, 3, 48, 64), np.float32), Path("net.onnx")).values()
    assert (np.asarray(found) == adds).all()


def test_a_constant_of_an_open_size_asks_for_the_size() -> None:
    with pytest.raises(UsageError, match="--input-size"):
        with_known_inputs(graph_with(PADDLE, ["h", "w"]), Path("net.onnx"), None)
    model = with_known_inputs(graph_with(PADDLE, ["h", "w"]), Path("net.onnx"), (64, 48))
    assert [value.name for value in model.graph.input] == ["image"]


def test_a_graph_of_any_size_takes_the_size_that_its_file_tells() -> None:
    model = graph_with({}, ["h", "w"])
    assert size_told(model) is None
    model.metadata_props.add(key="imgsz", value="[480, 640]")
    assert size_told(model) == (640, 480)


def test_an_input_that_nobody_knows_is_refused() -> None:
    model = graph_with({"previous": (TensorProto.FLOAT, [1, 2])}, [48, 64])
    with pytest.raises(PosetrtError, match=r"2 inputs \(image, previous\); one image input was expected"):
        image_input(with_known_inputs(model, Path("net.onnx"), None), Path("net.onnx"))
