"""Line integrals: how well each two peaks of a limb are joined by its PAF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.peaks import Peaks
from posetrt.runtime.skeleton import Skeleton

_COARSE = 3
"""Samples that decide whether the others are worth taking."""


@dataclass(frozen=True)
class Pairs:
    """Candidate limbs of one frame.

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

    Args:
        skeleton: with PAF channels.
        samples: places along the limb, evenly spaced, both ends included.
        agree: least PAF along the way for a sample to count.
        share: least share of the samples that must count.
        limit: most pairs that are scored in full; the best by the coarse samples stay.
    """

    def __init__(self, skeleton: Skeleton, samples: int, agree: float, share: float, limit: int) -> None:
        limbs = np.array(skeleton.limbs, np.int64).reshape(-1, 2)
        self._first, self._second = limbs[:, 0], limbs[:, 1]
        self._channels = np.array(skeleton.paf_channels, np.int64).reshape(-1, 2)
        self._way = np.linspace(0, 1, samples, dtype=np.float32)
        self._coarse_way = np.linspace(0, 1, _COARSE + 2, dtype=np.float32)[1:-1]
        self._agree, self._share, self._limit = agree, share, limit

    def score(self, pafs: NDArray[np.floating], peaks: Peaks) -> Pairs:
        """Every pair of peaks that passes, with its score; `pafs` is (2C, h, w)."""
        height, width = pafs.shape[1:]
        flat = pafs.reshape(-1)
        slots = np.arange(peaks.x.shape[1])
        filled = slots < peaks.count[:, None]
        limb, first, second = np.nonzero(filled[self._first][:, :, None] & filled[self._second][:, None, :])

        a, b = self._first[limb], self._second[limb]
        x, y = peaks.x[a, first], peaks.y[a, first]
        dx, dy = peaks.x[b, second] - x, peaks.y[b, second] - y
        length = np.sqrt(dx * dx + dy * dy)
        base = self._channels[limb] * (height * width)

        def along(way: NDArray[np.float32], which: NDArray[np.int64]) -> NDArray[np.float32]:
            columns = np.rint(x[which, None] + way * dx[which, None]).astype(np.intp)
            rows = np.rint(y[which, None] + way * dy[which, None]).astype(np.intp)
            cells = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
            fx = flat[base[which, :1] + cells].astype(np.float32)
            fy = flat[base[which, 1:] + cells].astype(np.float32)
            field: NDArray[np.float32] = (fx * dx[which, None] + fy * dy[which, None]) / length[which, None]
            return field

        long_enough = np.flatnonzero(length > 1e-6)
        coarse = along(self._coarse_way, long_enough)
        seen = (coarse > self._agree).any(axis=1)
        rest, coarse = long_enough[seen], coarse[seen]
        if len(rest) > self._limit:
            rest = rest[np.argpartition(-coarse.sum(axis=1), self._limit)[: self._limit]]
        field = along(self._way, rest)
        counts = (field > self._agree) & (field < np.inf)
        number = counts.sum(axis=1)
        enough = number >= self._share * len(self._way)
        rest, number = rest[enough], number[enough]
        score = np.where(counts[enough], field[enough], np.float32(0)).sum(axis=1) / number
        return Pairs(limb[rest], first[rest], second[rest], score.astype(np.float32))
