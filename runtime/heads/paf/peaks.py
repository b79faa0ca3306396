"""Peaks of heat maps, to a fraction of a cell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.heads.subpixel import PROFILES, SLOPES_AND_BENDS

FLOOR = 0.03
"""Least value that a logarithm is taken of: below it a cell holds noise, which says nothing of where the peak lies."""

FLATTEST = 1e-3
"""Least bend of a parabola: below it the three sums are equal but for float32's last digits, and the peak keeps its cell's centre, nearly."""

_FLOOR, _INFINITE, _FLATTEST, _NOTHING = (np.array(value, np.float32) for value in (FLOOR, np.inf, FLATTEST, 0))


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
        self._shape_hw = (height, width)
        self._maps = np.zeros((parts, height, width), np.float32)
        self._candidate = np.zeros(parts * plane, np.bool_)
        self._rising = np.zeros(parts * plane + 1, np.bool_)
        self._rises_here, self._rises_behind = self._rising[:-1], self._rising[1:]
        self._rises_inside = self._rising[1:-1]
        # Whether each row begins, and whether the value rises behind its end, are not to be known: the neighbours are of other rows.
        self._row_starts = self._rises_here.reshape(parts * height, width)[:, 0]
        self._row_ends = self._rises_behind.reshape(parts * height, width)[:, -1]
        self._plane = np.array(plane)
        steps = np.array([-1, 0, 1])
        self._around = (steps[:, None] * width + steps).reshape(9, 1)
        row, column = np.indices((height, width)).reshape(2, plane)
        rows, columns = row + steps[:, None, None], column + steps[:, None]
        self._outside = ((rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)).reshape(9, plane)
        # Of each cell: column, row, room for its value; how far left, up, right and down its peak may lie.
        reach = np.array([(column > 0) & (column < width - 1), (row > 0) & (row < height - 1)]) / 2
        self._places = np.array([column, row, row, *-reach, *reach], np.float32)

    def find(self, heatmaps: NDArray[np.floating]) -> Peaks:
        """The peaks of maps (J or more, h, w), float32 or float16.

        A peak is a finite cell above the threshold that none of its eight neighbours exceeds; of equal neighbours the first counts.
        Its place is, an axis at a time, the vertex of the parabola through the logarithms of three sums: its own row or column
        and the two beside it. That is exact for the Gaussian that networks are trained on, and the sums halve the noise. At the
        map's border the axis that leaves the map keeps the cell's centre.
        """
        parts, shape_hw = self._parts, heatmaps.shape[1:]
        if shape_hw != self._shape_hw:
            self._resize(*shape_hw)
        maps = heatmaps[:parts]
        if maps.dtype != np.float32 or not maps.flags.c_contiguous:
            self._maps[...] = maps
            maps = self._maps
        flat = maps.reshape(-1)

        cells = self._row_maxima(flat)
        part = cells // self._plane
        cell = cells - part * self._plane
        patch = flat.take(cells + self._around, mode="wrap")
        np.copyto(patch, _NOTHING, where=self._outside.take(cell, axis=1))
        value = patch[4]
        peak = value > np.maximum.reduce(patch[:3])
        peak &= value >= np.maximum.reduce(patch[5:])
        found = peak.nonzero()[0]
        part, cell, patch = part.take(found), cell.take(found), patch.take(found, axis=1)
        if not patch[4].dot(patch[4]) < np.inf:
            found = (patch[4] < _INFINITE).nonzero()[0]
            part, cell, patch = part.take(found), cell.take(found), patch.take(found, axis=1)
        count = np.bincount(part, minlength=parts)
        most = max(count.tolist())
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
        points, offset = place[:3], _offsets(patch)
        points[2] = patch[4]
        np.fmax(offset, place[3:5], out=offset)
        np.fmin(offset, place[5:], out=offset)
        points[:2] += offset
        return Peaks(points, part, count)

    def _row_maxima(self, flat: NDArray[np.float32]) -> NDArray[np.int64]:
        """Cells above the threshold that neither neighbour in their row exceeds; the few for which it is worth to look at all eight."""
        candidate = self._candidate
        np.greater(flat[1:], flat[:-1], out=self._rises_inside)
        np.greater(flat, self._threshold, out=candidate)
        self._row_starts.fill(True)
        candidate &= self._rises_here
        self._row_ends.fill(False)
        np.greater(candidate, self._rises_behind, out=candidate)
        return candidate.nonzero()[0]


def _offsets(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, P) offsets in x and y, in cells, of the maximum of a Gaussian through each 3 x 3 patch of (9, P)."""
    profiles = PROFILES.dot(patch)
    # fmax, not maximum: it turns the NaN of an infinite neighbour into the floor.
    fit = SLOPES_AND_BENDS.dot(np.log(np.fmax(profiles, _FLOOR, out=profiles), out=profiles))
    offset: NDArray[np.float32] = fit[:2]
    bend = fit[2:]
    offset /= np.fmax(bend, _FLATTEST, out=bend)
    return offset
