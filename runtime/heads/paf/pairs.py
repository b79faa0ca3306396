"""Line integrals: how well each two peaks of a limb are joined by its PAF."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.heads.paf.peaks import Peaks

MARGIN = 0.15
SHORT = np.float32(1)
SHORT_WEIGHT = np.float32(0.75)
TOUCHING, REACH = np.float32(0.12), np.float32(1.25)
"""Least score of a limb shorter than a cell: TOUCHING (REACH - length), length in cells, whatever its PAF. So short a limb may cover no cell's
centre, and its two peaks nearly touch. That is less than what a PAF gives, so that it joins what no PAF joins. Chosen on drawn crowds (seeds
2000 to 2015) and on photographs of `everyday`."""
LONG = np.float32(0.5)
"""Of the map's height: a limb longer than that is doubted. Source: OpenPose's decoder, whose distance prior this is."""
_MANY = 1000
"""With more candidates than this it is worth to look at the middles of all first."""
# Arrays without dimensions: NumPy takes them faster than its own scalars or Python's.
_HALF, _ONE, _SHORT, _SHORT_WEIGHT = (np.array(value, np.float32) for value in (0.5, 1, SHORT, SHORT_WEIGHT))
_TOUCHING, _REACH, _INFINITE, _LOWEST = (np.array(value, np.float32) for value in (TOUCHING, REACH, np.inf, -np.inf))


class Pairs(NamedTuple):
    """Candidate limbs of one frame, best first.

    Attributes:
        numbers: (3, M) int64: which limb; which peak of its first and of its second part, counted through all parts as in `Peaks`.
        score: (M,) float32: mean of the PAF along the way from the first to the second, in the way's direction; where the way is longer than
            half the map's height h, less by 1 - h / (2 length).
        rank: (M,) float32, falling; equal ranks by limb and peaks: score times the geometric mean of the two peaks' values. The PAF
            alone cannot tell a joint from a weak peak on the limb between, which it joins as well or better.
    """

    numbers: NDArray[np.int64]
    score: NDArray[np.float32]
    rank: NDArray[np.float32]

    def rows(self) -> list[tuple[int, int, int, float]]:
        """Limb, first peak, second peak and score of each, best first, as the assembly takes them."""
        return list(zip(*self.numbers.tolist(), self.score.tolist()))  # noqa: B905

    def take(self, order: NDArray[np.int64]) -> Pairs:
        """Those of the numbers given, in their order."""
        return Pairs(self.numbers.take(order, axis=1), self.score.take(order), self.rank.take(order))


def ranked(numbers: NDArray[np.int64], score: NDArray[np.float32], peaks: Peaks) -> Pairs:
    """Candidate limbs, best first; a pair of infinite rank is left out."""
    rank, seconds = peaks.points[2].take(numbers[1:])
    rank *= seconds
    np.sqrt(rank, out=rank)
    rank *= score
    order = np.negative(rank).argsort(kind="stable")
    rank = rank.take(order)
    if len(order) and not rank[0] < np.inf:
        finite = (rank < _INFINITE).nonzero()[0]
        order, rank = order.take(finite), rank.take(finite)
    return Pairs(numbers.take(order, axis=1), score.take(order), rank)


class PairScorer:
    """Takes the line integral of every two peaks that a limb could join.

    The PAF is read at the cell nearest to each sample. The middle of every pair is read first; where the PAF does not point along the
    way there, the other samples are not taken. A limb shorter than a cell, as the face of someone far away, is looked for in the nine
    cells about its middle, and is believed a little even without a PAF.

    Args:
        layout: with PAF channels.
        samples: places along the limb, evenly spaced from 15 % to 85 % of the way: nearer to its ends the limb does not fill its cells.
        middle: least PAF along the way in the middle, where the limb fills its cells and its neighbours' joints are far.
        agree: a sample agrees where the PAF along the way is above this.
        share: least share of the samples that must agree.
        least: a pair's score must be above this.
        limit: most pairs of which all samples are taken, of all limbs together; the best by their middle stay.
    """

    def __init__(self, layout: MapLayout, *, samples: int, middle: float, agree: float, share: float, least: float, limit: int) -> None:
        skeleton = layout.skeleton
        limbs = np.array(skeleton.limbs, np.int64).reshape(-1, 2)
        # From the number of peaks of each part, as sums: for each limb where its first part's peaks begin, less the rows of the limbs
        # before; where its second part's end; how many peaks the second part has, and how many the first.
        begin = np.tri(len(skeleton.parts), k=-1, dtype=np.int64)
        one = np.eye(len(skeleton.parts), dtype=np.int64)
        first, second = limbs.T
        rows_before = np.tri(len(limbs), k=-1, dtype=np.int64) @ one[first]
        self._sums = np.concatenate([begin[first] - rows_before, begin[second] + one[second], one[second], one[first]])
        self._limbs = np.zeros((5, len(limbs)), np.int64)
        self._limbs[0] = np.arange(len(limbs))
        self._heads, self._first_counts, self._counted = self._limbs[:4], self._limbs[4], self._limbs[1:].reshape(-1)
        # Where each limb's y channel lies behind its x channel, as nearly all networks have them, PAFs are read where they lie.
        channels = np.array(layout.paf_channels, np.int64).reshape(-1, 2)
        self._order = channels.reshape(-1) if (channels[:, 1] != channels[:, 0] + 1).any() else None
        self._x_channels = channels[:, 0] if self._order is None else 2 * np.arange(len(channels))
        # Behind the samples lies the middle, which must agree as well, but does not go into the score. There are at least nine rows,
        # for the nine cells of a short limb.
        rows = max(samples, 8) + 1
        way = np.append(np.linspace(MARGIN, 1 - MARGIN, samples), np.full(rows - samples, 0.5))
        self._ways = np.stack([1 - way, way], axis=1).astype(np.float32)
        self._middle, self._least = (np.array(value, np.float32) for value in (middle, least))
        samples_only = np.arange(rows) < samples
        self._agree = np.where(samples_only, agree, middle).astype(np.float32)[:, None]
        self._mean = (samples_only / samples).astype(np.float32)
        # The middle's vote outweighs all others.
        self._votes = samples_only.astype(np.float32)
        self._votes[-1] = samples + 1
        self._enough = np.array(samples + 1 + math.floor((share - 1e-3) * samples) + 0.5, np.float32)
        self._limit = limit
        self._shape_hw = (0, 0)
        self._room(1)

    def score(self, pafs: NDArray[np.floating], peaks: Peaks) -> Pairs:
        """Every pair of peaks that passes, with its score; `pafs` is (2C, h, w), float32 or float16."""
        if pafs.shape[1:] != self._shape_hw:
            self._resize(pafs.shape[1], pafs.shape[2])
        if self._order is not None or pafs.dtype != np.float32 or not pafs.flags.c_contiguous:
            self._copy[...] = pafs if self._order is None else pafs[self._order]
            pafs = self._copy
        flat = pafs.reshape(-1)
        # A cell reaches half a cell to either side of its centre: with that added, cutting the fraction off gives the nearest.
        points = peaks.points[:2] + _HALF
        pairs = self._candidates(peaks.counts)
        if pairs.shape[1] > min(_MANY, self._limit):
            pairs = pairs.take(self._middles_agree(flat, points, pairs), axis=1)

        ends = points.take(pairs[1:], axis=1)
        # A coordinate at a time, as far as may be: NumPy is quickest with arrays of one dimension.
        way_x, way_y = ends[0, 1] - ends[0, 0], ends[1, 1] - ends[1, 0]
        length = np.hypot(way_x, way_y)
        way_x /= length
        way_y /= length
        cells = self._ways.dot(ends[1]).astype(np.int32)
        cells *= self._width
        cells += self._ways.dot(ends[0]).astype(np.int32)
        short = (length < _SHORT).nonzero()[0]
        if len(short):
            # Limbs shorter than a cell, whose PAF may hold none of their own cells: the nine about the middle.
            cells.T[short] = self._beside.take(cells[-1].take(short), axis=0)
        cells += self._base.take(pairs[0])
        # No cell lies outside: "wrap" is the check that costs NumPy least.
        index = cells.astype(np.int64)
        along = flat.take(index, mode="wrap")
        along *= way_x
        across = flat[self._plane :].take(index, mode="wrap")
        across *= way_y
        along += across
        score = self._mean.dot(along)
        score += self._long / np.maximum(length, self._long) - _ONE
        good = self._votes.dot((along > self._agree).astype(np.float32)) > self._enough
        if len(short):
            # The best of the nine, weighed down; at least what closeness is worth.
            best = np.maximum.reduce(along.take(short, axis=1))
            best *= _SHORT_WEIGHT
            close = _REACH - length.take(short)
            close *= _TOUCHING
            score[short], good[short] = np.maximum(best, close), best > _LOWEST
        good &= score > self._least
        passed = good.nonzero()[0]
        return ranked(pairs.take(passed, axis=1), score.take(passed), peaks)

    def _candidates(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """(3, M): limb, first and second peak of every two peaks that a limb could join; `counts` as in `Peaks`."""
        self._sums.dot(counts, out=self._counted)
        # A row is a limb and one peak of its first part; its pairs follow one another, as the peaks of the second part do.
        rows = self._heads.repeat(self._first_counts, axis=1)
        if rows.shape[1] > len(self._range):
            self._room(rows.shape[1])
        second, seconds = rows[2], rows[3]
        rows[1] += self._range[: rows.shape[1]]
        second -= np.add.accumulate(seconds)
        pairs: NDArray[np.int64] = rows[:3].repeat(seconds, axis=1)
        count = pairs.shape[1]
        if count > len(self._range):
            self._room(count)
        pairs[2] += self._range[:count]
        return pairs

    def _middles_agree(self, flat: NDArray[np.float32], points: NDArray[np.float32], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of many candidates are so short, or have so good a middle, that the other samples are worth taking."""
        many = pairs.shape[1]
        start, way, field, square = self._floats[: 8 * many].reshape(4, 2, many)
        cells = self._cells[: 2 * many].reshape(2, many)
        points.take(pairs[1], axis=1, out=start, mode="clip")
        points.take(pairs[2], axis=1, out=way, mode="clip")
        np.add(start, way, out=field)
        field *= _HALF
        way -= start
        np.copyto(cells, field, casting="unsafe")
        cell = cells[1]
        cell *= self._width
        cell += cells[0]
        cell += self._base.take(pairs[0])
        flat.take(cell, out=field[0], mode="wrap")
        flat[self._plane :].take(cell, out=field[1], mode="wrap")
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
        self._width = np.array(width, np.int32)
        self._plane = height * width
        self._long = np.array(LONG * height, np.float32)
        self._base = (self._x_channels * self._plane).astype(np.int32)
        self._copy = np.zeros((2 * len(self._x_channels), height, width), np.float32)
        steps = np.array([-1, 0, 1])
        rows = np.clip(np.arange(height) + steps[:, None], 0, height - 1)
        columns = np.clip(np.arange(width) + steps[:, None], 0, width - 1)
        beside = (rows[:, None, :, None] * width + columns[None, :, None]).reshape(9, -1)
        self._beside = np.resize(beside, (len(self._ways), height * width)).T.astype(np.int32, order="C")

    def _room(self, candidates: int) -> None:
        """Room for the arrays of all candidates, which is rewritten every frame; grows when a frame has more, and is kept."""
        self._range = np.arange(candidates)
        self._floats = np.zeros(8 * candidates, np.float32)
        self._cells = np.zeros(2 * candidates, np.int64)
