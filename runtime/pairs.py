"""Line integrals: how well each two peaks of a limb are joined by its PAF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.peaks import Peaks
from posetrt.runtime.skeleton import Skeleton

MARGIN = 0.15
SHORT = np.float32(1)
SHORT_WEIGHT = np.float32(0.75)
# Arrays without dimensions: NumPy takes them faster than its own scalars or Python's.
_HALF, _QUARTER, _SHORT, _SHORT_WEIGHT, _INFINITE = (np.array(value, np.float32) for value in (0.5, 0.25, SHORT, SHORT_WEIGHT, np.inf))
_Rooms = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


@dataclass(frozen=True)
class Pairs:
    """Candidate limbs of one frame, best first.

    Attributes:
        limb, first, second: (M,) int64: which limb, which peak of its first and of its second part.
        score: (M,) float32, falling; equal scores by limb and peaks: mean of the PAF along the way from the first to the second, in the way's direction.
    """

    limb: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    score: NDArray[np.float32]

    def take(self, order: NDArray[np.int64]) -> Pairs:
        """Those of the numbers given, in their order."""
        return Pairs(self.limb.take(order), self.first.take(order), self.second.take(order), self.score.take(order))


class PairScorer:
    """Takes the line integral of every two peaks that a limb could join.

    The PAF is read at the cell nearest to each sample. The middle of every pair is read first; where the PAF does not point along the
    way there, the other samples are not taken. A limb shorter than a cell, as the face of someone far away, is looked for in the nine
    cells about its middle.

    Args:
        skeleton: with PAF channels.
        samples: places along the limb, evenly spaced from 15 % to 85 % of the way: nearer to its ends the limb does not fill its cells.
        middle: least PAF along the way in the middle, where the limb fills its cells and its neighbours' joints are far.
        agree: a sample agrees where the PAF along the way is above this.
        share: least share of the samples that must agree.
        least: a pair's score must be above this.
        limit: most pairs of which all samples are taken, of all limbs together; the best by their middle stay.
    """

    def __init__(self, skeleton: Skeleton, *, samples: int, middle: float, agree: float, share: float, least: float, limit: int) -> None:
        limbs = np.array(skeleton.limbs, np.int64).reshape(-1, 2)
        self._limbs, self._parts = len(limbs), limbs.T.ravel()
        self._channels = np.array(skeleton.paf_channels, np.int64).reshape(-1, 2).T
        self._way = np.linspace(MARGIN, 1 - MARGIN, samples, dtype=np.float32)[:, None]
        self._mean = np.full(samples, 1 / samples, np.float32)
        self._middle, self._agree, self._share, self._least = (
            np.array(value, np.float32) for value in (middle, agree, share - 1e-3, least)
        )
        self._limit = limit
        self._rooms: dict[int, _Rooms] = {}
        self._slots = 0
        self._shape_hw = (0, 0)

    def score(self, pafs: NDArray[np.floating], peaks: Peaks) -> Pairs:
        """Every pair of peaks that passes, with its score; `pafs` is (2C, h, w), float32 or float16."""
        slots = peaks.slots
        if pafs.shape[1:] != self._shape_hw:
            self._resize(pafs.shape[1], pafs.shape[2])
        if pafs.dtype != np.float32 or not pafs.flags.c_contiguous:
            self._copy[...] = pafs
            pafs = self._copy
        flat, width = pafs.reshape(-1), pafs.shape[2]
        ends = peaks.points[:2].take(self._parts, axis=1)
        way, length, cell, found = self._middles_agree(flat, width, ends)

        node = found // slots
        limb = node // slots
        way, length, base = way.take(found, axis=1), length.take(found), self._base.take(limb, axis=1)
        unit = way / length
        # A cell reaches half a cell to either side of its centre; cutting the fraction off then gives the nearest.
        places = way[:, None] * self._way
        places += (ends.reshape(2, -1).take(node, axis=1) + _HALF)[:, None]
        columns, rows = places.astype(np.int64)
        rows *= width
        rows += columns
        field = flat.take(base[:, None] + rows, mode="clip")
        field *= unit[:, None]
        along = np.add(field[0], field[1], out=field[0])
        score, agreeing = self._mean @ along, self._mean @ (along > self._agree)
        short = (length < _SHORT).nonzero()[0]
        if len(short):
            # Limbs shorter than a cell, whose PAF may hold none of their own cells: the best of nine about the middle, weighed down.
            beside = self._beside.take(cell.take(found.take(short)), axis=1, mode="clip")
            nine = flat.take(base.take(short, axis=1)[:, None] + beside, mode="clip")
            nine *= unit.take(short, axis=1)[:, None]
            best = np.maximum.reduce(np.add(nine[0], nine[1], out=nine[0]))
            best *= _SHORT_WEIGHT
            score[short], agreeing[short] = best, best > self._middle
        good = score > self._least
        good &= agreeing > self._share
        good &= score < _INFINITE
        passed = good.nonzero()[0]
        score = score.take(passed)
        order = (-score).argsort(kind="stable")
        passed = passed.take(order)
        limb, node, found = limb.take(passed), node.take(passed), found.take(passed)
        return Pairs(limb, node - limb * slots, found - node * slots, score.take(order))

    def _middles_agree(
        self, flat: NDArray[np.float32], width: int, ends: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Way (2, M) and length (M,) of all pairs of all limbs, in cells, the cell of the middle (M,), and which of them to look at.

        An empty slot's NaN makes every comparison with it false; its cell is clipped into the maps.
        """
        limbs, slots = self._limbs, ends.shape[2]
        way, field, square, cells, places, agrees = self._rooms.get(slots) or self._room(slots)
        np.subtract(ends[:, limbs:, None], ends[:, :limbs, :, None], out=way)
        halves = ends * _HALF
        halves += _QUARTER
        np.add(halves[:, limbs:, None], halves[:, :limbs, :, None], out=field)
        np.copyto(cells, field, casting="unsafe")
        cell = cells[1]
        cell *= width
        cell += cells[0]
        np.add(cell, self._base[:, :, None, None], out=places)
        flat.take(places, out=field, mode="clip")
        field *= way
        along = np.add(field[0], field[1], out=field[0])
        np.multiply(way, way, out=square)
        length = np.add(square[0], square[1], out=square[0])
        np.sqrt(length, out=length)
        np.greater(along, np.multiply(length, self._middle, out=square[1]), out=agrees[0])
        agrees[0] &= along < _INFINITE
        np.less(length, _SHORT, out=agrees[1])
        agrees[0] |= agrees[1]
        found = agrees[0].ravel().nonzero()[0]
        if len(found) > self._limit:
            best = np.argpartition(-along.ravel()[found] / length.ravel()[found], self._limit)[: self._limit]
            found = found[np.sort(best)]
        return way.reshape(2, -1), length.ravel(), cell.ravel(), found

    def _resize(self, height: int, width: int) -> None:
        """Make ready for maps of this size."""
        self._shape_hw = (height, width)
        self._base = self._channels * (height * width)
        self._copy = np.zeros((self._channels.size, height, width), np.float32)
        steps = np.array([-1, 0, 1])
        rows = np.clip(np.arange(height) + steps[:, None], 0, height - 1)
        columns = np.clip(np.arange(width) + steps[:, None], 0, width - 1)
        self._beside = (rows[:, None, :, None] * width + columns[None, :, None]).reshape(9, -1)

    def _room(self, slots: int) -> _Rooms:
        """Room for the arrays of all pairs, which is rewritten every frame; grows when a frame has more peaks, and is kept."""
        if slots > self._slots:
            self._slots = slots
            self._rooms.clear()
            self._floats = np.zeros(6 * self._limbs * slots * slots, np.float32)
            self._cells = np.zeros(4 * self._limbs * slots * slots, np.int64)
            self._bools = np.zeros(2 * self._limbs * slots * slots, np.bool_)
        shape = (-1, 2, self._limbs, slots, slots)
        count = 2 * self._limbs * slots * slots
        self._rooms[slots] = rooms = (
            *self._floats[: 3 * count].reshape(shape),
            *self._cells[: 2 * count].reshape(shape),
            self._bools[:count].reshape(shape)[0],
        )
        return rooms
