"""The second family of drawn crowds."""

from __future__ import annotations

import numpy as np
import pytest

from posetrt.calib.scenes.held_back import draw_held_back
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.model.skeleton import Skeleton


def test_a_seed_gives_the_same_frame_again_and_another_seed_another() -> None:
    one, again, other = (draw_held_back(3, load_layout("coco18"), (20, 30), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.pafs, again.pafs)
    assert (one.heatmaps != other.heatmaps).any()


def test_the_maps_hold_joints_and_limbs_where_the_truth_says() -> None:
    layout = load_layout("body25")
    scene = draw_held_back(1, layout, (46, 82), 0, noise=0)
    points = scene.keypoints[0]
    shown = points[:, 2] > 0
    assert shown.sum() > 15
    for part in np.flatnonzero(shown):
        row, column = np.unravel_index(scene.heatmaps[part].argmax(), (46, 82))
        assert np.abs((column, row) - points[part, :2]).max() <= 0.5 + 1e-9
    for (first, second), channels in zip(layout.skeleton.limbs, layout.paf_channels, strict=True):
        way = points[second, :2] - points[first, :2]
        if shown[first] and shown[second] and np.hypot(*way) > 2:
            column, row = np.round((points[first, :2] + points[second, :2]) / 2).astype(int)
            field = scene.pafs[list(channels), row, column]
            assert field @ way / np.hypot(*way) > 0.5


def test_noise_has_the_deviation_asked_for() -> None:
    scene, clean = (draw_held_back(0, load_layout("coco18"), (46, 82), 0, noise=noise) for noise in (0.05, 0))
    assert (scene.pafs - clean.pafs).std() == pytest.approx(0.05, rel=0.05)


def test_a_skeleton_that_the_body_cannot_play_is_refused() -> None:
    with pytest.raises(UsageError, match="the drawn body has no parts"):
        draw_held_back(1, MapLayout(Skeleton("other", ("Nose", "Tail"), ((0, 1),)), ((0, 1),)), (20, 30), 0)
