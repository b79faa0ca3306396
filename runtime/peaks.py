"""Peaks of heat maps, to a fraction of a cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOOR = 0.03
"""Least value that a logarithm is taken of: below it a cell holds noise, which says nothing of where the peak lies."""

# Rows: the three columns, then the three rows, of a 3 x 3 patch, each summed with weights 1/2, 1, 1/2 across.
_PROFILES = np.array(
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
_SLOPES_AND_BENDS = np.array(
    [[-1, 0, 1, 0, 0, 0], [0, 0, 0, -1, 0, 1], [-2, 4, -2, 0, 0, 0], [0, 0, 0, -2, 4, -2]],
    np.float32,
)


@dataclass(frozen=True)
class Peaks:
    """The peaks of every part in one frame, padded to the longest list.

    Attributes:
        points: (3, J, K) float32: x and y in heat-map cells (centres at integers; NaN in empty slots), and the map's value at the
            peak's cell (0 in empty slots).
    """

    points: NDArray[np.float32]

    @property
    def slots(self) -> int:
        """K, the slots a part."""
        return int(self.points.shape[2])


class PeakFinder:
    """Finds local maxima above a threshold. Keeps its buffers, so that a frame of the size before allocates nothing large.

    Args:
        parts: number of heat maps to look at; those behind them (the background) are not read.
        threshold: least value of a peak, above 0.
        limit: most peaks a part; the best by value stay.
        noisy_from: with more peaks than this a part's map is taken for noisy, and
        noisy_threshold: is its least value of a peak.
    """

    def __init__(self, parts: int, *, threshold: float, limit: int, noisy_from: int, noisy_threshold: float) -> None:
        self._parts, self._threshold, self._limit = parts, np.float32(threshold), limit
        self._noisy_from, self._noisy_threshold = noisy_from, np.float32(noisy_threshold)
        self._resize(1, 1)

    def _resize(self, height: int, width: int) -> None:
        parts = self._parts
        self._maps = np.zeros((parts, height, width), np.float32)
        self._candidate = np.zeros(parts * height * width, np.bool_)
        self._rising = np.zeros(parts * height * width + 1, np.bool_)
        steps = np.array([-1, 0, 1])
        self._around = (steps[:, None] * width + steps).reshape(9, 1)
        rows, columns = np.arange(height) + steps[:, None], np.arange(width) + steps[:, None]
        row_inside, column_inside = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
        self._outside = ~(row_inside[:, None, :, None] & column_inside[None, :, None, :]).reshape(9, height * width)
        self._border = np.tile(self._outside.any(axis=0), parts)
        self._last = np.array([[width - 1], [height - 1]], np.float32)

    def find(self, heatmaps: NDArray[np.floating]) -> Peaks:
        """The peaks of maps (J or more, h, w), float32 or float16.

        A peak is a finite cell above the threshold that none of its eight neighbours exceeds; of equal neighbours the first counts.
        Its place is, an axis at a time, the vertex of the parabola through the logarithms of three sums: its own row or column
        and the two beside it. That is exact for the Gaussian that networks are trained on, and the sums halve the noise. At the
        map's border the axis that leaves the map keeps the cell's centre.
        """
        parts, (height, width) = self._parts, heatmaps.shape[1:]
        plane = height * width
        if self._maps.shape != (parts, height, width):
            self._resize(height, width)
        maps = heatmaps[:parts]
        if maps.dtype != np.float32 or not maps.flags.c_contiguous:
            self._maps[...] = maps
            maps = self._maps
        flat = maps.reshape(-1)

        cells = self._row_maxima(flat, parts * height, width)
        patch = flat.take(self._around + cells, mode="clip")
        border = self._border.take(cells).nonzero()[0]
        if len(border):
            at_border = patch.take(border, axis=1)
            at_border[self._outside.take(cells.take(border) % plane, axis=1)] = 0
            patch[:, border] = at_border
        value = patch[4]
        highest = (value > np.maximum.reduce(patch[:4])) & (value >= np.maximum.reduce(patch[5:]))
        highest &= value < np.inf
        peak = highest.nonzero()[0]
        cells, patch = cells.take(peak), patch.take(peak, axis=1)

        part = cells // plane
        count = np.bincount(part, minlength=parts)
        if count.max() > self._noisy_from:
            strong = ((patch[4] > self._noisy_threshold) | (count.take(part) <= self._noisy_from)).nonzero()[0]
            cells, patch, part = cells.take(strong), patch.take(strong, axis=1), part.take(strong)
            count = np.bincount(part, minlength=parts)
        slots = int(count.max())
        if slots > self._limit:
            order = np.lexsort((-patch[4], part))
            chosen = order[np.arange(len(order)) - (count.cumsum() - count).take(part) < self._limit]
            cells, patch, part = cells[chosen], patch[:, chosen], part[chosen]
            count, slots = np.minimum(count, self._limit), self._limit

        slot = (np.arange(slots) < count[:, None]).ravel().nonzero()[0]
        cell = cells - part * plane
        place = np.empty((2, len(cell)), np.float32)
        place[1] = row = cell // width
        place[0] = cell - row * width
        found = np.full((3, parts * slots), np.nan, np.float32)
        found[2] = 0
        found[:2, slot] = place + _offsets(patch) * ((place > 0) & (place < self._last))
        found[2, slot] = patch[4]
        return Peaks(found.reshape(3, parts, slots))

    def _row_maxima(self, flat: NDArray[np.float32], rows: int, width: int) -> NDArray[np.int64]:
        """Cells above the threshold that neither neighbour in their row exceeds; the few for which it is worth to look at all eight."""
        rising, candidate = self._rising, self._candidate
        np.greater(flat[1:], flat[:-1], out=rising[1:-1])
        starts = rising[:-1].reshape(rows, width)[:, 0]
        np.greater(flat, self._threshold, out=candidate)
        # A row's last cell has no right neighbour: what rises into the next row's first must not count against it.
        into_next_row = rising[1:].reshape(rows, width)[:, -1]
        into_next_row[:] = False
        candidate &= ~rising[1:]
        starts[:] = True
        candidate &= rising[:-1]
        return candidate.nonzero()[0]


def _offsets(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, P) offsets in x and y, -0.5 to 0.5 cells, of the maximum of a Gaussian through each 3 x 3 patch of (9, P)."""
    fit = _SLOPES_AND_BENDS @ np.log(np.fmax(_PROFILES @ patch, np.float32(FLOOR)))
    offset = fit[:2] / np.fmax(fit[2:], np.float32(1e-6))
    clipped: NDArray[np.float32] = np.fmin(np.fmax(offset, np.float32(-0.5)), np.float32(0.5))
    return clipped
