"""Training targets against the paper's formulas, written out a cell at a time in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.calib.scenes.targets import draw_targets
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import MapLayout, load_layout
from posetrt.runtime.model.skeleton import Skeleton

LAYOUT = load_layout("coco18")
COCO18 = LAYOUT.skeleton
SIZE, STRIDE, SIGMA, HALF = (96, 64), 8, 7.0, 8.0


def two_people() -> NDArray[np.float64]:
    """Two people who overlap, the second without its right wrist."""
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.uniform((5, 5), (90, 60), (2, 18, 2)), np.ones((2, 18, 1))], axis=2)
    points[1, 4, 2] = 0
    return points


def centre(cell: int) -> float:
    return (cell + 0.5) * STRIDE - 0.5


def test_confidence_maps_are_the_papers_maximum_over_people() -> None:
    points = two_people()
    maps = draw_targets(points, LAYOUT, SIZE, STRIDE, sigma=SIGMA, limb_width=HALF).heatmaps
    assert maps.shape == (19, 8, 12)
    assert maps.dtype == np.float32
    for part in range(18):
        for row in range(8):
            for column in range(12):
                expected = max(
                    math.exp(-((centre(column) - x) ** 2 + (centre(row) - y) ** 2) / SIGMA**2) if score else 0
                    for x, y, score in points[:, part]
                )
                assert maps[part, row, column] == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(maps[18], 1 - maps[:18].max(axis=0), atol=1e-6)


def test_pafs_are_the_papers_mean_over_the_people_who_cover_a_cell() -> None:
    points = two_people()
    pafs = draw_targets(points, LAYOUT, SIZE, STRIDE, sigma=SIGMA, limb_width=HALF).pafs
    shared = 0
    for (first, second), channels in zip(COCO18.limbs, LAYOUT.paf_channels, strict=True):
        for row in range(8):
            for column in range(12):
                vectors = []
                for person in points:
                    if not person[first, 2] or not person[second, 2]:
                        continue
                    way = person[second, :2] - person[first, :2]
                    length = math.sqrt(way @ way)
                    unit, place = way / length, np.array([centre(column), centre(row)]) - person[first, :2]
                    if 0 <= unit @ place <= length and abs(unit[0] * place[1] - unit[1] * place[0]) <= HALF:
                        vectors.append(unit)
                shared += len(vectors) == 2
                expected = np.mean(vectors, axis=0) if vectors else np.zeros(2)
                np.testing.assert_allclose(pafs[list(channels), row, column], expected, atol=1e-6)
    assert shared > 0, "the drawing has no cell that two people cover, so it proves nothing of the mean"


def test_what_nobody_has_labelled_weighs_nothing_in_the_loss() -> None:
    points = np.zeros((1, 18, 3))
    points[0, 1], points[0, 2] = (40, 30, 1), (56, 30, 1)
    points[0, 3, 2] = -1
    targets = draw_targets(points, LAYOUT, SIZE, STRIDE, sigma=SIGMA, limb_width=HALF, ignore=np.array([[0, 0, 10, 10]]))
    assert targets.heatmap_mask[3, 3, 5] == 0, "an unlabelled elbow may lie anywhere in its person's box"
    assert targets.heatmap_mask[2, 3, 5] == 1, "a labelled shoulder is learnt"
    assert targets.heatmap_mask[4, 3, 5] == 1, "a wrist known to be absent is learnt as absent"
    assert targets.heatmap_mask[18, 3, 5] == 0, "the background knows no better than the elbow's map"
    assert targets.heatmap_mask[3, 7, 11] == 1, "outside the person's box all is known"
    upper_arm, shoulder = COCO18.limbs.index((2, 3)), COCO18.limbs.index((1, 2))
    assert (targets.paf_mask[list(LAYOUT.paf_channels[upper_arm]), 3, 5] == 0).all()
    assert (targets.paf_mask[list(LAYOUT.paf_channels[shoulder]), 3, 5] == 1).all()
    assert (targets.heatmap_mask[:, 0, 0] == 0).all(), "a box of unlabelled people is masked in every channel"
    assert (targets.paf_mask[:, 0, 0] == 0).all()


def test_a_skeleton_without_pafs_or_background_gets_its_parts_alone() -> None:
    bare = MapLayout(Skeleton("bare", ("a", "b"), ((0, 1),)), background=False)
    targets = draw_targets(np.array([[[20, 20, 1], [30, 30, 1]]]), bare, SIZE, STRIDE)
    assert targets.heatmaps.shape == (2, 8, 12)
    assert targets.pafs.shape == (0, 8, 12)


def test_a_size_that_the_stride_does_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="multiples of the stride 8, not 100x64"):
        draw_targets(two_people(), LAYOUT, (100, 64), STRIDE)
