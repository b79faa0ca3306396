"""LSP and its extended set: PCK at 0.2 of the torso, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from posetrt.calib.datasets.choose import open_dataset
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.skeleton import load_skeleton
from tests.calib.datasets.miniature import people_of, photographs

COCO18, MPI15 = load_skeleton("coco18"), load_skeleton("mpi15")
R_HIP, L_SHOULDER = 2, 9
NAMES = (
    "RAnkle",
    "RKnee",
    "RHip",
    "LHip",
    "LKnee",
    "LAnkle",
    "RWrist",
    "RElbow",
    "RShoulder",
    "LShoulder",
    "LElbow",
    "LWrist",
    "Neck",
    "Head",
)


def body(shift: float = 0.0) -> np.ndarray:
    """(14, 2) whose torso, left shoulder to right hip, is hypot(30, 40) = 50 px: 10 px are near enough."""
    points = np.array([[20.0 + 3 * part, 10.0 * part] for part in range(14)])
    points[L_SHOULDER], points[R_HIP] = (60, 50), (30, 90)
    return points + shift


def found_at(points: np.ndarray, skeleton_parts: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    return {name: (float(x), float(y)) for name, (x, y) in zip(NAMES, points, strict=True) if name in skeleton_parts}


def lsp(path: Path, *bodies: np.ndarray) -> Path:
    joints = np.zeros((3, 14, len(bodies)))
    for number, points in enumerate(bodies):
        joints[:2, :, number] = points.T + 1
        joints[2, ::2, number] = 1
    savemat(str(path), {"joints": joints})
    return path


def test_pck_is_that_worked_out_by_hand(tmp_path: Path) -> None:
    images = photographs(tmp_path / "images", "im0001.jpg", "im0002.jpg")
    photos = open_dataset(lsp(tmp_path / "joints.mat", body(), body(5)), images)
    guess = found_at(body(), COCO18.parts)
    guess["RWrist"] = (guess["RWrist"][0] + 6, guess["RWrist"][1] + 8)  # 10 px: found
    guess["LWrist"] = (guess["LWrist"][0] + 6, guess["LWrist"][1] + 8.5)  # more: not found
    del guess["RAnkle"]
    small = {"Nose": (1.0, 1.0), "Neck": (2.0, 3.0)}
    judged = photos.judge([people_of(COCO18, small, guess), people_of(COCO18)], COCO18)
    assert list(photos.boxes) == [None, None]
    # COCO's body has 13 of the 14 parts; the hidden ones count too. The first photograph: 11 of 13; the second: none of 13.
    assert judged.figures["pck"] == 11 / 26
    assert judged.figures["wrist"] == (1 / 2 + 0 / 2) / 2
    assert judged.figures["ankle"] == (0 / 2 + 1 / 2) / 2
    assert judged.figures["head"] == 1 / 2
    assert list(judged.left_out) == ["head_top"]
    assert judged.main(np.array([0])) == 11 / 13


def test_left_and_right_are_the_persons_own(tmp_path: Path) -> None:
    photos = open_dataset(lsp(tmp_path / "joints.mat", body()), photographs(tmp_path / "images", "im0001.jpg"))
    points = found_at(body(), MPI15.parts)
    swapped = {MPI15.parts[MPI15.mirror[MPI15.parts.index(name)]]: spot for name, spot in points.items()}
    assert photos.judge([people_of(MPI15, points)], MPI15).figures["pck"] == 1
    # Seen from the observer's side only head and neck are right.
    assert photos.judge([people_of(MPI15, swapped)], MPI15).figures["pck"] == 2 / 14


def test_of_the_whole_lsp_the_second_thousand_is_judged(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(1001, 2001):
        (images / f"im{number:04}.jpg").touch()
    photos = open_dataset(lsp(tmp_path / "joints.mat", *[body()] * 2000), images)
    assert (photos.photographs[0].name, photos.photographs[-1].name, len(photos.photographs)) == ("im1001.jpg", "im2000.jpg", 1000)


def test_the_extended_set_counts_labelled_joints_and_leaves_out_who_has_no_torso(tmp_path: Path) -> None:
    joints = np.zeros((14, 3, 3))
    for number in range(3):
        joints[:, :2, number], joints[:, 2, number] = body() + 1, 1
    joints[[0, 5], :, 0] = 0
    joints[R_HIP, :, 1] = 0
    savemat(str(tmp_path / "joints.mat"), {"joints": joints})
    photos = open_dataset(tmp_path / "joints.mat", photographs(tmp_path / "images", "im00001.jpg", "im00003.jpg"))
    assert [path.name for path in photos.photographs] == ["im00001.jpg", "im00003.jpg"]
    judged = photos.judge([people_of(MPI15, found_at(body(), MPI15.parts)), people_of(MPI15)], MPI15)
    assert judged.figures["pck"] == 12 / 26


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    savemat(str(tmp_path / "joints.mat"), {"joints": np.zeros((2, 14, 5))})
    with pytest.raises(PosetrtError, match=r"3x14xN.*these are 2x14x5"):
        open_dataset(tmp_path / "joints.mat", photographs(tmp_path / "images", "im0001.jpg"))
    savemat(str(tmp_path / "empty.mat"), {"joints": np.zeros((14, 3, 2))})
    with pytest.raises(PosetrtError, match="no photograph has both the left shoulder and the right hip"):
        open_dataset(tmp_path / "empty.mat", tmp_path / "images")
