"""Line integrals: how well each two peaks of a limb are joined by its PAF."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.peaks import Peaks
from posetrt.runtime.skeleton import Skeleton

MARGIN = 0.15
SHORT = np.float32(1)
SHORT_WEIGHT = np.float32(0.75)
_MANY = 1000
"""With more candidates than this it is worth to look at the middles of all first."""
# Arrays without dimensions: NumPy takes them faster than its own scalars or Python's.
_HALF, _SHORT, _SHORT_WEIGHT, _INFINITE = (np.array(value, np.float32) for value in (0.5, SHORT, SHORT_WEIGHT, np.inf))


class Pairs(NamedTuple):
    """Candidate limbs of one frame, best first.

    Attributes:
        limb: (M,) int64: which limb.
        first, second: (M,) int64: which peak of its first and of its second part, counted through all parts as in `Peaks`.
        score: (M,) float32, falling; equal scores by limb and peaks: mean of the PAF along the way from the first to the second, in the
            way's direction.
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
        # From the number of peaks of each part, as sums: for each limb where its first part's peaks begin, less the rows of the limbs
        # before; where its second part's begin; how many peaks the second part has, and how many the first.
        begin = np.tri(len(skeleton.parts), k=-1, dtype=np.int64)
        one = np.eye(len(skeleton.parts), dtype=np.int64)
        first, second = limbs.T
        rows_before = np.tri(len(limbs), k=-1, dtype=np.int64) @ one[first]
        self._sums = np.concatenate([begin[first] - rows_before, begin[second], one[second], one[first]])
        self._limbs = np.zeros((5, len(limbs)), np.int64)
        self._limbs[0] = np.arange(len(limbs))
        self._channels = np.array(skeleton.paf_channels, np.int64).reshape(-1, 2).T
        # Behind the samples lies the middle, which must agree as well, but does not go into the score.
        way = np.append(np.linspace(MARGIN, 1 - MARGIN, samples), 0.5)
        self._ways = np.stack([1 - way, way], axis=1).astype(np.float32)
        self._mean = np.append(np.full(samples, 1 / samples), 0).astype(np.float32)
        self._agree, self._middle, self._least = (np.array(value, np.float32) for value in (agree, middle, least))
        self._enough = np.array(math.floor((share - 1e-3) * samples) + 1, np.uint8)
        self._limit = limit
        self._shape_hw = (0, 0)
        self._room(1)

    def score(self, pafs: NDArray[np.floating], peaks: Peaks) -> Pairs:
        """Every pair of peaks that passes, with its score; `pafs` is (2C, h, w), float32 or float16."""
        if pafs.shape[1:] != self._shape_hw:
            self._resize(pafs.shape[1], pafs.shape[2])
        if pafs.dtype != np.float32 or not pafs.flags.c_contiguous:
            self._copy[...] = pafs
            pafs = self._copy
        flat, width = pafs.reshape(-1), pafs.shape[2]
        # A cell reaches half a cell to either side of its centre: with that added, cutting the fraction off gives the nearest.
        points = peaks.points[:2] + _HALF
        pairs = self._candidates(peaks.counts)
        if pairs.shape[1] > min(_MANY, self._limit):
            pairs = pairs.take(self._middles_agree(flat, width, points, pairs), axis=1)

        ends, hops = points.take(pairs[1:], axis=1), self._hops.take(pairs[0], axis=1)
        way = ends[:, 1] - ends[:, 0]
        square = way * way
        length = square[0]
        length += square[1]
        np.sqrt(length, out=length)
        way /= length
        at = np.matmul(self._ways, ends).astype(np.int64)
        cells = at[1]
        cells *= width
        cells += at[0]
        short = (length < _SHORT).nonzero()[0]
        if len(short):
            # Limbs shorter than a cell, whose PAF may hold none of their own cells: the nine about the middle.
            cells[:, short] = self._beside.take(cells[-1].take(short), axis=1)
        cells += hops[0]
        along = flat.take(cells, mode="clip")
        along *= way[0]
        cells += hops[1]
        across = flat.take(cells, mode="clip")
        across *= way[1]
        along += across
        score = self._mean @ along
        good = np.add.reduce((along[:-1] > self._agree).view(np.uint8), 0, np.uint8) >= self._enough
        good &= along[-1] > self._middle
        if len(short):
            # The best of the nine, weighed down.
            best = np.maximum.reduce(along.take(short, axis=1))
            best *= _SHORT_WEIGHT
            score[short], good[short] = best, best > self._middle
        good &= score > self._least
        good &= score < _INFINITE
        passed = good.nonzero()[0]
        score = score.take(passed)
        order = (-score).argsort(kind="stable")
        passed = passed.take(order)
        pairs = pairs.take(passed, axis=1)
        return Pairs(pairs[0], pairs[1], pairs[2], score.take(order))

    def _candidates(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """(3, M): limb, first and second peak of every two peaks that a limb could join; `counts` as in `Peaks`."""
        np.matmul(self._sums, counts, out=self._limbs[1:].reshape(-1))
        # A row is a limb and one peak of its first part; its pairs follow one another, as the peaks of the second part do.
        rows = self._limbs[:4].take(self._limbs[0].repeat(self._limbs[4]), axis=1)
        if rows.shape[1] > len(self._range):
            self._room(rows.shape[1])
        numbers = self._range[: rows.shape[1]]
        second, seconds = rows[2], rows[3]
        rows[1] += numbers
        second += seconds
        second -= np.add.accumulate(seconds)
        row = numbers.repeat(seconds)
        if len(row) > len(self._range):
            self._room(len(row))
        pairs: NDArray[np.int64] = rows[:3].take(row, axis=1)
        pairs[2] += self._range[: len(row)]
        return pairs

    def _middles_agree(
        self, flat: NDArray[np.float32], width: int, points: NDArray[np.float32], pairs: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Which of many candidates are so short, or have so good a middle, that the other samples are worth taking."""
        limb, first, second = pairs
        many = len(limb)
        start, way, field, square = self._floats[: 8 * many].reshape(4, 2, many)
        cells, places = self._cells[: 4 * many].reshape(2, 2, many)
        points.take(first, axis=1, out=start, mode="clip")
        points.take(second, axis=1, out=way, mode="clip")
        np.add(start, way, out=field)
        field *= _HALF
        way -= start
        np.copyto(cells, field, casting="unsafe")
        cell = cells[1]
        cell *= width
        cell += cells[0]
        self._base.take(limb, axis=1, out=places, mode="clip")
        places += cell
        flat.take(places, out=field, mode="clip")
        field *= way
        along = field[0]
        along += field[1]
        np.multiply(way, way, out=square)
        length, least = square
        length += least
        np.sqrt(length, out=length)
        np.multiply(length, self._middle, out=least)
        agrees = along > least
        agrees &= along < _INFINITE
        agrees |= length < _SHORT
        found: NDArray[np.int64] = agrees.nonzero()[0]
        if len(found) > self._limit:
            best = np.argpartition(-along[found] / length[found], self._limit)[: self._limit]
            best.sort()
            found = found[best]
        return found

    def _resize(self, height: int, width: int) -> None:
        """Make ready for maps of this size."""
        self._shape_hw = (height, width)
        self._base = self._channels * (height * width)
        # From a cell of a map to that of the x channel, and from there to that of the y channel.
        self._hops = np.stack([self._base[0], self._base[1] - self._base[0]])
        self._copy = np.zeros((self._channels.size, height, width), np.float32)
        steps = np.array([-1, 0, 1])
        rows = np.clip(np.arange(height) + steps[:, None], 0, height - 1)
        columns = np.clip(np.arange(width) + steps[:, None], 0, width - 1)
        self._beside = (rows[:, None, :, None] * width + columns[None, :, None]).reshape(9, -1)

    def _room(self, candidates: int) -> None:
        """Room for the arrays of all candidates, which is rewritten every frame; grows when a frame has more, and is kept."""
        self._range = np.arange(candidates)
        self._floats = np.zeros(8 * candidates, np.float32)
        self._cells = np.zeros(4 * candidates, np.int64)
