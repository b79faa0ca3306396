"""Drawn people are the truth that recall is measured against."""

from __future__ import annotations

import numpy as np
import pytest

from posetrt.calib.scenes.drawn import draw_figures, draw_scene
from posetrt.calib.scenes.targets import draw_targets
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.model.skeleton import load_skeleton

BODY25_MAPS = load_layout("body25")
BODY25 = BODY25_MAPS.skeleton


def test_a_seed_gives_the_same_frame_again_and_another_seed_another() -> None:
    one, again, other = (draw_scene(3, BODY25_MAPS, (20, 30), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.heatmaps, again.heatmaps)
    np.testing.assert_array_equal(one.pafs, again.pafs)
    assert not np.array_equal(one.keypoints, other.keypoints)


@pytest.mark.parametrize(("people", "low", "high"), [(1, 0.60, 0.95), (50, 0.14, 0.30), (100, 0.14, 0.30)])
def test_figures_shrink_as_the_crowd_grows(people: int, low: float, high: float) -> None:
    heights = [
        np.ptp(figure[:, 1]) / 368 for seed in range(4) for figure in draw_figures(people, BODY25, (656, 368), np.random.default_rng(seed))
    ]
    assert low - 1e-6 <= min(heights)
    assert max(heights) <= high + 1e-6


def test_the_maps_hold_each_visible_joint_where_the_truth_says() -> None:
    scene = draw_scene(1, BODY25_MAPS, (46, 82), 5, noise=0)
    figure = scene.keypoints[0]
    for part, (x, y, visible) in enumerate(figure):
        if not visible:
            assert scene.heatmaps[part].max() == 0
            continue
        row, column = np.unravel_index(scene.heatmaps[part].argmax(), scene.heatmaps[part].shape)
        assert max(abs(column - x), abs(row - y)) <= 0.5 + 1e-9


def test_a_skeleton_that_the_figure_cannot_play_is_refused() -> None:
    with pytest.raises(UsageError, match="drawn figure has no parts"):
        draw_figures(1, load_skeleton("car12"), (64, 64), np.random.default_rng(0))


def test_noise_is_added_to_what_the_paper_draws() -> None:
    scene, clean = draw_scene(2, BODY25_MAPS, (20, 30), 3, noise=0.02), draw_scene(2, BODY25_MAPS, (20, 30), 3, noise=0)
    assert 0.018 < (scene.pafs - clean.pafs).std() < 0.022
    points = clean.keypoints.copy()
    points[..., :2] = (points[..., :2] + 0.5) * 8 - 0.5
    np.testing.assert_allclose(draw_targets(points, BODY25_MAPS, (240, 160)).pafs, clean.pafs, atol=1e-5)
