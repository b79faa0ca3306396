"""Rows: people survive encoding and decoding in every family's form, whatever else the candidates are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posetrt.calib.heads.rows import encode
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions
from posetrt.runtime.heads.registry import head_from_dict
from posetrt.runtime.people import People
from tests.runtime.heads.families import COCO, DETECTORS, ROWS

SIZE = (512, 384)


def people_in_a_row(count: int, seed: int = 0) -> People:
    """People who do not cover each other by more than a third."""
    rng = np.random.default_rng(seed)
    columns = min(count, 7)
    boxes = np.zeros((count, 4), np.float32)
    for index in range(count):
        row, column = divmod(index, columns)
        boxes[index] = (5 + column * 70 + rng.uniform(0, 10), 5 + row * 120 + rng.uniform(0, 10), rng.uniform(50, 60), rng.uniform(90, 110))
    points = np.zeros((count, 17, 3), np.float32)
    points[..., :2] = boxes[:, None, :2] + rng.uniform(0.05, 0.95, (count, 17, 2)) * boxes[:, None, 2:]
    points[..., 2] = rng.uniform(0.3, 0.95, (count, 17))
    scores = np.sort(rng.uniform(0.4, 0.95, count).astype(np.float32))[::-1]
    return People(points, np.ascontiguousarray(scores), boxes=boxes)


@pytest.mark.parametrize("family", ROWS)
@pytest.mark.parametrize("count", [1, 10, 20])
def test_people_survive_encoding_and_decoding(family: str, count: int) -> None:
    head, people = ROWS[family], people_in_a_row(count)
    (found,) = head.decoder(COCO).decode(encode(head, COCO, [people], SIZE), SIZE)
    assert len(found) == count
    np.testing.assert_allclose(found.scores, people.scores, atol=2e-3)
    np.testing.assert_allclose(found.keypoints[..., :2], people.keypoints[..., :2], atol=0.05)
    assert found.boxes is not None
    assert people.boxes is not None
    np.testing.assert_allclose(found.boxes, people.boxes, atol=0.1)
    if head.point_values == 3 or "visibility" in head.values:
        np.testing.assert_allclose(found.keypoints[..., 2], people.keypoints[..., 2], atol=1e-3)


@pytest.mark.parametrize("family", [*ROWS])
def test_a_head_survives_the_manifest(family: str) -> None:
    import json

    head = ROWS[family]
    assert head_from_dict(json.loads(json.dumps(head.to_dict())), "here") == head


@pytest.mark.parametrize("family", ["yolo11", "yolo7", "yolox-pose", "rtmo", "yolo8 before its last layer"])
def test_each_frame_of_a_batch_has_its_own_people(family: str) -> None:
    head, one, three = ROWS[family], people_in_a_row(1), people_in_a_row(3, seed=1)
    both = [encode(head, COCO, [people], SIZE) for people in (one, three)]
    tensors = {name: np.concatenate([both[0][name], both[1][name]]) for name in both[0]}
    assert [len(found) for found in head.decoder(COCO).decode(tensors, SIZE)] == [1, 3]


def test_nobody_is_nobody_in_every_family() -> None:
    for head in ROWS.values():
        (found,) = head.decoder(COCO).decode(encode(head, COCO, [people_in_a_row(0)], SIZE), SIZE)
        assert found.keypoints.shape == (0, 17, 3)
        assert found.boxes is not None
        assert found.boxes.shape == (0, 4)


def test_an_end_to_end_network_that_found_nobody_gives_an_empty_tensor() -> None:
    tensors = {"dets": np.zeros((1, 0, 5), np.float32), "keypoints": np.zeros((1, 0, 17, 3), np.float32)}
    assert len(ROWS["rtmo"].decoder(COCO).decode(tensors, SIZE)[0]) == 0


def test_doubles_of_a_person_are_dropped_by_every_nms() -> None:
    people = people_in_a_row(5)
    assert people.boxes is not None
    doubled = People(
        np.concatenate([people.keypoints, people.keypoints + np.array([1, 1, 0], np.float32)]),
        np.concatenate([people.scores, people.scores - np.float32(0.1)]),
        boxes=np.concatenate([people.boxes, people.boxes + np.float32(1)]),
    )
    for nms, threshold in (("iou", 0.65), ("oks", 0.7), ("pose", 22.48)):
        head = replace(ROWS["yolo11"], nms=nms, nms_threshold=threshold)
        (found,) = head.decoder(COCO).decode(encode(head, COCO, [doubled], SIZE), SIZE)
        np.testing.assert_allclose(found.scores, people.scores, atol=1e-6)


def test_rows_that_are_no_numbers_or_have_no_area_are_left_out() -> None:
    head, people = ROWS["yolo11"], people_in_a_row(4)
    tensors = encode(head, COCO, [people], SIZE)
    at = np.flatnonzero(tensors["output0"][0, 4])
    tensors["output0"][0, 0, at[0]] = np.nan
    tensors["output0"][0, 2, at[1]] = 0
    tensors["output0"][0, 20, at[2]] = np.inf
    assert len(head.decoder(COCO).decode(tensors, SIZE)[0]) == 1


def test_rows_of_other_classes_than_the_persons_are_left_out() -> None:
    head = ROWS["yolo26"]
    tensors = encode(head, COCO, [people_in_a_row(4)], SIZE)
    tensors["output0"][0, :2, 5] = 3
    assert len(head.decoder(COCO).decode(tensors, SIZE)[0]) == 2


def test_the_evaluate_preset_keeps_the_doubtful_that_balanced_leaves_out() -> None:
    head, people = ROWS["yolo11"], people_in_a_row(3)
    tensors = encode(head, COCO, [replace(people, scores=np.array([0.9, 0.2, 0.02], np.float32))], SIZE)
    counts = {
        preset: len(head.decoder(COCO, DecodeOptions(preset)).decode(tensors, SIZE)[0])
        for preset in ("balanced", "precise", "all", "evaluate")
    }
    assert counts == {"balanced": 1, "precise": 1, "all": 2, "evaluate": 3}
    assert len(head.decoder(COCO, DecodeOptions(min_score=0.1)).decode(tensors, SIZE)[0]) == 2


def test_a_skeleton_of_another_size_is_refused_with_both_numbers() -> None:
    with pytest.raises(UsageError, match="17 key points; skeleton 'boxes' has 0"):
        ROWS["yolo11"].decoder(replace(COCO, name="boxes", parts=(), limbs=(), coco17=(), mirror=(), sigmas=()))


def test_oks_nms_without_sigmas_is_refused() -> None:
    with pytest.raises(UsageError, match="sigmas"):
        replace(ROWS["yolo11"], nms="oks").decoder(replace(COCO, sigmas=()))


def test_outputs_of_another_network_are_refused_with_their_shape() -> None:
    with pytest.raises(UsageError, match="1 x 84 x 8400"):
        replace(ROWS["yolo7"], transposed=True, values={**ROWS["yolo7"].values, "keypoints": ("rows", 34, 51)}).decoder(COCO).decode(
            {"output": np.zeros((1, 84, 8400), np.float32)}, (640, 640)
        )


def test_cells_that_do_not_match_the_input_are_refused() -> None:
    with pytest.raises(UsageError, match="strides 8, 16, 32 give 4032 candidates at 512x384"):
        ROWS["yolox-pose"].decoder(COCO).decode({"output": np.ones((1, 8400, 57), np.float32)}, SIZE)


def test_a_head_that_cannot_be_read_is_refused_with_the_reason() -> None:
    head = ROWS["yolox-pose"]
    with pytest.raises(UsageError, match="strides"):
        replace(head, strides=())
    with pytest.raises(UsageError, match="person_class is 0 to 0"):
        replace(head, person_class=3)
    with pytest.raises(UsageError, match="key points"):
        replace(head, values={**DETECTORS["yolox"].values})
