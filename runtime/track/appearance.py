"""How people are dressed: histograms of colour of torso and legs, to tell those apart who cross."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

_ACROSS, _DOWN = 5, 6
"""Samples of the torso; the legs have as many, along both thighs and shins."""
_SHADES = 6
_TINTS = 5
_LEAST_SCORE = 0.05
_LEAST_SEEN = 0.35
"""Of the samples of torso or legs: with fewer that half is not known."""
BINS = 2 * (_SHADES + _TINTS * _TINTS)
"""Of a person's histogram: shades and tints of the torso, then of the legs."""

_TORSO = ("RShoulder", "LShoulder", "RHip", "LHip")
_LEGS = (("RHip", "RKnee"), ("LHip", "LKnee"), ("RKnee", "RAnkle"), ("LKnee", "LAnkle"))


class Appearance:
    """Reads histograms of people who have hips, shoulders and knees.

    Args:
        skeleton: of the people.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        place = {name: index for index, name in enumerate(skeleton.parts)}
        self._torso = [place[name] for name in _TORSO] if set(_TORSO) <= place.keys() else []
        self._legs = [(place[a], place[b]) for a, b in _LEGS if a in place and b in place]
        across, down = np.linspace(0.12, 0.88, _ACROSS), np.linspace(0.1, 0.9, _DOWN)
        # Shares of right and left shoulder, right and left hip.
        self._shares = np.array([[(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u] for v in down for u in across], np.float32)
        self._along = np.linspace(0.1, 0.9, 8, dtype=np.float32)

    def of(self, image: NDArray[np.uint8], people: People) -> NDArray[np.float32]:
        """(N, 62) float32: roots of histograms, whose product is Bhattacharyya's coefficient; NaN in the half of a person that is not seen.

        Args:
            image: (H, W, 3) uint8 BGR.
            people: in its pixels.
        """
        count = len(people)
        out = np.full((count, BINS), np.nan, np.float32)
        points, seen = people.keypoints[..., :2], np.asarray(people.keypoints[..., 2] > _LEAST_SCORE)
        if not count or not seen.shape[1]:
            return out
        low = np.where(seen[..., None], points, np.float32(np.inf)).min(axis=1)
        high = np.where(seen[..., None], points, np.float32(-np.inf)).max(axis=1)
        half = BINS // 2
        if self._torso:
            at = np.einsum("sc,ncx->nsx", self._shares, points[:, self._torso])
            weights = np.repeat(np.asarray(seen[:, self._torso].all(axis=1))[:, None], at.shape[1], axis=1) & ~_covered(at, low, high)
            good = weights.mean(axis=1) >= _LEAST_SEEN
            out[good, :half] = _histograms(image, at[good], weights[good].astype(np.float32))
        if self._legs:
            first, second = (np.array(end) for end in zip(*self._legs, strict=True))
            at = points[:, first, None] + self._along[:, None] * (points[:, second, None] - points[:, first, None])
            at = at.reshape(count, -1, 2)
            weights = np.repeat(seen[:, first] & seen[:, second], len(self._along), axis=1) & ~_covered(at, low, high)
            good = weights.mean(axis=1) >= _LEAST_SEEN
            out[good, half:] = _histograms(image, at[good], weights[good].astype(np.float32))
        return out


def _covered(at: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N, S): samples that lie in the box of somebody whose feet are lower in the picture, and so nearer.

    Args:
        at: (N, S, 2) places of each person's samples.
        low, high: (N, 2) corners of each person's box.
    """
    inside = ((at[:, None] >= low[:, None]) & (at[:, None] <= high[:, None])).all(axis=3)
    nearer = high[:, 1] > high[:, None, 1]
    return np.asarray((inside & nearer[:, :, None]).any(axis=1))


def alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, M) float32, 0 to 1: how alike (N, 62) and (M, 62) histograms are, over the halves that both have; 0.8 where they share none."""
    half = BINS // 2
    total = np.zeros((len(one), len(other)), np.float32)
    count = np.zeros_like(total)
    for part in (slice(0, half), slice(half, BINS)):
        a, b = one[:, part], other[:, part]
        both = ~np.isnan(a[:, 0])[:, None] & ~np.isnan(b[:, 0])
        total += np.where(both, np.nan_to_num(a) @ np.nan_to_num(b).T, 0)
        count += both
    result: NDArray[np.float32] = np.where(count > 0, total / np.maximum(count, 1), np.float32(UNKNOWN))
    return result


UNKNOWN = 0.8
"""How alike people count of whom nothing can be compared: between what the same person (0.9) and another (0.6) are as a rule."""


def blended(old: NDArray[np.float32], new: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Histograms that follow slowly; where one is not known, the other.

    Args:
        old, new: (N, 62).
        share: of the new one.
    """
    mixed = (1 - share) * np.where(np.isnan(old), new, old) + share * np.where(np.isnan(new), old, new)
    halves = mixed.reshape(len(mixed), 2, BINS // 2)
    length = np.sqrt((halves * halves).sum(axis=2, keepdims=True))
    result: NDArray[np.float32] = (halves / np.maximum(length, 1e-6)).reshape(len(mixed), BINS)
    return result


def _histograms(image: NDArray[np.uint8], at: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 31) roots of the histograms of (N, S, 2) places, soft between neighbouring bins so that noise moves no sample whole."""
    height, width = image.shape[:2]
    x = np.clip(np.rint(at[..., 0]), 0, width - 1).astype(np.intp)
    y = np.clip(np.rint(at[..., 1]), 0, height - 1).astype(np.intp)
    # Hard-pressed sensors are noisy by the pixel: a mean of four.
    right, below = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    colour = image[y, x].astype(np.float32)
    colour += image[y, right]
    colour += image[below, x]
    colour += image[below, right]
    total = colour.sum(axis=2)
    # Shade on a scale of perception; tints as shares of blue and red, of which the dark have none for sure.
    shade = np.sqrt(total / np.float32(12 * 255)) * (_SHADES - 1)
    sure = np.float32(240.0)
    blue = np.clip(((colour[..., 0] + sure) / (total + 3 * sure) - 0.15) / 0.40, 0, 1) * (_TINTS - 1)
    red = np.clip(((colour[..., 2] + sure) / (total + 3 * sure) - 0.15) / 0.40, 0, 1) * (_TINTS - 1)
    bins = np.concatenate([_soft(shade, _SHADES, weights), _soft2(blue, red, weights)], axis=1)
    bins /= np.maximum(bins.sum(axis=1, keepdims=True), 1e-6)
    result: NDArray[np.float32] = np.sqrt(bins)
    return result


def _soft(value: NDArray[np.float32], count: int, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, count): each sample shared between the two bins that it lies between."""
    near = np.maximum(1 - np.abs(value[..., None] - np.arange(count, dtype=np.float32)), 0)
    result: NDArray[np.float32] = np.einsum("nsb,ns->nb", near, weights)
    return result


def _soft2(first: NDArray[np.float32], second: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, TINTS²): the same over two values."""
    steps = np.arange(_TINTS, dtype=np.float32)
    a = np.maximum(1 - np.abs(first[..., None] - steps), 0) * weights[..., None]
    b = np.maximum(1 - np.abs(second[..., None] - steps), 0)
    result: NDArray[np.float32] = (a.transpose(0, 2, 1) @ b).reshape(len(a), _TINTS * _TINTS)
    return result
