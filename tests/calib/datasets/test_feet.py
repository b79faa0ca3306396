"""The feet of BODY_25: AP of CMU's foot annotations, against pycocotools run by the test and numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrt.calib.datasets.choose import open_dataset
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.model.skeleton import load_skeleton
from tests.calib.datasets.miniature import people_of, photographs

BODY25, COCO18 = load_skeleton("body25"), load_skeleton("coco18")
NAMES = ("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
FEET = {name: (100.0 + 30 * index, 200.0) for index, name in enumerate(NAMES)}


def feet_file(path: Path, people: list[tuple[int, dict[str, tuple[float, float]]]], body: bool = False) -> Path:
    """A foot file as CMU published it: one category, not in a list; num_keypoints that of the body."""
    annotations: list[dict[str, Any]] = []
    for index, (image_id, feet) in enumerate(people):
        points = [number for name in NAMES for number in ((*feet[name], 2) if name in feet else (0, 0, 0))]
        annotations.append(
            {"id": index + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0, "area": 10000.0, "bbox": [0, 0, 300, 300]}
            | {"num_keypoints": 11, "keypoints": [1, 1, 2] * 17 * body + points}
        )
    images = [{"id": image_id, "file_name": f"{image_id:012}.jpg"} for image_id in (1, 2)]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": ["nose"], "skeleton": []}
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations, "categories": category}))
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return photographs(tmp_path / "images", "000000000001.jpg", "000000000002.jpg")


@pytest.mark.parametrize("body", [False, True])
def test_ap_is_that_worked_out_by_hand(tmp_path: Path, images: Path, body: bool) -> None:
    photos = open_dataset(feet_file(tmp_path / "feet.json", [(1, FEET), (2, FEET)], body), images)
    assert photos.name == "feet"
    assert [None if one is None else one.tolist() for one in photos.boxes] == [[[0, 0, 300, 300]]] * 2
    # On the first all are right. On the second five of six, the last nowhere near: OKS 5/6, so right up to the threshold of .80.
    nearly = {**FEET, "RHeel": (900.0, 900.0)}
    found = [people_of(BODY25, FEET, scores=[0.9]), people_of(BODY25, nearly, scores=[0.8])]
    figures = photos.judge(found, BODY25).figures
    # pycocotools reads precision at 101 recalls: one of two found gives those up to .50, 51 of them.
    assert figures["ap"] == pytest.approx((7 * 1 + 3 * 51 / 101) / 10, abs=1e-9)
    assert figures["ap50"] == 1
    assert figures["ar"] == pytest.approx((7 * 1 + 3 * 0.5) / 10, abs=1e-9)


def test_left_and_right_are_told_apart(tmp_path: Path, images: Path) -> None:
    photos = open_dataset(feet_file(tmp_path / "feet.json", [(1, FEET)]), images)
    mirrored = {BODY25.parts[BODY25.mirror[BODY25.parts.index(name)]]: spot for name, spot in FEET.items()}
    assert photos.judge([people_of(BODY25, FEET), people_of(BODY25)], BODY25).figures["ap"] == pytest.approx(1)
    assert photos.judge([people_of(BODY25, mirrored), people_of(BODY25)], BODY25).figures["ap"] == 0


def test_who_shows_no_foot_is_no_false_alarm(tmp_path: Path, images: Path) -> None:
    photos = open_dataset(feet_file(tmp_path / "feet.json", [(1, FEET), (2, {})]), images)
    footless = people_of(BODY25, {"Nose": (10, 10), "Neck": (10, 30)}, FEET, scores=[0.9, 0.5])
    judged = photos.judge([footless, people_of(BODY25, {"Nose": (10, 10)})], BODY25)
    assert judged.figures["ap"] == pytest.approx(1)
    assert judged.main(np.array([0, 0])) == pytest.approx(1)


def test_bad_files_and_skeletons_without_feet_are_refused(tmp_path: Path, images: Path) -> None:
    path = feet_file(tmp_path / "feet.json", [(1, FEET)])
    with pytest.raises(UsageError, match="'coco18' has none of the parts that feet annotates"):
        open_dataset(path, images).judge([people_of(COCO18), people_of(COCO18)], COCO18)
    fields = json.loads(path.read_text())
    del fields["annotations"][0]["area"]
    path.write_text(json.dumps(fields))
    with pytest.raises(PosetrtError, match="annotation 0 lacks area"):
        open_dataset(path, images)
