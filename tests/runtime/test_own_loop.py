"""A Python user's own loop: find, track, draw, and hand people on."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import posetrt
from posetrt.calib.scenes.scenes import draw_scene, draw_video


@pytest.fixture(scope="module")
def frame() -> NDArray[np.uint8]:
    return draw_scene(7001, (456, 256)).image


@pytest.fixture(scope="module")
def people(frame: NDArray[np.uint8]) -> posetrt.People:
    with posetrt.open() as pose:
        found = pose(frame)
    assert len(found)
    return found


def test_the_tracker_is_called_like_the_network_and_keeps_ids() -> None:
    frames = [scene.image for scene in draw_video(1, (456, 256), people=2, frames=3, fps=20.0)]
    with posetrt.open() as pose:
        tracker = posetrt.Tracker(pose.skeleton)
        ids = [set(tracker(pose(frame), number / 20).ids.tolist()) for number, frame in enumerate(frames)]
    assert ids[0]
    assert ids[0] & ids[1] & ids[2]


def test_drawing_needs_the_frame_and_the_people_alone(frame: NDArray[np.uint8], people: posetrt.People) -> None:
    before = frame.copy()
    drawn = posetrt.draw(frame, people)
    assert np.array_equal(frame, before)
    x, y = people.keypoints[0][people.keypoints[0, :, 2] > 0][0, :2].round().astype(int)
    assert (drawn[y, x] != frame[y, x]).any()


def test_a_dictionary_names_the_parts_that_were_found(people: posetrt.People) -> None:
    tracked = replace(people, ids=np.arange(len(people)) + 7)
    records = json.loads(json.dumps(tracked.to_dict()))
    assert [record["id"] for record in records] == tracked.ids.tolist()
    skeleton = posetrt.load_skeleton("coco18")
    for record, points in zip(records, people.keypoints, strict=True):
        assert set(record["keypoints"]) == {part for part, point in zip(skeleton.parts, points, strict=True) if point[2] > 0}
        part, place = next(iter(record["keypoints"].items()))
        assert place == pytest.approx(points[skeleton.parts.index(part)], abs=1e-3)


def test_those_chosen_keep_the_skeleton_and_their_names(people: posetrt.People) -> None:
    chosen = people.chosen(np.array([0]))
    assert chosen.to_dict() == people.to_dict()[:1]


def test_coco_results_have_the_image_and_17_points(people: posetrt.People) -> None:
    first = people.to_coco(42)[0]
    assert first["image_id"] == 42
    assert len(first["keypoints"]) == 51


def test_people_without_a_skeleton_say_how_to_set_one(frame: NDArray[np.uint8], people: posetrt.People) -> None:
    with pytest.raises(posetrt.UsageError, match="load_skeleton"):
        posetrt.draw(frame, replace(people, skeleton=None))


def test_supervision_reads_the_same_places_and_ids(people: posetrt.People) -> None:
    import supervision

    tracked = replace(people, ids=np.arange(len(people)))
    points = tracked.to_supervision()
    assert isinstance(points, supervision.KeyPoints)
    assert np.array_equal(points.xy, people.keypoints[..., :2])
    assert np.array_equal(points.data["tracker_id"], tracked.ids)
    nobody = people.chosen(np.zeros(0, np.int64)).to_supervision()
    assert len(nobody) == 0


def test_the_example_shows_every_frame_of_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (456, 256))
    for scene in draw_video(1, (456, 256), people=2, frames=3, fps=20.0):
        writer.write(scene.image)
    writer.release()
    shown: list[NDArray[np.uint8]] = []
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda wait_ms: -1)
    spec = importlib.util.spec_from_file_location("webcam", Path(__file__).parents[2] / "examples" / "webcam.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.main(str(tmp_path / "clip.avi"))
    assert [image.shape for image in shown] == [(256, 456, 3)] * 3
