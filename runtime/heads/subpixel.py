"""Sub-pixel places of the best cells: one per map, to a fraction of a cell, and from cells to pixels of the network's input.

For heat maps of a crop, which show one person: each map has one best cell. The maps of a whole batch are refined at once, and only
the cells around the best ones are read.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError

Refinement = Literal["none", "quarter", "parabola", "dark"]
REFINEMENTS: tuple[Refinement, ...] = ("none", "quarter", "parabola", "dark")
"""How the place within the best cell is found. "none": its centre. "quarter": a quarter of a cell towards the higher neighbour of each axis
(Newell et al. 2016, Hourglass). "parabola": the vertex of a parabola through the logarithms of three sums on each axis, exact for a Gaussian.
"dark": the map is blurred, then a Taylor step on its logarithm (Zhang et al. 2020, arXiv 1910.06278)."""

DEFAULT: Refinement = "parabola"
"""Chosen on crops of one person that were shifted and scaled a little (PP-TinyPose, 120 photographs of sport): how far each lies from the mean
of all of them, in pixels of the crop, was 2.43 for "none", 2.06 "quarter", 1.92 "parabola", 2.09 "dark" (1.92 with a blur of 1 cell)."""

Grid = Literal["centre", "corners", "origin"]
GRIDS: tuple[Grid, ...] = ("centre", "corners", "origin")
"""Where a map's cells lie in the network's input. "centre": as the pixels of a smaller picture, pixel = (cell + 0.5) * stride - 0.5 (OpenPose
and its family). "corners": the corners' cells lie on the corners' pixels, pixel = cell * (size - 1) / (cells - 1) (UDP: ViTPose, HRNet with
UDP). "origin": the first cell lies on the first pixel, pixel = cell * stride (SimpleBaseline, HRNet, PP-TinyPose). It is how the targets of the
training were drawn, and the graph does not show it. Where a network sees a picture and its mirror image, the two columns of a part add up to
(width - 1) / stride for "origin", and to cells - 1 for the others."""

BLUR = 2.0
"""Standard deviation of DARK's blur in cells. Source: its kernel of 11 cells, which is OpenCV's for this deviation; networks with maps of
64 x 48 cells are trained on Gaussians as wide."""

_FLOOR = np.array(1e-10, np.float32)
"""Least value that DARK takes a logarithm of. Source: Zhang et al.'s code."""
NOISE = np.array(0.03, np.float32)
"""Least value that the parabola takes a logarithm of: below it a cell holds noise."""
FLATTEST = np.array(1e-3, np.float32)
"""Least bend of a parabola, which keeps its vertex finite."""
_FARTHEST = np.float32(1.0)
"""Longest Taylor step along an axis, in cells: farther away the expansion says nothing."""

_ONE, _HALF = np.array(1, np.float32), np.array(0.5, np.float32)

# The parabola's sums of a 3 x 3 patch: its three columns, then its three rows, each weighted 1/2, 1, 1/2 across.
PROFILES = np.array(
    [
        [0.5, 0, 0, 1, 0, 0, 0.5, 0, 0],
        [0, 0.5, 0, 0, 1, 0, 0, 0.5, 0],
        [0, 0, 0.5, 0, 0, 1, 0, 0, 0.5],
        [0.5, 1, 0.5, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0.5, 1, 0.5, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0.5, 1, 0.5],
    ],
    np.float32,
)
# The vertex of a parabola through before, middle and after lies at (after - before) / (4 middle - 2 before - 2 after): both for x, then y.
SLOPES_AND_BENDS = np.array(
    [[-1, 0, 1, 0, 0, 0], [0, 0, 0, -1, 0, 1], [-2, 4, -2, 0, 0, 0], [0, 0, 0, -2, 4, -2]],
    np.float32,
)


