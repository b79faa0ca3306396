"""Heat maps of one thing seen at several scales, laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray


def merged_maps(maps: Sequence[NDArray[np.floating]], scales: Sequence[float]) -> NDArray[np.floating]:
    """The mean of heat maps of crops about one centre, in the grid of the crop at scale 1; of each cell those scales count that saw it.

    Source: as CPM (arXiv 1602.00134) and OpenPose are evaluated: the maps of several scales are brought to one size and averaged.

    Args:
        maps: for each scale (J or J+1, h, w), of one shape.
        scales: 0.5 for a crop twice as wide, in which everything is half as large.

    Returns:
        (J or J+1, h, w) float32; the very map where there is one at scale 1.
    """
    if len(maps) == 1 and scales[0] == 1:
        return maps[0]
    height, width = maps[0].shape[1:]
    total = np.zeros(maps[0].shape, np.float32)
    weight = np.zeros((height, width), np.float32)
    for one, scale in zip(maps, scales, strict=True):
        rows, columns = _resampling(height, scale), _resampling(width, scale)
        total += rows @ one.astype(np.float32) @ columns.T
        weight += np.outer(rows.any(axis=1), columns.any(axis=1))
    return np.asarray(total / np.maximum(weight, 1), np.float32)


@cache
def _resampling(length: int, scale: float) -> NDArray[np.float32]:
    """(length, length): each cell of the grid at scale 1 as a cubic (Catmull-Rom) mean of four cells at `scale`; zero outside the crop."""
    at = ((np.arange(length) + 0.5) / length - 0.5) * scale + 0.5
    matrix = cubic_weights(at * length - 0.5, length)
    matrix[(at <= 0) | (at >= 1)] = 0
    return matrix


def cubic_weights(places: NDArray[np.floating], count: int, a: float = -0.5) -> NDArray[np.float32]:
    """(n, count): the weights with which `count` samples at integers give the values at n places, by Keys' cubic.

    With a = -1/2 it reproduces a straight line, so that a peak stays where it is; OpenCV's (a = -3/4) does not. Samples beyond the rim are those at it.
    """
    first = np.floor(places).astype(np.int64)
    weights = np.zeros((len(places), count), np.float32)
    for step in (-1, 0, 1, 2):
        away = np.abs(places - (first + step))
        near = (a + 2) * away**3 - (a + 3) * away**2 + 1
        far = a * (away**3 - 5 * away**2 + 8 * away - 4)
        np.add.at(
            weights, (np.arange(len(places)), np.clip(first + step, 0, count - 1)), np.where(away <= 1, near, np.where(away < 2, far, 0))
        )
    return weights
