"""Forms of rows and boxes that are easily read as another: whose outputs mislead by their number, order, names or shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from posetrt.export.heads.base import Asked, GraphFacts, Reading
from posetrt.export.heads.recognise import recognise
from posetrt.export.heads.user_graph import model_from_onnx
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.boxes import BoxesHead
from posetrt.runtime.heads.rows import RowsHead
from posetrt.runtime.model.skeleton import Skeleton
from tests.export.heads.candidate_networks import facts_for
from tests.export.heads.graph_facts import drawn, facts
from tests.runtime.heads.families import ROWS

SIZE = (640, 640)
Array = NDArray[Any]


def boxes_of(count: int, seed: int = 0, *, share: bool = False) -> Array:
    """(N, 4) left, top, right, bottom."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.6, (count, 2))
    corners = np.concatenate([low, low + rng.uniform(0.1, 0.3, (count, 2))], 1)
    return np.asarray(corners * (1 if share else SIZE[0]), np.float32)


def scores_of(count: int, seed: int = 0) -> Array:
    """(N,) in no order."""
    return np.random.default_rng(seed).uniform(0.3, 0.9, count).astype(np.float32)


def read(outputs: dict[str, Array], asked: Asked | None = None, **more: Any) -> tuple[Reading, Any]:
    """The reading of the outputs, and the people that its head finds in them."""
    reading, skeleton = recognise(facts(SIZE, outputs, **more), asked or Asked())
    (found,) = reading.head.decoder(skeleton).decode(outputs, SIZE)
    return reading, found


def test_scores_behind_boxes_are_no_logits_for_the_boxes_sake() -> None:
    count = 40
    dets = np.concatenate([boxes_of(count), scores_of(count)[:, None]], 1)
    points = drawn((1, count, 17, 3), "unit") * np.array([600, 600, 1], np.float32)
    reading, found = read({"dets": dets[None], "keypoints": points})
    assert isinstance(reading.head, RowsHead)
    assert (reading.normalise, reading.fit) == ("yolox", "top-left")
    assert found.scores[0] == dets[:, 4].max()


def test_tensorflows_anchor_numbers_are_no_scores() -> None:
    corners, scores = boxes_of(100, share=True), np.sort(scores_of(100))[::-1].copy()
    outputs = {
        "detection_anchor_indices": np.arange(100, 0, -1, dtype=np.float32)[None],
        "detection_boxes": corners[None][..., [1, 0, 3, 2]],
        "detection_classes": np.ones((1, 100), np.float32),
        "detection_multiclass_scores": drawn((1, 100, 91), "probability"),
        "detection_scores": scores[None],
        "num_detections": np.array([100], np.float32),
        "raw_detection_boxes": boxes_of(1917, 1, share=True)[None],
        "raw_detection_scores": drawn((1, 1917, 91), "probability"),
    }
    _, found = read(outputs, layout="NHWC", dtype="uint8")
    np.testing.assert_allclose(found.scores, scores)
    np.testing.assert_allclose(found.boxes[:, :2], corners[:, :2] * 640, atol=1e-2)


def test_labels_beside_boxes_with_scores_count_from_0_and_those_of_torchvision_from_1() -> None:
    corners, scores = boxes_of(20), np.sort(scores_of(20))[::-1].copy()
    labels = np.zeros(20, np.int64)
    joint, found = read({"boxes": np.concatenate([corners, scores[:, None]], 1), "labels": labels})
    assert isinstance(joint.head, BoxesHead)
    assert (joint.head.person_class, len(found)) == (0, 20)
    apart, found = read({"boxes": corners, "labels": labels + 1, "scores": scores})
    assert isinstance(apart.head, BoxesHead)
    assert (apart.head.person_class, len(found)) == (1, 20)


def test_boxes_with_an_axis_of_one_are_yolo4s() -> None:
    confs = np.zeros((1, 10647, 80), np.float32)
    confs[0, [7, 900], [0, 3]] = 0.8
    boxes = boxes_of(10647, share=True)
    _, found = read({"boxes": boxes[None, :, None], "confs": confs})
    np.testing.assert_allclose(found.boxes[0, :2], boxes[7, :2] * 640, atol=1e-2)
    assert len(found) == 1


