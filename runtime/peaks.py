"""Peaks of heat maps, to a fraction of a cell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FLOOR = 0.03
"""Least value that a logarithm is taken of: below it a cell holds noise, which says nothing of where the peak lies."""

FLATTEST = 1e-3
"""Least bend of a parabola: below it the three sums are equal but for float32's last digits, and the peak keeps its cell's centre, nearly."""

_FLOOR, _INFINITE, _FLATTEST, _NOTHING = (np.array(value, np.float32) for value in (FLOOR, np.inf, FLATTEST, 0))
_LEAST, _MOST = (np.array(value, np.float32) for value in (-0.5, 0.5))

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


class Peaks(NamedTuple):
    """The peaks of every part in one frame, part after part.

    Attributes:
        points: (3, P) float32: x and y in heat-map cells (centres at integers), and the map's value at the peak's cell.
        part: (P,) int64: whose peak it is; never falls.
        counts: (J,) int64: number of peaks of each part.
    """

    points: NDArray[np.float32]
    part: NDArray[np.int64]
    counts: NDArray[np.int64]


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
        # Arrays without dimensions: NumPy takes them faster than its own scalars or Python's, and an array of this size waits for such things.
        self._parts, self._threshold, self._limit = parts, np.array(threshold, np.float32), limit
        self._noisy_from, self._noisy_threshold = noisy_from, np.float32(noisy_threshold)
        self._resize(1, 1)

    def _resize(self, height: int, width: int) -> None:
        parts, plane = self._parts, height * width
        self._maps = np.zeros((parts, height, width), np.float32)
        self._candidate = np.zeros(parts * plane, np.bool_)
        self._rising = np.zeros(parts * plane + 1, np.bool_)
        # Whether each row begins, and whether the value rises behind its end, are not to be known: the neighbours are of other rows.
        self._row_starts = self._rising[:-1].reshape(parts * height, width)[:, 0]
        self._row_ends = self._rising[1:].reshape(parts * height, width)[:, -1]
        steps = np.array([-1, 0, 1])
        self._around = (steps[:, None] * width + steps).reshape(9, 1)
        row, column = np.indices((height, width)).reshape(2, plane)
        rows, columns = row + steps[:, None, None], column + steps[:, None]
        self._outside = ((rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)).reshape(9, plane)
        inner = ((column > 0) & (column < width - 1), (row > 0) & (row < height - 1))
        self._places = np.array([column, row, *inner], np.float32)

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

        cells = self._row_maxima(flat)
        part = cells // plane
        cell = cells - part * plane
        patch = flat.take(cells + self._around, mode="clip")
        np.copyto(patch, _NOTHING, where=self._outside.take(cell, axis=1))
        value = patch[4]
        peak = value > np.maximum.reduce(patch[:3])
        peak &= value >= np.maximum.reduce(patch[5:])
        peak &= value < _INFINITE
        found = peak.nonzero()[0]
        part, cell, patch = part.take(found), cell.take(found), patch.take(found, axis=1)
        count = np.bincount(part, minlength=parts)
        most = np.maximum.reduce(count)
        if most > self._noisy_from:
            strong = ((patch[4] > self._noisy_threshold) | (count.take(part) <= self._noisy_from)).nonzero()[0]
            part, cell, patch = part.take(strong), cell.take(strong), patch.take(strong, axis=1)
            count = np.bincount(part, minlength=parts)
            most = count.max()
        if most > self._limit:
            order = np.lexsort((-patch[4], part))
            chosen = order[np.arange(len(order)) - (count.cumsum() - count).take(part) < self._limit]
            part, cell, patch = part[chosen], cell[chosen], patch[:, chosen]
            count = np.minimum(count, self._limit)

        place = self._places.take(cell, axis=1)
        offset = _offsets(patch)
        offset *= place[2:]
        points = np.empty((3, len(cell)), np.float32)
        np.add(offset, place[:2], out=points[:2])
        points[2] = patch[4]
        return Peaks(points, part, count)

    def _row_maxima(self, flat: NDArray[np.float32]) -> NDArray[np.int64]:
        """Cells above the threshold that neither neighbour in their row exceeds; the few for which it is worth to look at all eight."""
        rising, candidate = self._rising, self._candidate
        np.greater(flat[1:], flat[:-1], out=rising[1:-1])
        np.greater(flat, self._threshold, out=candidate)
        self._row_starts.fill(True)
        candidate &= rising[:-1]
        self._row_ends.fill(False)
        np.greater(candidate, rising[1:], out=candidate)
        return candidate.nonzero()[0]


def _offsets(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, P) offsets in x and y, -0.5 to 0.5 cells, of the maximum of a Gaussian through each 3 x 3 patch of (9, P)."""
    profiles = np.matmul(_PROFILES, patch)
    # fmax, not maximum: it turns the NaN of an infinite neighbour into the floor.
    fit = np.matmul(_SLOPES_AND_BENDS, np.log(np.fmax(profiles, _FLOOR, out=profiles), out=profiles))
    offset: NDArray[np.float32] = np.divide(fit[:2], np.fmax(fit[2:], _FLATTEST), out=fit[:2])
    return np.fmin(np.fmax(offset, _LEAST, out=offset), _MOST, out=offset)
