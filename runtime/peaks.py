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


@dataclass(frozen=True)
class Peaks:
    """The peaks of every part in one frame, padded to the longest list.

    Attributes:
        x, y: (J, K) float32, heat-map cells, centres at integers; NaN in empty slots.
        score: (J, K) float32, the map's value at the peak's cell; 0 in empty slots.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    score: NDArray[np.float32]


class PeakFinder:
    """Finds local maxima above a threshold. Keeps one padded copy of the maps, so a frame of the same size allocates nothing large.

    Args:
        parts: number of heat maps to look at; those behind them (the background) are not read.
        threshold: least value of a peak, above 0.
        limit: most peaks a part; the best by value stay.
    """

    def __init__(self, parts: int, threshold: float, limit: int) -> None:
        self._parts, self._threshold, self._limit = parts, np.float32(threshold), limit
        self._padded = np.zeros((0, 0, 0), np.float32)
        self._above = np.zeros(0, np.bool_)
        self._around = np.zeros((9, 1), np.int64)

    def find(self, heatmaps: NDArray[np.floating]) -> Peaks:
        """The peaks of maps (J or more, h, w), float32 or float16.

        A peak is a finite cell above the threshold that none of its eight neighbours exceeds; of equal neighbours the last counts.
        Its place is, an axis at a time, the vertex of the parabola through the logarithms of three sums: its own row or column
        and the two beside it. That is exact for the Gaussian that networks are trained on, and the sums halve the noise. At the
        map's border the axis that leaves the map keeps the cell's centre.
        """
        parts, (height, width) = self._parts, heatmaps.shape[1:]
        stride, plane = width + 2, (height + 2) * (width + 2)
        if self._padded.shape != (parts, height + 2, stride):
            self._padded = np.zeros((parts, height + 2, stride), np.float32)
            self._above = np.zeros(parts * plane, np.bool_)
            self._around = (np.array([[-stride], [0], [stride]]) + np.array([-1, 0, 1])).reshape(9, 1)
        self._padded[:, 1:-1, 1:-1] = heatmaps[:parts]
        maps = self._padded.reshape(-1)

        np.greater(maps, self._threshold, out=self._above)
        cells = self._above.nonzero()[0]
        patch = maps.take(self._around + cells)
        value = patch[4]
        peak = ((value >= patch[:4].max(axis=0)) & (value > patch[5:].max(axis=0)) & (value < np.inf)).nonzero()[0]
        cells, patch = cells.take(peak), patch.take(peak, axis=1)

        part = cells // plane
        count = np.bincount(part, minlength=parts)
        if count.max() > self._limit:
            order = np.lexsort((-patch[4], part))
            chosen = order[np.arange(len(order)) - (count.cumsum() - count).take(part) < self._limit]
            cells, patch, part = cells[chosen], patch[:, chosen], part[chosen]
            count = np.minimum(count, self._limit)
        cell = cells - part * plane
        row = cell // stride
        column = cell - row * stride

        slots = int(count.max())
        place = part * slots + np.arange(len(part)) - (count.cumsum() - count).take(part)
        profile = np.log(np.fmax(_PROFILES @ patch, np.float32(FLOOR))).reshape(2, 3, -1)
        before, middle, after = profile[:, 0], profile[:, 1], profile[:, 2]
        offset = (after - before) / np.fmax(2 * (2 * middle - before - after), np.float32(1e-6))
        np.clip(offset, -0.5, 0.5, out=offset)
        found = np.zeros((3, parts * slots), np.float32)
        found[:2] = np.nan
        found[0, place] = column - 1 + offset[0] * ((column > 1) & (column < width))
        found[1, place] = row - 1 + offset[1] * ((row > 1) & (row < height))
        found[2, place] = patch[4]
        x, y, score = found.reshape(3, parts, slots)
        return Peaks(x, y, score)
