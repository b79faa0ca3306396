"""Line integrals: how well each two peaks of a limb are joined by its PAF."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.peaks import Peaks
from posetrt.runtime.skeleton import Skeleton

_HALF = np.float32(0.5)
MARGIN = 0.15
SHORT = np.float32(1)
SHORT_WEIGHT = np.float32(0.75)
_BESIDE = np.array([[-1], [0], [1]])


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
        self._first, self._second = np.ascontiguousarray(limbs.T)
        self._channels = np.array(skeleton.paf_channels, np.int64).reshape(-1, 2).T[:, :, None]
        self._way = np.linspace(MARGIN, 1 - MARGIN, samples, dtype=np.float32)[:, None]
        self._mean = np.full(samples, 1 / samples, np.float32)
        self._middle, self._agree, self._share = np.float32(middle), np.float32(agree), np.float32(share - 1e-3)
        self._rooms: dict[str, NDArray[Any]] = {}
        self._least, self._limit = np.float32(least), limit

    def score(self, pafs: NDArray[np.floating], peaks: Peaks) -> Pairs:
        """Every pair of peaks that passes, with its score; `pafs` is (2C, h, w), float32 or float16."""
        width, slots = pafs.shape[2], peaks.slots
        if pafs.dtype != np.float32 or not pafs.flags.c_contiguous:
            copy = self._room("pafs", pafs.shape, np.float32)
            copy[...] = pafs
            pafs = copy
        flat = pafs.reshape(-1)
        base = self._channels * (pafs.shape[1] * width)
        start = peaks.points[:2].take(self._first, axis=1)[..., None]
        end = peaks.points[:2].take(self._second, axis=1)[:, :, None]
        way, length, found = self._middles_agree(flat, width, base, start, end)

        node = found // slots
        second = found - node * slots
        limb = node // slots
        way, length = way.take(found, axis=1), length.take(found)
        places = (start.reshape(2, -1) + _HALF).take(node, axis=1)[:, None] + self._way * way[:, None]
        columns, rows = places.astype(np.int32)
        field = flat.take((rows * width + columns) + base[:, None, :, 0].take(limb, axis=2), mode="clip") * (way / length)[:, None]
        field = field[0] + field[1]
        score, agreeing = self._mean @ field, self._mean @ (field > self._agree)
        short = (length < SHORT).nonzero()[0]
        if len(short):
            middle = (start.reshape(2, -1) + _HALF).take(node.take(short), axis=1) + _HALF * way.take(short, axis=1)
            unit = way.take(short, axis=1) / length.take(short)
            score[short] = self._best_beside(flat, pafs.shape[1:], base[:, :, 0].take(limb.take(short), axis=1), middle, unit)
            agreeing[short] = score.take(short) > self._middle
        good = ((agreeing > self._share) & (score > self._least) & (score < np.inf)).nonzero()[0]
        return Pairs(limb.take(good), (node - limb * slots).take(good), second.take(good), score.take(good))

    @staticmethod
    def _best_beside(
        flat: NDArray[np.float32],
        shape_hw: tuple[int, ...],
        base: NDArray[np.int64],
        middle: NDArray[np.float32],
        unit: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Score of limbs shorter than a cell, whose PAF may hold none of their own cells: the best of nine about the middle, weighed down.

        Args:
            base, middle, unit: (2, S): offset of the channels, middle of the limb in cells plus a half, its direction.
        """
        height, width = shape_hw
        column, row = middle.astype(np.int64)
        columns = np.clip(column + _BESIDE, 0, width - 1)
        rows = np.clip(row + _BESIDE, 0, height - 1)
        cells = (rows[:, None] * width + columns).reshape(9, -1)
        field = flat.take(cells + base[:, None], mode="clip") * unit[:, None]
        best: NDArray[np.float32] = SHORT_WEIGHT * (field[0] + field[1]).max(axis=0)
        return best

    def _middles_agree(
        self, flat: NDArray[np.float32], width: int, base: NDArray[np.int64], start: NDArray[np.float32], end: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Way (2, M) and length (M,) of all pairs of all limbs, in cells, and which of them have a middle that agrees.

        An empty slot's NaN makes every comparison with it false; its cell is clipped into the maps.
        """
        shape = (2, len(self._first), end.shape[3], end.shape[3])
        way = self._room("way", shape, np.float32)
        middle = self._room("middle", shape, np.float32)
        cells = self._room("cells", shape, np.int64)
        np.subtract(end, start, out=way)
        np.multiply(way, _HALF, out=middle)
        middle += start + _HALF
        np.copyto(cells, middle, casting="unsafe")
        column, row = cells
        row *= width
        row += column
        np.add(row, base[0, :, :, None], out=column)
        row += base[1, :, :, None]
        flat.take(cells, out=middle, mode="clip")
        middle *= way
        along = np.add(middle[0], middle[1], out=middle[0]).ravel()
        square = self._room("square", shape[1:], np.float32)
        np.multiply(way[0], way[0], out=square)
        length = np.multiply(way[1], way[1], out=middle[1])
        length += square
        length = np.sqrt(length, out=length).ravel()
        found = (((along > self._middle * length) & (along < np.inf)) | ((length < SHORT) & (length > 0))).nonzero()[0]
        if len(found) > self._limit:
            found = found[np.argpartition(-along[found] / length[found], self._limit)[: self._limit]]
        return way.reshape(2, -1), length, found

    def _room(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
        """Room for an array that is rewritten every frame; grows when a frame needs more, and is kept."""
        size = math.prod(shape)
        if name not in self._rooms or self._rooms[name].size < size:
            self._rooms[name] = np.empty(size, dtype)
        return self._rooms[name][:size].reshape(shape)
