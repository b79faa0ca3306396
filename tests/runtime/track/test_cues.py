"""Ids while the camera moves, and through crossings, on drawn walkers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posetrt.bench.track_benchmark import switches
from posetrt.calib.scenes.walkers import Walk, walkers
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import built_in_skeletons, load_skeleton
from posetrt.runtime.people import nobody
from posetrt.runtime.track.appearance import Appearance, alike
from posetrt.runtime.track.camera_motion import CameraMotion, carried
from posetrt.runtime.track.tracker import Tracker

SKELETON = load_skeleton("coco18")


def _textured(size_wh: tuple[int, int]) -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 255, (size_wh[1] // 8, size_wh[0] // 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, size_wh, interpolation=cv2.INTER_CUBIC))


def test_the_homography_is_the_cameras_own_motion_in_pixels_of_the_frame() -> None:
    image = _textured((960, 540))
    truth = np.array([[1.01, 0.02, 18.0], [-0.015, 0.99, -9.0], [1e-5, -2e-5, 1.0]])
    moved = cv2.warpPerspective(image, truth, (960, 540), borderMode=cv2.BORDER_REFLECT)
    motion = CameraMotion()
    assert motion.to(image, np.zeros((0, 4))) is None
    found = motion.to(moved, np.array([[400, 100, 120, 300]]))
    assert found is not None
    at = np.array([[100, 800, 480, 200], [80, 450, 270, 500]], np.float32)
    assert carried(found, at) == pytest.approx(carried(truth, at), abs=1.0)


def test_a_picture_without_texture_tells_no_motion() -> None:
    motion = CameraMotion()
    grey = np.full((270, 480, 3), 90, np.uint8)
    assert motion.to(grey, np.zeros((0, 4))) is None
    assert motion.to(grey, np.zeros((0, 4))) is None
    assert motion.to(_textured((480, 270)), np.zeros((0, 4))) is None


def test_a_camera_that_turns_costs_half_the_switches_at_most() -> None:
    moments = list(walkers(Walk(count=6, frames=40, seed=3, moves="turns", pictures=True, size_wh=(320, 180))))
    plain, total = switches(Tracker(SKELETON), moments)
    steady, _ = switches(Tracker(SKELETON, camera_motion=True), moments)
    assert plain > total / 1000
    assert steady <= plain / 2


def test_looks_tell_people_apart() -> None:
    appearance = Appearance(SKELETON)
    moments = list(walkers(Walk(count=4, frames=8, fps=4, seed=12, standing=True, pictures=True, lose_part=0, size_wh=(480, 270))))
    first, last = moments[0], moments[-1]
    likeness = alike(appearance.of(first.image, first.people), appearance.of(last.image, last.people))
    same = first.who[:, None] == last.who
    known = likeness != np.float32(0.8)
    assert likeness[same & known].min() > 0.93
    assert np.median(likeness[~same & known]) < 0.85


def test_every_skeleton_may_be_asked_for_its_looks() -> None:
    image = np.zeros((90, 160, 3), np.uint8)
    for name in built_in_skeletons():
        skeleton = load_skeleton(name)
        people = nobody(len(skeleton.parts))
        assert Appearance(skeleton).of(image, people).shape == (0, 62)


def test_the_picture_must_come_along() -> None:
    with pytest.raises(UsageError, match="needs the picture"):
        Tracker(SKELETON, appearance=True).update(nobody(18), 0.0)
