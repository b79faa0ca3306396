"""Peaks of heat maps, to a fraction of a cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-3
"""Least value that a logarithm is taken of: below it a neighbour says nothing of where the peak lies."""


@dataclass(frozen=True)
class Peaks:
    """The peaks of every part in one frame, padded to the longest list.

    Attributes:
        x, y: (J, K) float32, heat-map cells, centres at integers; 0 in empty slots.
        score: (J, K) float32, the map's value at the peak's cell; 0 in empty slots.
        count: (J,) int64, filled slots a part; they come first.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    score: NDArray[np.float32]
    count: NDArray[np.int64]


class PeakFinder:
    """Finds local maxima above a threshold; keeps one padded copy of the maps for a frame size."""

    def __init__(self, parts: int, threshold: float, limit: int) -> None:
        self._parts, self._threshold, self._limit = parts, threshold, limit
        self._padded = np.empty((0, 0, 0), np.float32)

    def find(self, heatmaps: NDArray[np.floating]) -> Peaks:
        """The peaks of maps (J or more, h, w), each part's best `limit` by score.

        A peak is a finite cell above the threshold that no neighbour to its left and right, above and below exceeds; of two equal
        neighbours the first counts. Its place is the vertex of the parabola through the logarithms of the cell and
        its two neighbours, an axis at a time: exact for the Gaussian that networks are trained on.
        """
        parts, (height, width) = self._parts, heatmaps.shape[1:]
        if self._padded.shape != (parts, height + 2, width + 2):
            self._padded = np.full((parts, height + 2, width + 2), -np.inf, np.float32)
        self._padded[:, 1:-1, 1:-1] = heatmaps[:parts]
        maps, stride, plane = self._padded.reshape(-1), width + 2, (height + 2) * (width + 2)

        cells = np.flatnonzero(maps > self._threshold)
        around = maps[np.array([0, -1, 1, -stride, stride])[:, None] + cells]
        value, left, right, above, below = around
        keep = np.flatnonzero((value > left) & (value >= right) & (value > above) & (value >= below) & (value < np.inf))
        cells, around = cells[keep], around[:, keep]

        part, cell = np.divmod(cells, plane)
        count = np.bincount(part, minlength=parts)
        if count.max(initial=0) > self._limit:
            order = np.lexsort((-around[0], part))
            rank = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
            chosen = order[rank < self._limit]
            around, part, cell = around[:, chosen], part[chosen], cell[chosen]
            count = np.minimum(count, self._limit)
        row, column = np.divmod(cell, stride)
        value, left, right, above, below = around

        slots = int(count.max(initial=0))
        filled = np.arange(slots) < count[:, None]
        x, y, score = np.zeros((3, parts, slots), np.float32)
        x[filled] = column - 1 + _vertex(left, value, right)
        y[filled] = row - 1 + _vertex(above, value, below)
        score[filled] = value
        return Peaks(x, y, score, count)


def _vertex(before: NDArray[np.float32], value: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
    """Offset in cells, -0.5 to 0.5, of the maximum of a Gaussian through three cells; 0 where the three cannot tell."""
    first, middle, last = np.log(np.maximum((before, value, after), np.float32(FLOOR)))
    bend = 2 * middle - first - last
    offset = (last - first) / np.maximum(2 * bend, np.float32(1e-9))
    offset = np.where(np.isfinite(offset), offset, np.float32(0))
    clipped: NDArray[np.float32] = np.clip(offset, -0.5, 0.5)
    return clipped
