"""AI Challenger: the challenge's own score, against numbers worked out by hand and pycocotools' OKS with the same sigmas."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posetrt.calib.datasets.ai_challenger import SIGMAS, ChallengeJudged
from posetrt.calib.datasets.choose import open_dataset
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.skeleton import load_skeleton
from tests.calib.datasets.miniature import people_of, photographs

COCO18, MPI15 = load_skeleton("coco18"), load_skeleton("mpi15")
NAMES = (
    "RShoulder",
    "RElbow",
    "RWrist",
    "LShoulder",
    "LElbow",
    "LWrist",
    "RHip",
    "RKnee",
    "RAnkle",
    "LHip",
    "LKnee",
    "LAnkle",
    "Head",
    "Neck",
)


def annotation(parts: dict[str, tuple[float, float]], hidden: tuple[str, ...] = ()) -> list[float]:
    numbers: list[float] = []
    for name in NAMES:
        numbers += [*parts[name], 2 if name in hidden else 1] if name in parts else [0, 0, 3]
    return numbers


def entry(name: str, people: list[list[float]], boxes: list[list[float]]) -> dict[str, Any]:
    return {
        "image_id": name,
        "url": "",
        "human_annotations": {f"human{i + 1}": box for i, box in enumerate(boxes)},
        "keypoint_annotations": {f"human{i + 1}": person for i, person in enumerate(people)},
    }


def test_the_score_is_that_worked_out_by_hand(tmp_path: Path) -> None:
    images = photographs(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    box = [0, 0, 99, 101]  # 9999 px², and the challenge adds one
    first = {"RElbow": (50.0, 50.0), "LAnkle": (20.0, 90.0), "LKnee": (30.0, 70.0)}
    second = {"RElbow": (10.0, 10.0)}
    (tmp_path / "a.json").write_text(
        json.dumps(
            [
                entry("a", [annotation(first, hidden=("LKnee",)), annotation(second)], [box, box]),
                entry("b", [annotation(second)], [box]),
                entry("c", [], []),
            ]
        )
    )
    photos = open_dataset(tmp_path / "a.json", images)
    assert [None if one is None else one.tolist() for one in photos.boxes] == [[[0, 0, 99, 101]] * 2, [[0, 0, 99, 101]], []]
    # The elbow is off by d, where exp(-d² / 2 / (2 σ)² / 10000) = 0.62; the ankle is right; the hidden knee does not count: OKS .81.
    away = math.sqrt(-math.log(0.62) * 2 * (2 * 0.01515228) ** 2 * 10000)
    guess = {"RElbow": (50 + away, 50.0), "LAnkle": (20.0, 90.0), "LKnee": (5.0, 5.0)}
    stray = {"RHip": (60.0, 60.0)}
    found = [people_of(COCO18, guess), people_of(COCO18, second, stray, stray), people_of(COCO18, stray)]
    judged = photos.judge(found, COCO18)
    # Above .50, .55, … .80 are the first of a (.81) and that of b (1); above .85, .90 and .95 b alone. People counted: 2, 3 and 1.
    assert judged.figures["ap"] == pytest.approx((7 * 2 / 6 + 3 * 1 / 6) / 10, abs=1e-12)
    assert judged.figures["ap50"] == 2 / 6
    assert judged.figures["ap75"] == 2 / 6
    assert list(judged.left_out) == ["head_top"]
    assert judged.main(np.array([0])) == pytest.approx(7 * 1 / 2 / 10, abs=1e-12)
    assert judged.main(np.array([1, 1])) == pytest.approx(2 / 6, abs=1e-12)


def test_its_oks_is_that_of_pycocotools_with_these_sigmas(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    truth = {name: (float(x), float(y)) for name, (x, y) in zip(NAMES, random.uniform(20, 180, (14, 2)), strict=True)}
    guess = {name: (x + float(random.normal(0, 6)), y + float(random.normal(0, 6))) for name, (x, y) in truth.items()}
    (tmp_path / "a.json").write_text(json.dumps([entry("a", [annotation(truth)], [[0, 0, 200, 200]])]))
    judged = open_dataset(tmp_path / "a.json", photographs(tmp_path / "images", "a.jpg")).judge([people_of(MPI15, guess)], MPI15)
    assert isinstance(judged, ChallengeJudged)
    coco = COCO()
    keypoints = np.array([[*truth[name], 2] for name in NAMES]).ravel().tolist()
    # The challenge adds 1 px² to the area, which pycocotools does not.
    one = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "keypoints": keypoints,
        "num_keypoints": 14,
        "area": 40001.0,
        "iscrowd": 0,
        "bbox": [0, 0, 200, 200],
    }
    coco.dataset = {"images": [{"id": 1}], "annotations": [one], "categories": [{"id": 1, "name": "person"}]}
    coco.createIndex()
    points = np.array([[*np.float32(guess[name]), 1] for name in NAMES]).ravel().tolist()
    evaluation = COCOeval(coco, coco.loadRes([{"image_id": 1, "category_id": 1, "keypoints": points, "score": 1.0}]), "keypoints")
    evaluation.params.kpt_oks_sigmas = SIGMAS
    evaluation.evaluate()
    assert judged.best[0][0] == pytest.approx(float(evaluation.ious[1, 1][0, 0]), abs=1e-9)
    assert 0.05 < judged.best[0][0] < 0.95


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    images = photographs(tmp_path / "images", "a.jpg")
    whole = entry("a", [annotation({"RElbow": (1, 1)})], [[0, 0, 9, 9]])
    for broken, message in (
        ({key: value for key, value in whole.items() if key != "human_annotations"}, "entry 0 lacks human_annotations"),
        ({**whole, "human_annotations": {"human2": [0, 0, 9, 9]}}, "name different people"),
        ({**whole, "keypoint_annotations": {"human1": [1, 2, 3]}}, "14 parts of x, y, flag"),
    ):
        (tmp_path / "a.json").write_text(json.dumps([broken]))
        with pytest.raises(PosetrtError, match=message):
            open_dataset(tmp_path / "a.json", images)
