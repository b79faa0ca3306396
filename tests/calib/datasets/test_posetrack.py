"""PoseTrack 2018: AP of each part, MOTA and MOTP, against numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrt.calib.datasets.choose import open_dataset
from posetrt.calib.datasets.mot import MotCounts, clear_mot
from posetrt.calib.datasets.part_ap import average_precision
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.skeleton import load_skeleton
from tests.calib.datasets.miniature import Spot, people_of, photographs

COCO18, MPI15 = load_skeleton("coco18"), load_skeleton("mpi15")
KEYPOINTS = ("nose", "head_bottom", "head_top", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow")
KEYPOINTS += ("left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")
# 30x40 px: a diagonal of 50, a head of 30, and half of it is 15 px.
HEAD = [0, 0, 30, 40]
NAN = np.nan


def sequence(path: Path, frames: list[list[dict[str, Any]]], video: str = "000001", **image: Any) -> Path:
    """A file of one sequence: of each frame the people, as track and parts."""
    images, annotations = [], []
    for index, people in enumerate(frames):
        image_id = 10_000_010_000 + index
        images.append(
            {"id": image_id, "frame_id": image_id, "vid_id": video, "nframes": len(frames), "is_labeled": bool(people), **image}
            | {"file_name": f"images/val/{video}/{index:06}.jpg"}
        )
        for person in people:
            keypoints = [number for name in KEYPOINTS for number in (*person["parts"].get(name, (0, 0)), int(name in person["parts"]))]
            annotations.append(
                {"id": len(annotations), "image_id": image_id, "category_id": 1, "track_id": person["track"], "keypoints": keypoints}
                | {"bbox_head": HEAD, "bbox": [0, 0, 60, 40], "scores": []}
            )
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(KEYPOINTS), "skeleton": []}
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return path


def pictures(folder: Path, frames: int, video: str = "000001") -> Path:
    return photographs(folder, *(f"val/{video}/{index:06}.jpg" for index in range(frames)))


def truth(track: int, **parts: tuple[float, float]) -> dict[str, Any]:
    return {"track": track, "parts": parts}


def test_ap_is_that_worked_out_by_hand(tmp_path: Path) -> None:
    annotated = [
        [truth(0, nose=(100, 100), right_wrist=(100, 200), left_wrist=(120, 200)), truth(1, nose=(300, 100), right_wrist=(300, 200))],
        [],
        [truth(0, nose=(100, 100))],
    ]
    photos = open_dataset(sequence(tmp_path / "a.json", annotated), pictures(tmp_path / "images", 3))
    assert photos.name == "PoseTrack"
    assert len(photos.photographs) == 3
    assert [None if one is None else one.tolist() for one in photos.boxes] == [[[0, 0, 60, 40]] * 2, [], [[0, 0, 60, 40]]]
    # Both of the first two want person 0; the second hits more of him, so the first counts as nowhere, though its nose is right.
    rival: dict[str, Spot] = {"Nose": (100, 100, 0.9), "RWrist": (160, 200, 0.9)}
    best: dict[str, Spot] = {"Nose": (109, 112, 0.8), "RWrist": (100, 200, 0.5), "LWrist": (100, 300, 0.4)}
    other: dict[str, Spot] = {"RWrist": (300, 216, 0.7), "Nose": (300, 100, 0.6)}
    unjudged = people_of(COCO18, {"Nose": (5, 5, 1.0)})
    judged = photos.judge([people_of(COCO18, rival, best, other), unjudged, people_of(COCO18)], COCO18)
    # Nose: .9 wrong, .8 right, .6 right of 3: precision 0, 1/2, 2/3 → (2/3 + 2/3) / 3. The nose at hypot(9, 12) = 15 px is right.
    # Right wrist: .9 wrong, .7 wrong (16 px), .5 right of 2: (1/3) / 2. Left wrist: one wrong: 0.
    nose, right, left = (2 / 3 + 2 / 3) / 3, (1 / 3) / 2, 0.0
    assert judged.figures["head"] == pytest.approx(nose, abs=1e-12)
    assert judged.figures["wrist"] == pytest.approx((right + left) / 2, abs=1e-12)
    assert judged.figures["map"] == pytest.approx((nose + right + left) / 3, abs=1e-12)
    assert judged.figures["knee"] is None
    assert list(judged.left_out) == ["head_bottom", "head_top"]
    assert judged.main(np.array([0])) == pytest.approx(((2 / 3 + 2 / 3) / 2 + right + left) / 3, abs=1e-12)


def test_mota_is_that_worked_out_by_hand(tmp_path: Path) -> None:
    annotated = [[truth(7, nose=(100, 100)), truth(8, nose=(300, 100))]] * 4
    photos = open_dataset(sequence(tmp_path / "a.json", annotated), pictures(tmp_path / "images", 4))
    here: dict[str, Spot] = {"Nose": (100, 103)}
    there: dict[str, Spot] = {"Nose": (300, 100)}
    found = [
        people_of(COCO18, here, there, ids=[0, 1]),
        people_of(COCO18, here, there, ids=[1, 0]),  # both switched
        people_of(COCO18, here, ids=[1]),  # one missed
        people_of(COCO18, here, there, {"Nose": (200, 100)}, ids=[1, 0, 5]),  # one made up, and the one who came back kept his id
    ]
    figures = photos.judge(found, COCO18).figures
    assert figures["mota"] == 1 - (1 + 2 + 1) / 8
    # Four noses are 3 px of 30 off, three are right.
    assert figures["motp"] == pytest.approx(1 - 4 * 0.1 / 7, abs=1e-12)


def test_ids_come_from_the_tracker_and_begin_anew_with_each_sequence(tmp_path: Path) -> None:
    body = {
        part: (float(20 * (index % 3)), 12.0 * index) for index, part in enumerate(KEYPOINTS) if "ear" not in part and "head" not in part
    }
    walk = [[truth(3, **{part: (x + 4 * step + 100, y + 20) for part, (x, y) in body.items()})] for step in range(8)]
    folder = tmp_path / "annotations"
    folder.mkdir()
    for video in ("000001", "000002"):
        sequence(folder / f"{video}.json", walk, video)
        images = pictures(tmp_path / "images", 8, video)
    photos = open_dataset(folder, images)
    assert len(photos.photographs) == 16
    names = {part: f"{'' if part == 'nose' else part[0].upper()}{part.split('_')[-1].capitalize()}" for part in body}
    found = [people_of(COCO18, {names[part]: spot for part, spot in frame[0]["parts"].items()}) for frame in walk * 2]
    figures = photos.judge(found, COCO18).figures
    assert (figures["map"], figures["mota"], figures["motp"]) == (1, 1, 1)


def test_what_lies_in_ignored_regions_counts_for_nothing(tmp_path: Path) -> None:
    annotated = [[truth(0, nose=(100, 100)), truth(1, nose=(300, 100))]]
    region = {"ignore_regions_x": [[250, 350, 350, 250]], "ignore_regions_y": [[50, 50, 150, 150]]}
    photos = open_dataset(sequence(tmp_path / "a.json", annotated, **region), pictures(tmp_path / "images", 1))
    found = [people_of(COCO18, {"Nose": (100, 100, 0.5)}, {"Nose": (320, 60, 0.9)})]
    figures = photos.judge(found, COCO18).figures
    assert (figures["map"], figures["mota"]) == (1, 1)


def test_the_neck_of_mpii_is_the_bottom_of_the_head(tmp_path: Path) -> None:
    photos = open_dataset(
        sequence(tmp_path / "a.json", [[truth(0, head_bottom=(100, 100), head_top=(100, 60))]]), pictures(tmp_path / "images", 1)
    )
    judged = photos.judge([people_of(MPI15, {"Neck": (100, 100), "Head": (100, 60)})], MPI15)
    assert judged.figures["map"] == 1
    assert list(judged.left_out) == ["nose"]


def test_a_tracks_errors_are_counted_as_clear_mot_has_them() -> None:
    # The example of py-motmetrics' README: a match, a miss and a false alarm, then one of each again, then a switch.
    frames = [
        ([1, 2], [11, 12, 13], np.array([[0.1, NAN, 0.3], [0.5, 0.2, 0.3]])),
        ([1, 2], [11], np.array([[0.2], [0.4]])),
        ([1, 2], [11, 13], np.array([[0.6, 0.2], [0.1, 0.6]])),
    ]
    counts = clear_mot(frames)
    assert counts == MotCounts(objects=6, misses=1, false_alarms=1, switches=1, distance=pytest.approx(0.1 + 0.2 + 0.2 + 0.6 + 0.6))
    assert counts.mota == 0.5
    # As many pairs as may be joined, rather than the one that is nearest.
    assert clear_mot([([1, 2], [5, 6], np.array([[0.1, 0.4], [0.4, NAN]]))]).misses == 0
    assert clear_mot([([], [5], np.zeros((0, 1))), ([1], [], np.zeros((1, 0)))]) == MotCounts(1, 1, 1)
    assert MotCounts().mota is None


def test_average_precision_is_the_area_under_the_monotone_curve() -> None:
    right = np.array([True, False, True, True, False])
    # Precision at the hits 1, 2/3, 3/4 of 4; made monotone 1, 3/4, 3/4.
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), right, 4) == pytest.approx((1 + 3 / 4 + 3 / 4) / 4, abs=1e-12)
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = sequence(tmp_path / "a.json", [[truth(0, nose=(100, 100))]])
    whole = json.loads(path.read_text())
    images = pictures(tmp_path / "images", 1)
    for key in ("bbox_head", "track_id"):
        broken = json.loads(json.dumps(whole))
        del broken["annotations"][0][key]
        path.write_text(json.dumps(broken))
        with pytest.raises(PosetrtError, match=f"annotation 0 lacks {key}"):
            open_dataset(path, images)
    region = {"ignore_regions_x": [[0, 9, 9]], "ignore_regions_y": [[0, 9]]}
    path.write_text(json.dumps({**whole, "images": [whole["images"][0] | region]}))
    with pytest.raises(PosetrtError, match="different numbers of corners"):
        open_dataset(path, images)
    path.write_text(json.dumps({**whole, "annotations": []}))
    with pytest.raises(PosetrtError, match="nobody is annotated"):
        open_dataset(path, images)
    path.write_text(json.dumps(whole))
    with pytest.raises(PosetrtError, match="lacks 1 of the 1 photographs"):
        open_dataset(path, photographs(tmp_path / "others", "b.jpg"))
