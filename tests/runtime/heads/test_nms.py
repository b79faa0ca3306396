"""NMS against the plain definitions, in float64, one pair at a time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.runtime.heads.nms import MOST_CANDIDATES, MOST_ROWS, iou_nms, oks_nms, pose_nms
from tests.runtime.heads.families import COCO

SIGMAS = np.array(COCO.sigmas, np.float32)


def plain(alike: NDArray[np.bool_]) -> list[int]:
    kept: list[int] = []
    for index in range(len(alike)):
        if not any(alike[better, index] for better in kept):
            kept.append(index)
    return kept


def crowd(people: int, doubles: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    points = rng.uniform(50, 450, (people, 1, 2)) + rng.normal(0, 40, (people, 17, 2))
    return (np.repeat(points, doubles, 0) + rng.normal(0, 4, (people * doubles, 17, 2)))[rng.permutation(people * doubles)].astype(
        np.float32
    )


def around(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([points[..., :2].min(1), points[..., :2].max(1)], 1)


@pytest.mark.parametrize(("people", "doubles"), [(1, 100), (10, 30), (100, 3), (300, 1)])
def test_iou_nms_is_the_plain_definition(people: int, doubles: int) -> None:
    boxes = around(crowd(people, doubles, people)).astype(np.float64)
    low, high = np.maximum(boxes[:, None, :2], boxes[:, :2]), np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), 2)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], 1)
    alike = shared / (area[:, None] + area - shared) > 0.5
    assert iou_nms(boxes.astype(np.float32), 0.5).tolist() == plain(alike)


@pytest.mark.parametrize(("people", "doubles"), [(1, 100), (10, 30), (40, 7), (100, 3), (300, 1)])
@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.9])
def test_oks_nms_is_cocos_similarity(people: int, doubles: int, threshold: float) -> None:
    points = crowd(people, doubles, people)
    areas = np.random.default_rng(0).uniform(5000, 40000, len(points))
    apart = ((points[:, None].astype(np.float64) - points) ** 2).sum(3)
    similar = np.exp(-apart / (2 * (2 * SIGMAS) ** 2) / ((areas[:, None] + areas) / 2)[..., None]).mean(2)
    assert oks_nms(points, areas.astype(np.float32), SIGMAS, threshold).tolist() == plain(similar > threshold)


def test_pose_nms_is_the_papers_criterion() -> None:
    rng = np.random.default_rng(1)
    points = np.concatenate([crowd(12, 5, 3), rng.uniform(0.05, 1, (60, 17, 1)).astype(np.float32)], 2)
    boxes = around(points)
    alike = np.zeros((60, 60), bool)
    for i in range(60):
        tenth = max(boxes[i, 2] - boxes[i, 0], boxes[i, 3] - boxes[i, 1]) / 10
        for j in range(60):
            away = np.hypot(*(points[i, :, :2] - points[j, :, :2]).T) / tenth
            by_score = (np.tanh(points[i, :, 2]) * np.tanh(points[j, :, 2]))[away <= 1].sum()
            alike[i, j] = by_score + 1.7 * np.exp(-away / 2.65).sum() >= 22.48
    kept = pose_nms(points, boxes).tolist()
    assert kept == plain(alike)
    assert len(kept) < 60


def test_boxes_of_different_classes_do_not_suppress_each_other() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 4, np.float32)
    assert iou_nms(boxes, 0.5, np.array([0, 1, 0, 1])).tolist() == [0, 1]


def test_the_work_is_bounded() -> None:
    boxes = np.arange(5000, dtype=np.float32)[:, None] * 20 + np.array([0, 0, 10, 10], np.float32)
    kept = iou_nms(boxes, 0.5)
    assert len(kept) == MOST_ROWS
    assert kept.max() < MOST_CANDIDATES
    assert oks_nms(np.zeros((0, 17, 2), np.float32), np.zeros(0, np.float32), SIGMAS, 0.5).tolist() == []
