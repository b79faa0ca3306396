"""The main job on a real network: export, calibrate, build, run, eval, bench."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Posetrt

PHOTO = "000000000785.jpg"


def _strict_openpose(path: Path) -> list[dict[str, list[float]]]:
    """Read OpenPose JSON as strictly as its documentation words it."""
    fields = json.loads(path.read_text())
    assert set(fields) == {"version", "people"}
    assert fields["version"] == 1.3
    kinds = {f"{what}_keypoints_{d}d" for what in ("pose", "face", "hand_left", "hand_right") for d in (2, 3)}
    for person in fields["people"]:
        assert set(person) == kinds | {"person_id"}
        assert len(person["person_id"]) == 1
        assert person["person_id"][0] >= -1
        assert len(person["pose_keypoints_2d"]) == 3 * 18
        assert all(isinstance(value, (int, float)) for value in person["pose_keypoints_2d"])
    people: list[dict[str, list[float]]] = fields["people"]
    return people


def _points(path: Path) -> np.ndarray:
    return np.array([person["pose_keypoints_2d"] for person in _strict_openpose(path)]).reshape(-1, 18, 3)


def test_accuracy_of_a_real_network_on_real_photographs(posetrt: Posetrt, person: Path, shared_data: Path) -> None:
    said = posetrt("eval", person, "--coco", shared_data / "person_keypoints.json", "--images", shared_data / "images", "--json")
    assert said.code == 0, said.err
    rows = json.loads(said.out)
    assert rows["fp32"]["ap"] >= 0.440
    assert rows["int8"]["ap"] >= rows["fp32"]["ap"] - 0.03
    assert rows["fp32"]["images"] == 38


def test_the_same_key_points_alone_in_a_folder_and_in_a_video(posetrt: Posetrt, person: Path, shared_data: Path, tmp_path: Path) -> None:
    photos = sorted((shared_data / "images").iterdir())[:3]
    size = cv2.imread(str(photos[0])).shape
    folder, frames = tmp_path / "photos", []
    folder.mkdir()
    for index, photo in enumerate(photos):
        image = cv2.resize(cv2.imread(str(photo)), (size[1], size[0]))
        cv2.imwrite(str(folder / f"photo{index}.png"), image)
        frames.append(image)
    video = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"FFV1"), 10, (size[1], size[0]))
    for frame in frames:
        video.write(frame)
    video.release()
    # FFV1 in OpenCV is loss-free in YUV 4:2:0 or BGR by build: compare with what the video really holds.
    capture = cv2.VideoCapture(str(tmp_path / "clip.avi"))
    for index in range(3):
        cv2.imwrite(str(folder / f"photo{index}.png"), capture.read()[1])
    for source, out in ((folder / "photo1.png", "alone"), (folder, "folder"), (tmp_path / "clip.avi", "video")):
        assert posetrt("run", person, "--source", source, "--write-json", tmp_path / out).code == 0
    alone = _points(tmp_path / "alone" / "photo1_keypoints.json")
    assert len(alone) > 0
    assert np.abs(alone - _points(tmp_path / "folder" / "photo1_keypoints.json")).max() <= 0.01
    assert np.abs(alone - _points(tmp_path / "video" / "clip_000000000001_keypoints.json")).max() <= 0.01


@pytest.mark.slow
def test_the_video_gives_a_json_and_a_picture_a_frame(posetrt: Posetrt, person: Path, shared_data: Path, tmp_path: Path) -> None:
    video = shared_data / "openpose_media" / "video.avi"
    said = posetrt(
        "run", person, "--source", video, "--precision", "int8", "--write-json", tmp_path / "json", "--write-video", tmp_path / "out.mp4"
    )
    assert said.code == 0
    assert "205 frames" in said.err
    files = sorted((tmp_path / "json").iterdir())
    assert len(files) == 205
    assert sum(len(_strict_openpose(file)) for file in files) > 205
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    decoded = 0
    while capture.read()[0]:
        decoded += 1
    assert decoded == 205


@pytest.mark.parametrize("what", ["people", "heatmaps", "pafs"])
def test_pictures_show_what_was_asked_for(posetrt: Posetrt, person: Path, shared_data: Path, tmp_path: Path, what: str) -> None:
    photo = shared_data / "images" / PHOTO
    said = posetrt("run", person, "--source", photo, "--write-images", tmp_path, "--draw", what, "--image-format", "png")
    assert said.code == 0
    drawn = cv2.imread(str(tmp_path / f"{photo.stem}_rendered.png"))
    original = cv2.imread(str(photo))
    assert drawn.shape == original.shape
    changed = np.abs(drawn.astype(int) - original).max(axis=2) > 24
    assert 0.001 < changed.mean() < (0.5 if what == "people" else 1.01)


def test_a_bench_row_a_precision_with_accuracy_and_a_chart(posetrt: Posetrt, person: Path, shared_data: Path, tmp_path: Path) -> None:
    arguments = ["--source", shared_data / "openpose_media" / "video.avi", "--frames", "4", "--rounds", "2"]
    said = posetrt("bench", person, *arguments, "--json", "--chart", tmp_path / "bench.png")
    assert said.code == 0, said.err
    report = json.loads(said.out)
    rows = {row["precision"]: row for row in report["results"]}
    assert set(rows) == {"fp32", "int8"}
    assert rows["int8"]["engine_mb"] < 0.5 * rows["fp32"]["engine_mb"]
    assert rows["fp32"]["people_per_frame"] > 2
    assert cv2.imread(str(tmp_path / "bench.png")).shape[1] > 500
    stages = sum(rows["fp32"][f"{stage}_ms"] for stage in ("decode", "prepare", "network", "parse"))
    assert stages == pytest.approx(rows["fp32"]["latency_p50_ms"], rel=0.5)


def test_int8_is_faster_than_fp32_in_the_same_run(posetrt: Posetrt, person: Path, shared_data: Path) -> None:
    said = posetrt("bench", person, "--source", shared_data / "images" / PHOTO, "--frames", "10", "--rounds", "3", "--json")
    rows = {row["precision"]: row for row in json.loads(said.out)["results"]}
    assert rows["int8"]["network_fps"] > 1.3 * rows["fp32"]["network_fps"]
