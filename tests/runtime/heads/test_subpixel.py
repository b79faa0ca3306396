"""Sub-pixel places of one part's best cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posetrt.calib.heads.drawing import cells_of, gaussians, logits
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.subpixel import GRIDS, REFINEMENTS, best_offsets, best_points, to_pixels
from tests.runtime.heads.drawn_people import people_in_crops

SHAPE, SIZE = (64, 48), (192, 256)


def _maps(people: int, grid: str = "centre", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    truth = people_in_crops(people, SIZE, seed).keypoints
    cells = cells_of(truth, SHAPE, SIZE, grid)
    return np.stack([gaussians(each[None], SHAPE, 2.0) for each in cells]), truth


@pytest.mark.parametrize(("refinement", "most"), [("none", 0.75), ("quarter", 0.5), ("parabola", 0.06), ("dark", 0.06)])
def test_each_refinement_finds_a_gaussians_middle_as_well_as_it_can(refinement, most):
    maps, truth = _maps(20)
    cells = cells_of(truth, SHAPE, SIZE, "centre")
    found = best_points(maps, refinement)
    assert np.abs(found[..., :2] - cells[..., :2]).max() <= most


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("from_logits", [False, True])
def test_cells_come_back_as_the_pixels_they_were_drawn_at(grid, from_logits):
    maps, truth = _maps(10, grid)
    found = best_points(logits(maps) if from_logits else maps, logits=from_logits)
    pixels = to_pixels(found, SHAPE, SIZE, grid=grid)
    assert np.abs(pixels[..., :2] - truth[..., :2]).max() < 0.3
    assert np.abs(pixels[..., 2] - truth[..., 2]).max() < 0.1


def test_the_outer_cells_of_aligned_corners_lie_on_the_outer_pixels():
    corners = np.array([[0, 0, 1], [47, 63, 1]], np.float32)
    assert to_pixels(corners, SHAPE, SIZE, grid="corners")[:, :2] == pytest.approx(np.array([[0, 0], [191, 255]]))


@pytest.mark.parametrize("refinement", REFINEMENTS)
def test_a_batch_is_decoded_as_its_crops_alone(refinement):
    maps, _ = _maps(5)
    together = best_points(maps, refinement)
    assert np.array_equal(together, np.concatenate([best_points(each[None], refinement) for each in maps]))


@pytest.mark.parametrize("refinement", REFINEMENTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_a_map_with_nothing_in_it_gives_a_part_that_was_not_found(refinement, value):
    maps, _ = _maps(1)
    maps[0, 3] = value
    found = best_points(maps, refinement)
    assert found[0, 3].tolist() == [0, 0, 0]
    assert (found[0, 4:, 2] > 0).all()


@given(st.integers(0, 63), st.integers(0, 47), st.sampled_from(REFINEMENTS))
def test_a_peak_at_the_border_stays_within_a_cell_of_it(row, column, refinement):
    maps = np.full((1, 1, *SHAPE), 0.01, np.float32)
    maps[0, 0, row, column] = 0.9
    x, y, score = best_points(maps, refinement)[0, 0]
    assert abs(x - column) <= 1
    assert abs(y - row) <= 1
    assert score == np.float32(0.9)


def test_short_offsets_lead_from_the_best_cell_to_the_part():
    maps, truth = _maps(4)
    cells = cells_of(truth, SHAPE, SIZE, "centre")
    rows, columns = np.indices(SHAPE)
    ways = np.concatenate([cells[..., 1, None, None] - rows, cells[..., 0, None, None] - columns], axis=1).astype(np.float32)
    for disc in (False, True):
        found = best_offsets(maps, ways, y_first=True, disc=disc)
        assert np.abs(found[..., :2] - cells[..., :2]).max() < 1e-3


def test_a_refinement_or_grid_that_there_is_not_is_refused():
    maps, _ = _maps(1)
    with pytest.raises(UsageError, match="no refinement 'best'"):
        best_points(maps, "best")
    with pytest.raises(UsageError, match="no grid"):
        to_pixels(best_points(maps), SHAPE, SIZE, grid="edge")
    with pytest.raises(UsageError, match="heat maps of crops"):
        best_points(maps[0])
