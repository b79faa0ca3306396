"""Histograms that grow with the data: bins from powers of two, so that the order of the images does not matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 2048
# Values below 2 ** SMALLEST count as 0.
SMALLEST = -100
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Distribution:
    """What one tensor, or one channel, was seen to hold.

    Attributes:
        counts: (2 · BINS,) float64: values a bin; bin i covers [(i - BINS) · width, (i - BINS + 1) · width).
        width: of a bin.
        low, high: the exact smallest and largest value.
    """

    counts: NDArray[np.float64]
    width: float
    low: float
    high: float

    def centres(self) -> NDArray[np.float64]:
        """(2 · BINS,) float64: the value that stands for each bin; the bin from 0 stands for 0, which is nearly all that ReLU leaves there."""
        centres: NDArray[np.float64] = (np.arange(-BINS, BINS, dtype=np.float64) + 0.5) * self.width
        centres[BINS] = 0.0
        return centres

    def upper_quantile(self, share: float) -> float:
        """The upper edge of the bin below which `share` of the values lie, and never above the largest value."""
        cumulated = np.cumsum(self.counts)
        bin_index = int(np.searchsorted(cumulated, share * cumulated[-1]))
        return float(min(self.high, (min(bin_index, 2 * BINS - 1) - BINS + 1) * self.width))

    def lower_quantile(self, share: float) -> float:
        """The lower edge of the bin above which `share` of the values lie, and never below the smallest value."""
        cumulated = np.cumsum(self.counts[::-1])
        bin_index = int(np.searchsorted(cumulated, share * cumulated[-1]))
        return float(max(self.low, (BINS - 1 - min(bin_index, 2 * BINS - 1)) * self.width))

    def peak_quantile(self, share: float) -> float:
        """The magnitude below which `share` of the values lie."""
        folded = self.counts[BINS:].copy()
        folded += self.counts[:BINS][::-1]
        cumulated = np.cumsum(folded)
        bin_index = int(np.searchsorted(cumulated, share * cumulated[-1]))
        return float(min(max(-self.low, self.high), (min(bin_index, BINS - 1) + 1) * self.width))


class Histogram:
    """Counts of the values of one tensor, in one row or a row a channel.

    A row has 2048 bins of width `2 ** (exponent - 11)` on either side of 0; where a larger value comes, neighbouring bins are
    added together, which gives exactly the histogram that wider bins would have given. Its size does not depend on
    the number of values.

    Args:
        rows: 1, or the number of channels.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._above = np.zeros((rows, BINS), np.int64)
        self._below: NDArray[np.int64] | None = None
        self._exponent = np.full(rows, SMALLEST, np.int64)

    def add(self, values: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        """Count more values.

        Args:
            values: (rows, n) float32, finite.
            low, high: (rows,) smallest and largest of each row.
        """
        magnitude = np.maximum(np.abs(low), np.abs(high))
        needed = np.maximum(np.frexp(magnitude)[1].astype(np.int64), SMALLEST)
        grown = np.nonzero(needed > self._exponent)[0]
        for row in grown:
            self._widen(int(row), int(needed[row] - self._exponent[row]))
        self._exponent[grown] = needed[grown]
        per_unit = np.ldexp(np.float32(1), (11 - self._exponent).astype(np.int32))[:, None]
        if low.min() < 0 and self._below is None:
            self._below = np.zeros((self.rows, BINS), np.int64)
        # In blocks that stay in the processor's cache.
        columns = max(1, min(values.shape[1], _BLOCK))
        rows = max(1, _BLOCK // columns)
        for top in range(0, self.rows, rows):
            block = slice(top, min(top + rows, self.rows))
            for left in range(0, values.shape[1], columns):
                self._add_block(block, values[block, left : left + columns] * per_unit[block], low[block].min() < 0)

    def _add_block(self, block: slice, scaled: NDArray[np.float32], signed: bool) -> None:
        """Count values that are given in bins."""
        count = block.stop - block.start
        if signed and self._below is not None:
            index = np.floor(scaled, out=scaled).astype(np.intp)
            index += (np.arange(count) * 2 * BINS + BINS)[:, None]
            both = np.bincount(index.ravel(), minlength=count * 2 * BINS).reshape(count, 2 * BINS)
            self._below[block] += both[:, :BINS]
            self._above[block] += both[:, BINS:]
            return
        index = scaled.astype(np.intp)
        index += (np.arange(count) * BINS)[:, None]
        self._above[block] += np.bincount(index.ravel(), minlength=count * BINS).reshape(count, BINS)

    def _widen(self, row: int, doublings: int) -> None:
        """Make the bins of a row `2 ** doublings` times as wide."""
        step = 1 << min(doublings, 11)
        merged = self._above[row].reshape(BINS // step, step).sum(axis=1)
        self._above[row] = 0
        self._above[row, : len(merged)] = merged
        if self._below is not None:
            merged = self._below[row].reshape(BINS // step, step).sum(axis=1)
            self._below[row] = 0
            self._below[row, BINS - len(merged) :] = merged

    def row(self, index: int, low: float, high: float) -> Distribution:
        """One row as a distribution with its exact ends."""
        counts = np.zeros(2 * BINS)
        counts[BINS:] = self._above[index]
        if self._below is not None:
            counts[:BINS] = self._below[index]
        return Distribution(counts, float(np.ldexp(1.0, int(self._exponent[index]) - 11)), low, high)


def merged(parts: list[Distribution], factors: NDArray[np.float64]) -> Distribution:
    """One distribution of several channels, each multiplied by its factor: what a second pass over the images would count.

    Args:
        parts: one a channel.
        factors: (len(parts),) positive.
    """
    low = min(part.low * factor for part, factor in zip(parts, factors, strict=True))
    high = max(part.high * factor for part, factor in zip(parts, factors, strict=True))
    exponent = max(int(np.frexp(max(-low, high))[1]), SMALLEST)
    width = float(np.ldexp(1.0, exponent - 11))
    counts = np.zeros(2 * BINS)
    for part, factor in zip(parts, factors, strict=True):
        if part.width * factor == width:
            counts += part.counts
            continue
        filled = np.nonzero(part.counts)[0]
        index = np.floor(part.centres()[filled] * factor / width).astype(np.int64) + BINS
        np.add.at(counts, np.clip(index, 0, 2 * BINS - 1), part.counts[filled])
    return Distribution(counts, width, float(low), float(high))
