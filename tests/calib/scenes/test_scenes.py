"""Drawn scenes: exact where they claim to be exact, the same from the same seed, and refused where they cannot be."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posetrt.calib.accuracy.coco import coco_accuracy
from posetrt.calib.scenes import body
from posetrt.calib.scenes.scenes import draw_scene, draw_video
from posetrt.calib.scenes.truth import write_scenes
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People, to_coco_results


def test_the_same_seed_draws_the_same_scene_and_another_seed_another():
    first, again, other = draw_scene(3, (160, 120)), draw_scene(3, (160, 120)), draw_scene(4, (160, 120))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.keypoints, again.keypoints)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", range(12))
def test_key_points_lie_in_the_picture_and_missing_ones_are_zero(seed: int):
    scene = draw_scene(seed, (200, 140))
    assert scene.image.shape == (140, 200, 3)
    assert scene.image.dtype == np.uint8
    assert scene.keypoints.shape[1:] == (18, 3)
    assert len(scene.areas) == len(scene.keypoints)
    shown = scene.keypoints[..., 2] > 0
    assert (scene.keypoints[~shown] == 0).all()
    x, y = scene.keypoints[shown][:, 0], scene.keypoints[shown][:, 1]
    assert ((x > -0.5) & (x < 199.5) & (y > -0.5) & (y < 139.5)).all()


def test_a_count_is_kept_and_nobody_is_nobody():
    assert draw_scene(1, (128, 96), people=0).keypoints.shape == (0, 18, 3)
    # Of thirty in a small picture, many hide others; more than ten remain in sight, and never more than thirty.
    assert 10 < len(draw_scene(1, (456, 256), people=30).keypoints) <= 30


@pytest.mark.parametrize(
    ("size", "people"), [((0, 100), 1), ((100, 63), 1), ((5000, 100), 1), ((100.5, 100), 1), ((100, 100), -1), ((100, 100), 61)]
)
def test_impossible_sizes_and_counts_are_refused_with_what_is_possible(size: tuple[int, int], people: int):
    with pytest.raises(UsageError, match=r"64 to 4096|0 to 60"):
        draw_scene(0, size, people)
    with pytest.raises(UsageError):
        draw_video(0, size, people)


def test_a_video_without_frames_is_refused_before_the_first_frame():
    with pytest.raises(UsageError, match="at least 1 person and 1 frame"):
        draw_video(0, (100, 100), 1, frames=0)
    with pytest.raises(UsageError, match="fps"):
        draw_video(0, (100, 100), 1, frames=4, fps=0)


def test_key_points_of_walkers_lie_on_what_moves():
    """The reference is the video itself: the median over time is the empty place, and a walker is what differs from it."""
    scenes = list(draw_video(5, (320, 200), people=1, frames=40, fps=4))
    place = np.median(np.stack([scene.image for scene in scenes]), axis=0)
    on, counted = 0, 0
    for scene in scenes:
        moved = np.abs(scene.image.astype(np.float32) - place).max(axis=2) > 14
        moved = cv2.dilate(moved.astype(np.uint8), np.ones((5, 5), np.uint8))
        for points in scene.keypoints:
            shown = points[points[:, 2] > 0]
            columns, rows = np.round(shown[:, 0]).astype(int), np.round(shown[:, 1]).astype(int)
            on += int(moved[rows, columns].sum())
            counted += len(shown)
    assert counted > 300
    assert on / counted > 0.95


def test_people_move_smoothly_through_a_video():
    previous = None
    for scene in draw_video(9, (320, 200), people=1, frames=12, fps=25):
        assert len(scene.keypoints) <= 1
        if previous is not None and len(scene.keypoints) == 1 and len(previous) == 1:
            both = (scene.keypoints[0, :, 2] > 0) & (previous[0, :, 2] > 0)
            assert np.abs(scene.keypoints[0, both, :2] - previous[0, both, :2]).max() < 20
        previous = scene.keypoints


def test_who_faces_the_viewer_has_the_right_hand_on_the_pictures_left():
    points = body.joints(body.Build(), body.Pose())
    for right, left in (
        (body.R_SHOULDER, body.L_SHOULDER),
        (body.R_HIP, body.L_HIP),
        (body.R_EYE, body.L_EYE),
        (body.R_WRIST, body.L_WRIST),
    ):
        assert points[right, 0] < points[left, 0]
    assert points[body.NOSE, 2] > points[body.R_EAR, 2]  # the nose is nearer to the viewer
    assert points[body.NOSE, 1] < points[body.NECK, 1] < points[body.R_HIP, 1] < points[body.R_KNEE, 1] < points[body.R_ANKLE, 1]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_bones_keep_their_length_in_every_pose(seed: int):
    rng = np.random.default_rng(seed)
    points = body.joints(body.Build(), body.random_pose(rng))
    for start, end, length in (
        (body.R_SHOULDER, body.R_ELBOW, 0.172),
        (body.L_ELBOW, body.L_WRIST, 0.148),
        (body.R_HIP, body.R_KNEE, 0.243),
        (body.L_KNEE, body.L_ANKLE, 0.244),
        (body.R_HIP, body.L_HIP, 0.112),
    ):
        assert np.linalg.norm(points[start] - points[end]) == pytest.approx(length, abs=1e-9)


def test_the_truth_judged_by_cocos_own_measure_is_perfect_and_shifted_people_are_not(tmp_path):
    scenes = [draw_scene(seed, (228, 128)) for seed in range(20, 32)]
    photos = write_scenes(scenes, tmp_path)
    skeleton = load_skeleton("coco18")

    def judged(shift: float):
        rows = []
        for image_id, scene in enumerate(scenes, 1):
            moved = scene.keypoints + np.array([shift, 0, 0], np.float32)
            rows += to_coco_results(People(moved, np.ones(len(moved), np.float32)), skeleton, image_id)
        return coco_accuracy(rows, photos)

    assert judged(0.0).ap == pytest.approx(1.0, abs=0.005)
    assert judged(40.0).ap < 0.05
    assert all(cv2.imread(str(path)) is not None for path in photos.paths.values())
