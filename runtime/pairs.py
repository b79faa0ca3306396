"""Line integrals: how well each two peaks of a limb are joined by its PAF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.peaks import Peaks
from posetrt.runtime.skeleton import Skeleton

_HALF = np.float32(0.5)
_MARGIN = 0.15


@dataclass(frozen=True)
class Pairs:
    """Candidate limbs of one frame, in no order.

    Attributes:
        limb, first, second: (M,) int64: which limb, which peak of its first and of its second part.
        score: (M,) float32: mean of the PAF along the way from the first to the second, in the way's direction.
    """

    limb: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    score: NDArray[np.float32]


class PairScorer:
    """Takes the line integral of every two peaks that a limb could join.

    The PAF is read at the cell nearest to each sample. The middle of every pair is read first; where the PAF does not point along the
    way there, the other samples are not taken.

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
        self._first, self._second = np.ascontiguousarray(limbs.T)
        self._channels = np.array(skeleton.paf_channels, np.int64).reshape(-1, 2).T[:, :, None]
        self._way = np.linspace(_MARGIN, 1 - _MARGIN, samples, dtype=np.float32)[:, None]
        self._mean = np.full(samples, 1 / samples, np.float32)
        self._middle, self._agree, self._share = np.float32(middle), np.float32(agree), np.float32(share - 1e-3)
        self._least, self._limit = np.float32(least), limit

    def score(self, pafs: NDArray[np.floating], peaks: Peaks) -> Pairs:
        """Every pair of peaks that passes, with its score; `pafs` is (2C, h, w), float32 or float16."""
        width, slots = pafs.shape[2], peaks.slots
        flat = pafs.reshape(-1)
        base = self._channels * (pafs.shape[1] * width)

        # An empty slot's NaN makes every comparison with it false; its cell is clipped into the maps.
        start = peaks.points[:2].take(self._first, axis=1)[..., None]
        way = peaks.points[:2].take(self._second, axis=1)[:, :, None] - start
        middle = (start + (_HALF * way + _HALF)).astype(np.int32)
        cells = (middle[1] * width + middle[0]).reshape(1, len(self._first), -1) + base
        start, way = start.reshape(2, -1), way.reshape(2, -1)
        along = flat.take(cells.reshape(2, -1), mode="clip") * way
        along = along[0] + along[1]
        square = way * way
        length = np.sqrt(square[0] + square[1])
        found = ((along > self._middle * length) & (along < np.inf)).nonzero()[0]
        if len(found) > self._limit:
            found = found[np.argpartition(-along[found] / length[found], self._limit)[: self._limit]]

        node = found // slots
        second = found - node * slots
        limb = node // slots
        way, length = way.take(found, axis=1), length.take(found)
        places = (start + _HALF).take(node, axis=1)[:, None] + self._way * way[:, None]
        columns, rows = places.astype(np.int32)
        field = flat.take((rows * width + columns) + base[:, None, :, 0].take(limb, axis=2), mode="clip") * (way / length)[:, None]
        field = field[0] + field[1]
        score = self._mean @ field
        good = ((self._mean @ (field > self._agree) > self._share) & (score > self._least) & (score < np.inf)).nonzero()[0]
        return Pairs(limb.take(good), (node - limb * slots).take(good), second.take(good), score.take(good))