def test_boxes_and_labels_apart_want_plain_pixels_and_raw_ones_yolos() -> None:
    corners, scores, labels = boxes_of(300), np.sort(scores_of(300))[::-1].copy(), np.zeros((1, 300), np.int64)
    ended, _ = read({"labels": labels, "boxes": corners[None], "scores": scores[None]})
    assert (ended.normalise, ended.fit) == ("unit", "stretch")
    labels, scores = np.zeros((1, 2100), np.int64), scores_of(2100)
    raw, _ = read({"boxes": boxes_of(2100)[None], "scores": scores[None], "class_idx": labels})
    assert (raw.normalise, raw.fit) == ("yolo", "centre")


@pytest.mark.parametrize("classes", [False, True])
def test_rows_of_a_frames_number_may_hold_a_class_before_the_score(classes: bool) -> None:
    count = 9
    scores, points = np.sort(scores_of(count))[::-1].copy(), drawn((count, 17, 3), "unit") * np.array([600, 600, 1], np.float32)
    number = np.zeros((count, 1), np.float32)
    columns = [number, boxes_of(count), *([number] if classes else []), scores[:, None], points.reshape(count, -1)]
    reading, found = read({"output": np.concatenate(columns, 1)})
    assert reading.skeletons == ("coco17",)
    np.testing.assert_allclose(found.scores, scores)
    np.testing.assert_allclose(found.keypoints[..., :2], points[..., :2] - 0.5, atol=1e-2)


def test_anchors_in_pixels_are_refused() -> None:
    outputs = {
        "regression": drawn((1, 4000, 4), "tags"),
        "classification": drawn((1, 4000, 90), "probability"),
        "anchors": boxes_of(4000)[None],
    }
    with pytest.raises(UsageError, match="anchors in pixels"):
        read(outputs)


def test_all_places_then_ones_are_grouposes_key_points() -> None:
    logits = np.full((1, 100, 2), -6, np.float32)
    logits[0, [5, 9], 1] = 3, 2
    corners = boxes_of(100, share=True)
    places = drawn((1, 100, 34), "unit")
    outputs = {
        "pred_logits": logits,
        "pred_boxes": np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)[None],
        "pred_keypoints": np.concatenate([places, np.ones((1, 100, 17), np.float32)], 2),
    }
    reading, found = read(outputs)
    assert reading.normalise == "unit"
    assert len(found) == 2
    np.testing.assert_allclose(found.keypoints[0, :, :2], places[0, 5].reshape(17, 2) * 640 - 0.5, atol=1e-2)
    np.testing.assert_allclose(found.boxes[0, :2], corners[5, :2] * 640, atol=1e-2)


@pytest.mark.parametrize("pixels", [True, False])
def test_key_points_without_boxes_are_people(pixels: bool) -> None:
    points = drawn((1, 60, 17, 2), "unit") * np.float32(640 if pixels else 1)
    scores = np.sort(scores_of(60))[::-1].copy()
    outputs = {"scores": scores[None], "labels": np.ones((1, 60), np.int64), "keypoints": points}
    if not pixels:
        outputs = {"pred_logits": np.log(scores / (1 - scores))[None, :, None], "pred_keypoints": points.reshape(1, 60, 34)}
    _, found = read(outputs)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    np.testing.assert_allclose(found.keypoints[..., :2], points[0] * (1 if pixels else 640) - 0.5, atol=1e-2)