def best_points(
    maps: NDArray[np.floating], refinement: Refinement = DEFAULT, *, logits: bool = False, blur: float = BLUR
) -> NDArray[np.float32]:
    """The best point of each map.

    Args:
        maps: (M, J, h, w) float32 or float16: M crops, J parts.
        refinement: one of `REFINEMENTS`.
        logits: whether the maps hold logits, of which the sigmoid is the probability, instead of the probability itself.
        blur: standard deviation of DARK's blur in cells: that of the Gaussians that the network was trained on.

    Returns:
        (M, J, 3) float32: x and y in cells (centres at integers), and the probability at the best cell, at most 1. All three are 0 where a
        map holds nothing above 0, or a value that is no number.

    Raises:
        UsageError: maps of another form, or no such refinement.
    """
    if maps.ndim != 4 or not maps.size:
        raise UsageError(f"heat maps of crops have shape (crops, parts, h, w), none of them 0; got {tuple(maps.shape)}")
    if refinement not in REFINEMENTS:
        raise UsageError(f"no refinement {refinement!r}: give one of {', '.join(REFINEMENTS)}")
    count, parts, height, width = maps.shape
    flat = np.ascontiguousarray(maps, np.float32).reshape(count * parts, height * width)
    cell = flat.argmax(axis=1)
    start = np.arange(0, flat.size, height * width)
    points = np.empty((3, len(cell)), np.float32)
    np.divmod(cell, width, points[1], points[0], casting="unsafe")
    with np.errstate(all="ignore"):
        if refinement == "none":
            value = flat.take(cell + start)
        elif refinement == "dark":
            value = flat.take(cell + start)
            points[:2] += _taylor(flat, cell, start, (height, width), logits, blur)
        else:
            near = _neighbours(height, width).take(cell, axis=1)
            near += start
            patch = flat.take(near)
            value = patch[4].copy()
            if logits:
                patch = probability(patch)
            points[:2] += _quarter(patch) if refinement == "quarter" else _vertex(patch)
        points[2] = probability(value) if logits else value
        good = (points[2] > 0) & (value < np.inf)
    np.minimum(points[2], _ONE, out=points[2])
    if not good.all():
        points[:, ~good] = 0
    found: NDArray[np.float32] = points.T.reshape(count, parts, 3)
    return found


def best_offsets(
    maps: NDArray[np.floating], offsets: NDArray[np.floating], *, y_first: bool, logits: bool = False, disc: bool = False
) -> NDArray[np.float32]:
    """The best point of each map, refined by short offsets as G-RMI has them (Papandreou et al. 2017, arXiv 1701.01779).

    Args:
        maps: (M, J, h, w).
        offsets: (M, 2J, h, w) in cells, from each cell to the part: J channels of one axis, then J of the other.
        y_first: whether the first J are along y.
        logits: as in `best_points`.
        disc: whether the map is a disc, flat around the part as G-RMI's, instead of a peak: then the nine cells around the best vote.

    Returns:
        (M, J, 3) float32 as `best_points`.

    Raises:
        UsageError: maps or offsets of another form.
    """
    points = best_points(maps, "none", logits=logits)
    count, parts, height, width = maps.shape
    if offsets.shape != (count, 2 * parts, height, width):
        raise UsageError(f"short offsets beside these heat maps have shape {(count, 2 * parts, height, width)}, not {tuple(offsets.shape)}")
    column, row = (points[..., axis].reshape(-1).astype(np.int64) for axis in (0, 1))
    pairs = offsets.reshape(count, 2, parts, height * width)
    moved = np.zeros((2, count * parts), np.float32)
    index = np.arange(count * parts)
    crop, part = index // parts, index % parts
    weights = np.zeros(count * parts, np.float32)
    flat = maps.reshape(count, parts, height * width)
    for down, right in [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)] if disc else [(0, 0)]:
        rows, columns = row + down, column + right
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        cell = np.where(inside, rows * width + columns, 0)
        weight = flat[crop, part, cell].astype(np.float32)
        weight = np.where(inside, np.maximum(probability(weight) if logits else weight, 0), 0)
        weights += weight
        moved[0] += weight * (columns + pairs[crop, int(y_first), part, cell])
        moved[1] += weight * (rows + pairs[crop, 1 - int(y_first), part, cell])
    found = (points[..., 2].reshape(-1) > 0) & (weights > 0) & np.isfinite(moved).all(axis=0)
    moved[:, found] /= weights[found]
    placed = points.reshape(-1, 3)
    placed[found, :2] = moved[:, found].T
    placed[~found] = 0
    return placed.reshape(points.shape)


def to_pixels(
    points: NDArray[np.float32], shape_hw: tuple[int, int], size_wh: tuple[int, int], *, grid: Grid = "centre"
) -> NDArray[np.float32]:
    """Cells to pixels of the network's input, in place.

    Args:
        points: (..., 3) float32: x and y in cells, score. Points of score 0 stay where they are.
        shape_hw: of the maps, in cells.
        size_wh: of the network's input, in pixels.
        grid: where the cells lie; one of `GRIDS`.

    Returns:
        The same array.

    Raises:
        UsageError: no such grid.
    """
    if grid not in GRIDS:
        raise UsageError(f"no grid {grid!r}: give one of {', '.join(GRIDS)}")
    (height, width), (full_width, full_height) = shape_hw, size_wh
    pixels, cells = np.array([full_width, full_height], np.float64), np.array([width, height], np.float64)
    scale = (pixels - 1) / np.maximum(cells - 1, 1) if grid == "corners" else pixels / cells
    shift = (scale - 1) / 2 if grid == "centre" else np.zeros(2)
    found = points[..., 2:] > 0
    np.multiply(points[..., :2], scale.astype(np.float32), out=points[..., :2], where=found)
    np.add(points[..., :2], shift.astype(np.float32), out=points[..., :2], where=found)
    return points


