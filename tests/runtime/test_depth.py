"""Key points in space: the median of a patch, holes left out, pictures that do not fit refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posetrt.runtime.camera import Camera
from posetrt.runtime.depth import depth_at, keypoints_in_space
from posetrt.runtime.errors import UsageError

CAMERA = Camera((64, 48), (50.0, 52.0), (31.5, 23.5))


def test_the_median_of_the_patch_counts_and_holes_do_not() -> None:
    depth = np.full((48, 64), 2000, np.uint16)
    depth[10, 20] = 60000
    depth[9:12, 29:32] = 0
    depth[20:31, 30:41] = 0
    points = np.array([[20, 10], [30, 10], [35, 25], [-3, 5], [63.4, 47.4], [0, 0], [np.nan, 3]], np.float32)
    assert depth_at(depth, points).tolist() == pytest.approx([2, 2, np.nan, np.nan, 2, 2, np.nan], nan_ok=True)
    metres = depth.astype(np.float32) / 1000
    metres[depth == 0] = np.nan
    assert depth_at(metres, points).tolist() == pytest.approx([2, 2, np.nan, np.nan, 2, 2, np.nan], nan_ok=True)


def test_places_project_back_onto_the_key_points_also_through_a_lens() -> None:
    camera = Camera((64, 48), (50.0, 52.0), (31.5, 23.5), (-0.2, 0.05, 0.001, -0.002, 0.0))
    keypoints = np.array([[[5, 5, 0.9], [60, 40, 0.5], [30, 20, 0]]], np.float32)
    space = keypoints_in_space(keypoints, np.full((48, 64), 1500, np.uint16), camera)
    assert space[0, 2].tolist() == [0, 0, 0, 0]
    matrix = np.array([[50, 0, 31.5], [0, 52, 23.5], [0, 0, 1.0]])
    back, _ = cv2.projectPoints(space[0, :2, :3].astype(np.float64), np.zeros(3), np.zeros(3), matrix, np.array(camera.distortion))
    assert back.reshape(-1, 2) == pytest.approx(keypoints[0, :2, :2], abs=0.01)
    assert space[0, :2, 2] == pytest.approx(1.5)


def test_depth_of_another_size_or_type_is_refused() -> None:
    keypoints = np.ones((1, 18, 3), np.float32)
    with pytest.raises(UsageError, match="32x24 and the camera's pictures are 64x48"):
        keypoints_in_space(keypoints, np.zeros((24, 32), np.uint16), CAMERA)
    with pytest.raises(UsageError, match="uint16 millimetres or float32 metres"):
        depth_at(np.zeros((48, 64), np.int8), keypoints[..., :2])
    with pytest.raises(UsageError, match="odd side"):
        depth_at(np.zeros((48, 64), np.uint16), keypoints[..., :2], patch=4)
    with pytest.raises(UsageError, match="uncalibrated"):
        Camera((64, 48), (0.0, 0.0), (0.0, 0.0))
