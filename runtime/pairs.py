"""Line integrals: how well each two peaks of a limb are joined by its PAF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.peaks import Peaks
from posetrt.runtime.skeleton import Skeleton

_HALF = np.float32(0.5)


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
        samples: places along the limb, evenly spaced, both ends included.
        agree: a sample agrees where the PAF along the way is above this.
        share: least share of the samples that must agree.
        least: a pair's score must be above this.
        limit: most pairs of which all samples are taken, of all limbs together; the best by their middle stay.
    """

    def __init__(self, skeleton: Skeleton, *, samples: int, agree: float, share: float, least: float, limit: int) -> None:
        limbs = np.array(skeleton.limbs, np.int64).reshape(-1, 2)
        self._first, self._second = limbs[:, 0], limbs[:, 1]
        self._channels = np.array(skeleton.paf_channels, np.int64).reshape(-1, 2).T
        self._way = np.linspace(0, 1, samples, dtype=np.float32)[:, None]
        self._agree, self._needed = np.float32(agree), share * samples - 1e-6
        self._least, self._limit = least, limit

    def score(self, pafs: NDArray[np.floating], peaks: Peaks) -> Pairs:
        """Every pair of peaks that passes, with its score; `pafs` is (2C, h, w), float32 or float16."""
        height, width = pafs.shape[1:]
        flat = pafs.reshape(-1)
        base_x, base_y = self._channels * (height * width)
        slots = peaks.x.shape[1]

        # An empty slot's NaN makes every comparison with it false; its cell is clipped into the maps.
        start_x, start_y = peaks.x.take(self._first, axis=0)[:, :, None], peaks.y.take(self._first, axis=0)[:, :, None]
        dx = peaks.x.take(self._second, axis=0)[:, None] - start_x
        dy = peaks.y.take(self._second, axis=0)[:, None] - start_y
        length = np.sqrt(dx * dx + dy * dy)
        middle = _cells(start_x + _HALF * dx, start_y + _HALF * dy, width)
        along = flat.take(middle + base_x[:, None, None], mode="clip") * dx
        along += flat.take(middle + base_y[:, None, None], mode="clip") * dy
        found = ((along > self._agree * length) & (along < np.inf)).ravel().nonzero()[0]
        if len(found) > self._limit:
            mean = along.ravel()[found] / length.ravel()[found]
            found = found[np.argpartition(-mean, self._limit)[: self._limit]]

        limb, pair = np.divmod(found, slots * slots)
        first, second = np.divmod(pair, slots)
        x, y = start_x.ravel().take(limb * slots + first), start_y.ravel().take(limb * slots + first)
        dx, dy, length = dx.ravel().take(found), dy.ravel().take(found), length.ravel().take(found)
        cells = _cells(x + self._way * dx, y + self._way * dy, width)
        field = flat.take(cells + base_x.take(limb), mode="clip") * (dx / length)
        field += flat.take(cells + base_y.take(limb), mode="clip") * (dy / length)
        score = field.mean(axis=0)
        agreeing = np.count_nonzero(field > self._agree, axis=0)
        good = ((agreeing >= self._needed) & (score > self._least) & (score < np.inf)).nonzero()[0]
        return Pairs(limb.take(good), first.take(good), second.take(good), score.take(good))


def _cells(x: NDArray[np.float32], y: NDArray[np.float32], width: int) -> NDArray[np.int64]:
    """Index, in a map of that width, of the cell in which each place inside the map lies."""
    cells: NDArray[np.int64] = (y + _HALF).astype(np.int64) * width + (x + _HALF).astype(np.int64)
    return cells
