"""A detector is judged by its boxes: each person with key points is found or not, and AP is pycocotools'."""

from __future__ import annotations

import numpy as np
import pytest

from posetrt.calib.accuracy.agreement import agreement
from posetrt.calib.accuracy.detections import DetectionsJudged, overlaps
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People

BOXES = [[10.0, 10.0, 40.0, 80.0], [100.0, 20.0, 50.0, 90.0], [200.0, 20.0, 10.0, 10.0]]
TRUTH = {
    "images": [{"id": 1, "width": 320, "height": 240}],
    "categories": [{"id": 1, "name": "person"}],
    "annotations": [
        {"id": index + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0, "num_keypoints": points}
        for index, (box, points) in enumerate(zip(BOXES, (17, 5, 0), strict=True))
    ],
}


def people(boxes: list[list[float]], scores: list[float]) -> People:
    return People(np.zeros((len(boxes), 0, 3), np.float32), np.array(scores, np.float32), boxes=np.array(boxes, np.float32).reshape(-1, 4))


def test_people_with_key_points_are_found_or_not_and_others_do_not_count() -> None:
    whole = DetectionsJudged([people(BOXES, [0.9, 0.8, 0.7])], TRUTH, [1]).figures
    assert whole == {"box_ap": pytest.approx(1), "box_ap50": pytest.approx(1), "found": 1.0}
    half = DetectionsJudged([people(BOXES[:1], [0.9])], TRUTH, [1]).figures
    assert half["found"] == 0.5
    assert half["box_ap"] == pytest.approx(0.5, abs=0.01)


def test_a_box_that_nobody_would_draw_finds_nobody() -> None:
    assert DetectionsJudged([people(BOXES[:2], [0.9, 0.2])], TRUTH, [1]).figures["found"] == 0.5
    assert DetectionsJudged([people([], [])], TRUTH, [1]).figures["found"] == 0


def test_intersection_over_union_is_that_of_the_areas() -> None:
    assert overlaps(np.array([[0, 0, 10, 10]]), np.array([[5, 0, 10, 10], [20, 0, 5, 5]])).tolist() == [[50 / 150, 0]]


def test_two_detectors_agree_by_their_boxes() -> None:
    ours, theirs = people(BOXES[:2], [0.9, 0.8]), people([BOXES[0]], [0.9])
    assert agreement([ours], [ours], load_skeleton("boxes")).oks == pytest.approx(1)
    assert agreement([ours], [theirs], load_skeleton("boxes")).oks == pytest.approx(2 / 3)