def test_class_scores_across_boxes_are_turned_in_the_graph(tmp_path: Path) -> None:
    """PP-YOLOE without NMS: boxes (1, 8400, 4), scores (1, 80, 8400)."""
    noise, scores = boxes_of(8400), drawn((1, 80, 8400), "probability") * np.float32(0.2)
    scores[0, 0, 77] = 0.9
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["boxes_of", "zero"], ["boxes"]),
        helper.make_node("Add", ["scores_of", "zero"], ["scores"]),
    ]
    weights = [
        numpy_helper.from_array(each, name) for name, each in (("nothing", np.float32(0)), ("boxes_of", noise[None]), ("scores_of", scores))
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None]) for name in ("boxes", "scores")]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 640, 640])
    model = helper.make_model(
        helper.make_graph(nodes, "ppyoloe", [image], outputs, weights), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    path = tmp_path / "ppyoloe.onnx"
    path.write_bytes(model.SerializeToString())
    exported, manifest = model_from_onnx(path)
    import onnxruntime

    session = onnxruntime.InferenceSession(exported.SerializeToString())
    names = [one.name for one in session.get_outputs()]
    given = dict(zip(names, session.run(names, {"image": np.zeros((1, 3, 640, 640), np.float32)}), strict=True))
    (found,) = manifest.head.decoder(manifest.skeleton).decode(given, SIZE)
    np.testing.assert_allclose(found.boxes[0, :2], noise[77, :2], atol=1e-2)


def named(head: RowsHead, name: str, parts: int) -> GraphFacts:
    """Facts of a network whose one class has that name."""
    return facts_for(head, metadata={"task": "pose", "names": str({0: name}), "kpt_shape": f"[{parts}, 3]"})


def test_a_class_that_is_no_person_has_no_skeleton_of_cars() -> None:
    values = {"box": ("rows", 0, 4), "classes": ("rows", 4, 1), "keypoints": ("rows", 5, 36)}
    twelve = RowsHead(outputs={"rows": "output0"}, values=values, transposed=True)
    with pytest.raises(UsageError, match="--skeleton FILE"):
        recognise(named(twelve, "tiger", 12), Asked())
    assert recognise(named(twelve, "car", 12), Asked())[1].name == "car12"
    reading, skeleton = recognise(named(ROWS["yolo11"], "worker", 17), Asked())
    assert (skeleton.name, "of the class 'worker'" in reading.why) == ("coco17", True)


def test_points_of_a_number_that_no_skeleton_has_ask_for_one() -> None:
    with pytest.raises(UsageError, match=r"31 rows of 4 numbers.*--skeleton FILE"):
        recognise(facts((256, 256), {"scores": np.array([0.9], np.float32), "landmarks": drawn((1, 31, 4), "unit")}), Asked())
    mine = Skeleton("mine", tuple(f"p{number}" for number in range(31)), ())
    reading, _ = recognise(facts((256, 256), {"landmarks": drawn((1, 31, 4), "unit")}), Asked(skeleton=mine))
    assert reading.head.kind == "coordinates"


def test_an_upright_input_is_a_crop_and_has_no_tags() -> None:
    with pytest.raises(UsageError, match="52 heat maps, and no built-in skeleton fits"):
        recognise(facts((192, 256), {"heatmaps": drawn((1, 52, 64, 48), "probability")}), Asked())
    assert recognise(facts((512, 512), {"output": drawn((1, 34, 128, 128))}), Asked())[0].head.kind == "embedding"


def test_heat_maps_and_pafs_of_two_sizes_are_refused() -> None:
    outputs = {"maps": drawn((1, 19, 36, 48), "probability"), "fields": drawn((1, 38, 144, 192), "tags")}
    with pytest.raises(UsageError, match="48x36 and 192x144 cells"):
        recognise(facts((384, 288), outputs), Asked())


def test_oriented_boxes_are_refused() -> None:
    given = facts(SIZE, {"output0": drawn((1, 7, 8400))})
    with pytest.raises(UsageError, match="oriented boxes"):
        recognise(GraphFacts(**{**vars(given), "metadata": {"task": "obb"}}), Asked(person_class=0))


@pytest.mark.parametrize(
    ("size", "outputs", "normalise"),
    [
        ((224, 224), {"cmap": (1, 18, 56, 56), "paf": (1, 42, 56, 56)}, "imagenet"),
        ((368, 368), {"heat": (1, 19, 46, 46), "paf": (1, 38, 46, 46)}, "openpose"),
    ],
)
def test_trt_pose_wants_its_backbones_pixels(size: tuple[int, int], outputs: dict[str, tuple[int, ...]], normalise: str) -> None:
    reading, _ = recognise(facts(size, {name: drawn(shape, "probability") for name, shape in outputs.items()}), Asked())
    assert reading.normalise == normalise


def test_blazepose_wants_mediapipes_pixels_in_either_layout() -> None:
    rows = np.concatenate([drawn((1, 39, 3), "pixels"), drawn((1, 39, 2))], 2).reshape(1, 195)
    for layout in ("NCHW", "NHWC"):
        reading, _ = recognise(facts((256, 256), {"ld_3d": rows, "flag": np.full((1, 1), 0.5, np.float32)}, layout=layout), Asked())
        assert reading.normalise == "mediapipe"
