"""`posetrt eval` on annotations in other data sets' formats, and cameras put together, with a real network on real photographs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from posetrt.runtime.model.skeleton import load_skeleton
from tests.cli.conftest import Posetrt

COCO18 = load_skeleton("coco18")
# COCO's 17 key points in AI Challenger's and in LSP's order; neither has a neck there, nor COCO the top of the head.
TO_CHALLENGE = [6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15]
TO_LSP = [16, 14, 12, 11, 13, 15, 10, 8, 6, 5, 7, 9]


def people_by_image(shared_data: Path) -> dict[str, list[dict]]:
    truth = json.loads((shared_data / "person_keypoints.json").read_text())
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    people: dict[str, list[dict]] = {name: [] for name in names.values()}
    for annotation in truth["annotations"]:
        if not annotation["iscrowd"]:
            people[names[annotation["image_id"]]].append(annotation)
    return people


def test_ai_challengers_format_with_cocos_people(posetrt: Posetrt, person: Path, shared_data: Path, tmp_path: Path) -> None:
    entries = []
    for name, people in people_by_image(shared_data).items():
        keypoints, boxes = {}, {}
        for index, annotation in enumerate(people):
            points = np.array(annotation["keypoints"]).reshape(17, 3)[TO_CHALLENGE]
            points[:, 2] = np.choose(points[:, 2], [3, 2, 1])
            x, y, width, height = annotation["bbox"]
            keypoints[f"human{index}"] = [*points.ravel().tolist(), 0, 0, 3, 0, 0, 3]
            boxes[f"human{index}"] = [x, y, x + width, y + height]
        entries.append({"image_id": Path(name).stem, "keypoint_annotations": keypoints, "human_annotations": boxes})
    (tmp_path / "keypoints.json").write_text(json.dumps(entries))
    said = posetrt(
        "eval", person, "--annotations", tmp_path / "keypoints.json", "--images", shared_data / "images", "--report", tmp_path, "--json"
    )
    assert said.code == 0
    assert "no head_top" in said.err
    rows = json.loads(said.out)
    assert rows["fp32"]["images"] == 38
    assert 0.05 < rows["int8"]["ap"] < rows["fp32"]["ap50"] < 0.7
    assert rows["int8"]["delta_ap"] == pytest.approx(rows["int8"]["ap"] - rows["fp32"]["ap"])
    report = json.loads((tmp_path / "report.json").read_text())["precisions"]
    assert report[0]["ap"] == rows["fp32"]["ap"]
    assert report[1]["delta_ap"]["low"] <= rows["int8"]["delta_ap"] <= report[1]["delta_ap"]["high"]


def test_tensorrts_int8_graph_is_judged_without_tensorrt(posetrt: Posetrt, person: Path, shared_data: Path) -> None:
    command = ["eval", person, "--images", shared_data / "lspet", "--limit", "8", "--precision", "fp32", "--simulate-tensorrt"]
    rows = json.loads(posetrt(*command, "--json").out)
    assert list(rows) == ["fp32", "int8-trt"]
    assert 0.6 < rows["int8-trt"]["agreement"] < 1
    said = posetrt(*command, "--on", "local")
    assert said.code == 2
    assert "--simulate-tensorrt runs on this computer alone" in said.err


def test_lsps_format_with_cocos_largest_people(posetrt: Posetrt, person: Path, shared_data: Path, tmp_path: Path) -> None:
    chosen = []
    for name, people in people_by_image(shared_data).items():
        largest = max(people, key=lambda one: one["bbox"][2] * one["bbox"][3])
        points = np.array(largest["keypoints"], float).reshape(17, 3)
        if (points[5:, 2] > 0).all():
            chosen.append((name, points))
    joints = np.zeros((3, 14, len(chosen)))
    images = tmp_path / "images"
    images.mkdir()
    for number, (name, points) in enumerate(chosen):
        joints[:2, :12, number] = points[TO_LSP, :2].T + 1
        joints[:2, 12, number] = (points[5, :2] + points[6, :2]) / 2 + 1
        (images / f"im{number + 1:04}.jpg").symlink_to(shared_data / "images" / name)
    savemat(str(tmp_path / "joints.mat"), {"joints": joints})
    said = posetrt("eval", person, "--annotations", tmp_path / "joints.mat", "--images", images, "--precision", "fp32")
    assert said.code == 0
    titles, row = (line.split() for line in said.out.splitlines()[1:])
    assert titles[1] == "PCK@0.2"
    assert float(row[1]) > 0.6


def test_a_photograph_seen_by_four_cameras_lies_in_its_plane(posetrt: Posetrt, person: Path, shared_data: Path, tmp_path: Path) -> None:
    """A photograph of one person stands upright in space, 3 m high; four drawn cameras look at it from 35 degrees left to right."""
    photo = cv2.imread(str(shared_data / "images" / "000000000785.jpg"))
    height, width = photo.shape[:2]
    metres = 3.0 / height
    lens = np.array([[1100.0, 0, 640], [0, 1100, 360], [0, 0, 1]])
    cameras, views = [], []
    for number, angle in enumerate(np.radians([-35, -12, 12, 35])):
        place = np.array([5 * np.sin(angle), -5 * np.cos(angle), 1.5])
        forward = (np.array([0, 0, 1.5]) - place) / 5
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        camera = lens @ np.concatenate([rotation, -rotation @ place[:, None]], axis=1)
        to_plane = np.array([[metres, 0, -metres * width / 2], [0, -metres, 3.0], [0, 0, 1]])
        picture = cv2.warpPerspective(photo, camera[:, [0, 2, 3]] @ to_plane, (1280, 720), borderValue=(128, 128, 128))
        (tmp_path / f"pictures{number}").mkdir()
        cv2.imwrite(str(tmp_path / f"pictures{number}" / "frame.png"), picture)
        views.append(tmp_path / f"view{number}")
        assert (
            posetrt("run", person, "--source", tmp_path / f"pictures{number}", "--precision", "fp32", "--write-json", views[-1]).code == 0
        )
        cameras.append(camera.tolist())
    (tmp_path / "cameras.json").write_text(json.dumps(cameras))
    said = posetrt("triangulate", tmp_path / "cameras.json", *views, "-o", tmp_path / "space", "--json")
    assert said.code == 0
    summary = json.loads(said.out)
    assert summary["points"] >= 12
    (written,) = (tmp_path / "space").glob("*.json")
    points = np.array(json.loads(written.read_text())["people"][0]["pose_keypoints_3d"]).reshape(18, 4)
    found = points[points[:, 3] > 0, :3]
    # The skier is about 346 of the photograph's 425 px high.
    tall = 346 * metres
    assert np.median(np.abs(found[:, 1])) < 0.02 * tall
    truth = next(people[0] for name, people in people_by_image(shared_data).items() if name == "000000000785.jpg")
    labelled = np.array(truth["keypoints"], float).reshape(17, 3)
    for part, place in enumerate(COCO18.coco17):
        if labelled[part, 2] > 0 and points[place, 3] > 0:
            across, up = (labelled[part, 0] - width / 2) * metres, 3.0 - labelled[part, 1] * metres
            assert np.hypot(points[place, 0] - across, points[place, 2] - up) < 0.12 * tall