def probability(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sigmoid, without overflow."""
    result: NDArray[np.float32] = np.float32(0.5) + np.float32(0.5) * np.tanh(logits * np.float32(0.5))
    return result


@cache
def _neighbours(height: int, width: int) -> NDArray[np.int64]:
    """(9, h * w): of each cell the nine of its 3 x 3 patch, row by row; at the border the cell nearest to the one outside."""
    steps = np.arange(-1, 2)
    rows = (np.arange(height)[:, None] + steps).clip(0, height - 1)
    columns = (np.arange(width)[:, None] + steps).clip(0, width - 1)
    around = rows.T[:, None, :, None] * width + columns.T[None, :, None, :]
    return np.ascontiguousarray(around.reshape(9, height * width))


def _quarter(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, P): a quarter of a cell towards the higher neighbour in x and in y; `patch` is (9, P)."""
    step: NDArray[np.float32] = np.sign(np.stack([patch[5] - patch[3], patch[7] - patch[1]])) * np.float32(0.25)
    return step


def _vertex(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, P): offsets in x and y of the vertex of a parabola through the logarithms of three sums; `patch` is (9, P)."""
    sums = PROFILES.dot(patch)
    # fmax, not maximum: it turns what is no number into the floor.
    fit = SLOPES_AND_BENDS.dot(np.log(np.fmax(sums, NOISE, out=sums), out=sums))
    offset: NDArray[np.float32] = fit[:2] / np.fmax(fit[2:], FLATTEST)
    return np.fmin(np.fmax(offset, -_HALF, out=offset), _HALF, out=offset)


def _reach(blur: float) -> int:
    """Cells to either side that a blur reads. Source: OpenCV, whose kernel of 11 cells has a standard deviation of 2."""
    return max(1, math.ceil((blur - 0.8) / 0.3 + 1))


@cache
def _blur_rows(blur: float) -> NDArray[np.float32]:
    """(5, n): the blurred values of five neighbouring cells from the n cells around them."""
    reach = _reach(blur)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * blur**2))
    weights /= weights.sum()
    rows = np.zeros((5, len(weights) + 4))
    for index in range(5):
        rows[index, index : index + len(weights)] = weights
    return rows.astype(np.float32)


def _taylor(
    flat: NDArray[np.float32], cell: NDArray[np.int64], start: NDArray[np.int64], shape_hw: tuple[int, int], logits: bool, blur: float
) -> NDArray[np.float32]:
    """(2, P): the step from each best cell to the maximum of a quadratic expansion of the blurred map's logarithm.

    Only the 5 x 5 cells that the expansion reads are blurred. The map's last rows and columns go on behind its border.
    """
    height, width = shape_hw
    weights = _blur_rows(blur)
    steps = np.arange(weights.shape[1]) - weights.shape[1] // 2
    rows = (cell // width)[:, None] + steps
    columns = (cell % width)[:, None] + steps
    index = rows.clip(0, height - 1) * width + start[:, None]
    patch = flat.take(index[:, :, None] + columns.clip(0, width - 1)[:, None, :])
    if logits:
        patch = probability(patch)
    # (5, 5, P): rows y - 2 to y + 2, columns likewise.
    b = np.moveaxis(np.log(np.fmax(weights @ (patch @ weights.T), _FLOOR)), 0, 2)
    dx, dy = (b[2, 3] - b[2, 1]) / 2, (b[3, 2] - b[1, 2]) / 2
    dxx = (b[2, 4] - 2 * b[2, 2] + b[2, 0]) / 4
    dyy = (b[4, 2] - 2 * b[2, 2] + b[0, 2]) / 4
    dxy = (b[3, 3] - b[1, 3] - b[3, 1] + b[1, 1]) / 4
    determinant = dxx * dyy - dxy * dxy
    step = np.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy]) / determinant
    # No maximum where the expansion bends upwards.
    step[:, ~((determinant > 1e-10) & (dxx < 0))] = 0
    result: NDArray[np.float32] = np.clip(step, -_FARTHEST, _FARTHEST)
    return result
