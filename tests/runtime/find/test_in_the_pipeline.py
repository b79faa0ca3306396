"""Hands and faces as a stage of a run: overlapped, counted, and in everything that sinks write."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.find.refine import Refiner
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.people import People
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.pose import Pose
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sinks.csv_rows import CsvRows
from posetrt.runtime.sinks.draw import draw_people
from posetrt.runtime.sinks.json_lines import FileLines
from posetrt.runtime.sinks.openpose_json import OpenPoseJson
from posetrt.runtime.sources import Frame
from tests.drawn_hands import FACE, LEFT_HAND, RIGHT_HAND, Sees, draw, in_box
from tests.stand_in import StandIn, frames

SIZE = 96


class Takes(Sees):
    """Asleep for `latency_s` a call, as a CPU is while a GPU works."""

    def __init__(self, skeleton: str, latency_s: float) -> None:
        super().__init__(skeleton, (SIZE, SIZE))
        self._latency_s = latency_s

    def infer(self, inputs):  # type: ignore[no-untyped-def]
        time.sleep(self._latency_s)
        return super().infer(inputs)


def pose_with(hands_s: float = 0.0, face_s: float = 0.0, body_s: float = 0.0) -> Pose:
    body = StandIn(body_s)
    refiner = Refiner(
        body.manifest.skeleton, TopDown(Takes("hand21", hands_s)), TopDown(Takes("face70", face_s)), least_hand_px=1, least_face_px=1
    )
    return Pose(WholeFrame(body), [refiner])


def test_the_second_look_overlaps_with_the_next_frame_s_body() -> None:
    with pose_with(hands_s=0.02, face_s=0.02, body_s=0.04) as pose:
        stats = pipeline.RunStats()
        results = list(pipeline.results(pose, frames(20, (640, 480)), stats))
    assert len(results) == 20
    assert all(
        result.people.extras["face"] is not None and len(result.people.extras["face"]) == len(result.people) == 1 for result in results
    )
    assert stats.stages["crops"].busy_s > 20 * 0.035
    # One after the other the two would take the sum of their times.
    assert stats.wall_s < 0.85 * (stats.stages["network"].busy_s + stats.stages["crops"].busy_s)


def test_a_run_tells_how_often_it_looked() -> None:
    with pose_with() as pose:
        stats = pipeline.run(pose, [], [])
        list(pipeline.results(pose, frames(3, (640, 480)), stats))
    assert stats.looks["face"].looked == 3
    assert "hands: 6 looked at, 0 too small, 0 not in view" in stats.summary()
    assert stats.to_dict()["looks"]["face"] == {"looked": 3, "small": 0, "unseen": 0}


def test_a_hand_network_that_fails_ends_a_run_of_files_with_its_reason() -> None:
    class Fails(Sees):
        def infer(self, inputs):  # type: ignore[no-untyped-def]
            raise PosetrtError("the hand's engine ran out of memory")

    body = StandIn()
    refiner = Refiner(body.manifest.skeleton, TopDown(Fails("hand21")), least_hand_px=1)
    with Pose(WholeFrame(body), [refiner]) as pose, pytest.raises(PosetrtError, match="out of memory"):
        list(pipeline.results(pose, frames(3, (640, 480))))


def test_closing_a_pose_closes_all_its_networks() -> None:
    pose = pose_with()
    pose.close()
    assert len(pose.networks) == 2
    assert all(network.engine.closed for network in pose.networks.values())  # type: ignore[attr-defined]


def whole_body_result() -> Result:
    """One person with hands and face, and one without."""
    image = np.zeros((480, 640, 3), np.uint8)
    pose = pose_with()
    left, right, face = in_box(LEFT_HAND, (400, 200, 120, 120)), in_box(RIGHT_HAND, (100, 200, 120, 120)), in_box(FACE, (250, 30, 140, 140))
    for points in (left, right, face):
        draw(image, points)

    def found(points: np.ndarray) -> np.ndarray:
        return np.stack([np.column_stack([points, np.full(len(points), 0.7)]), np.zeros((len(points), 3))]).astype(np.float32)

    body = np.zeros((2, 18, 3), np.float32)
    body[:, :5] = (320, 240, 0.9)
    people = People(body, np.ones(2, np.float32), extras={"left_hand": found(left), "right_hand": found(right), "face": found(face)})
    return Result(Frame(image, "drawn", 0, 0.0), people, pose.manifest, skeletons=pose.skeletons)


def test_openpose_s_json_has_hands_and_face_of_each_person(tmp_path: Path) -> None:
    result = whole_body_result()
    OpenPoseJson(tmp_path).write(result)
    first, second = json.loads((tmp_path / "drawn_keypoints.json").read_text())["people"]
    assert [len(first[f"{name}_keypoints_2d"]) for name in ("pose", "face", "hand_left", "hand_right")] == [54, 210, 63, 63]
    assert result.people.extras["left_hand"] is not None
    assert first["hand_left_keypoints_2d"][:3] == pytest.approx(result.people.extras["left_hand"][0, 0].tolist(), abs=1e-3)
    assert not any(second["face_keypoints_2d"])


def test_json_lines_and_csv_have_them_under_their_own_names(tmp_path: Path) -> None:
    result = whole_body_result()
    for sink in (lines := FileLines(tmp_path / "a.jsonl")), (rows := CsvRows(tmp_path / "a.csv")):
        sink.write(result)
    lines.close()
    rows.close()
    person = json.loads((tmp_path / "a.jsonl").read_text())["people"][0]
    assert (len(person["left_hand"]), len(person["right_hand"]), len(person["face"])) == (21, 21, 70)
    with (tmp_path / "a.csv").open(newline="") as file:
        parts = [row["part"] for row in csv.DictReader(file)]
    assert len(parts) == 5 + 21 + 21 + 70 + 5
    assert parts.count("left_hand Thumb1") == parts.count("right_hand Thumb1") == parts.count("face Face69") == 1


def test_all_points_of_the_whole_body_are_drawn() -> None:
    result = whole_body_result()
    people = result.people
    drawn = draw_people(result)
    for points in (people.extras["left_hand"], people.extras["right_hand"], people.extras["face"]):
        assert points is not None
        for x, y, _ in points[0]:
            assert drawn[round(float(y)), round(float(x))].max() > 0
    changed = cv2.absdiff(drawn, result.frame.image).max(axis=2) > 0
    assert not changed[:20, :20].any(), "what was not found is not drawn at 0, 0"
