"""Non-maximum suppression: of detections that are the same person, the best stays.

All take candidates best first and give the numbers of those that stay, in that order. The work is bounded: at most `MOST_ROWS`
stay, and no more than `MOST_CANDIDATES` are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

MOST_ROWS = 300
"""Detections that can stay; as many as end-to-end exporters give."""
MOST_CANDIDATES = 1200
"""Candidates that are looked at, the best of all."""
_ONE_BY_ONE = 16  # candidates that are kept one at a time; more are faster in blocks
_BLOCK = 128  # candidates compared with each other at a time; those that stay thin out the next
_TINY = 1e-9  # keeps divisors off 0
_FEW_PAIRS = 2000  # compared at once in about a millisecond
_FAR = 3.0  # a part this far (in the exponent of OKS) adds less than exp(-3) = .05

_POSE_SCORE = 1.0  # AlphaPose's published parameters of RMPE's criterion (pPose_nms): sigma_1
_POSE_DISTANCE = 2.65  # sigma_2, in tenths of the box
_POSE_WEIGHT = 1.7  # lambda
POSE_THRESHOLD = 22.48
"""eta of RMPE's criterion for 17 parts, as AlphaPose publishes it."""
_POSE_BOX = 0.1  # share of the box within which two parts match


def iou_nms(boxes: Floats, threshold: float, classes: NDArray[np.integer] | None = None) -> Indices:
    """Suppress boxes that cover a better one.

    Args:
        boxes: (N, 4) float32: left, top, right, bottom; best first.
        threshold: a box goes when its intersection over union with a better one is above this.
        classes: (N,) class numbers: only boxes of one class suppress each other. None compares all.
    """
    boxes = boxes[:MOST_CANDIDATES]
    area = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    # shared / (a + b - shared) > threshold, without the division: shared * (1 + threshold) > threshold * (a + b).
    share = np.float32(threshold / (1 + threshold))
    left, top, right, bottom, area = columns = np.concatenate([boxes.T, share * area[None]])

    # Usually few people have many candidates each: one by one, each takes its doubles with it.
    kept: list[int] = []
    alive, other = np.ones(len(boxes), np.bool_), np.empty(len(boxes), np.bool_)
    across, down, low = np.empty((3, len(boxes)), np.float32)
    best = 0
    while len(boxes) and alive[best] and len(kept) < _ONE_BY_ONE:
        x, y, x_end, y_end, own = columns[:, best].tolist()
        np.minimum(right, x_end, out=across)
        across -= np.maximum(left, x, out=low)
        np.minimum(bottom, y_end, out=down)
        down -= np.maximum(top, y, out=low)
        np.maximum(across, 0, out=across)
        across *= np.maximum(down, 0, out=down)
        np.less_equal(across, np.add(area, own, out=low), out=other)
        if classes is not None:
            other |= classes[: len(boxes)] != classes[best]
        alive &= other
        alive[best] = False
        kept.append(best)
        best = int(alive.argmax())
    number = np.flatnonzero(alive)

    def same(better: Indices, others: Indices) -> NDArray[np.bool_]:
        width = np.minimum(right[better, None], right[others]) - np.maximum(left[better, None], left[others])
        height = np.minimum(bottom[better, None], bottom[others]) - np.maximum(top[better, None], top[others])
        shared = np.maximum(width, 0, out=width)
        shared *= np.maximum(height, 0, out=height)
        found: NDArray[np.bool_] = shared > area[better, None] + area[others]
        return found if classes is None else found & (classes[better, None] == classes[others])

    found = np.array(kept, np.intp)
    return np.concatenate([found, _greedy(same, number)])[:MOST_ROWS] if len(number) else found


def oks_nms(keypoints: Floats, areas: Floats, sigmas: Floats, threshold: float) -> Indices:
    """Suppress people whose key points lie where a better one's do, by object key-point similarity.

    OKS of two people is the mean over parts of exp(-d² / (2 (2 sigma)² s²)), s² the mean of their areas (COCO's measure, with both as
    detections). Every part counts, seen or not.

    Args:
        keypoints: (N, K, 2 or more) float32: x, y in pixels; best first.
        areas: (N,) float32 square pixels of each person.
        sigmas: (K,) COCO's per-part constants.
        threshold: a person goes when the OKS with a better one is above this.
    """
    count = min(len(keypoints), MOST_ROWS)
    points = np.ascontiguousarray(keypoints[:count, :, :2].transpose(1, 0, 2), np.float32)  # (K, N, 2)
    if count < 2:
        return np.arange(count)
    points -= points.mean((0, 1))
    points /= (np.asarray(sigmas, np.float32) * np.float32(np.sqrt(8)))[:, None, None]
    areas = np.maximum(np.asarray(areas[:count], np.float32), np.float32(_TINY))
    area: Floats = (areas[:, None] + areas) * np.float32(0.5)
    first, second = np.nonzero(np.triu(_near(points, area, threshold), 1))
    alive = np.ones(count, bool)

    def alike(better: Any, others: Any) -> NDArray[np.bool_]:
        apart = points[:, others] - points[:, better]
        apart *= apart
        exponent = (apart[..., 0] + apart[..., 1]) / -area[better, others]
        found: NDArray[np.bool_] = np.exp(exponent, out=exponent).mean(0) > threshold
        return found

    if len(first) <= _FEW_PAIRS:
        # Few pairs to compare: all at once, then one pass over those that are alike.
        same = alike(first, second)
        for better, other in zip(first[same].tolist(), second[same].tolist(), strict=True):
            if alive[better]:
                alive[other] = False
        return np.flatnonzero(alive)
    # Many pairs are many of the same person: few stay, and each of them takes many with it.
    ends = np.searchsorted(first, np.arange(count + 1))
    for better in range(count):
        if alive[better] and ends[better] < ends[better + 1]:
            others = second[ends[better] : ends[better + 1]]
            others = others[alive[others]]
            alive[others[alike([better], others)]] = False
    return np.flatnonzero(alive)


def _near(points: Floats, area: Floats, threshold: float) -> NDArray[np.bool_]:
    """Pairs (N, N) that can have an OKS above the threshold, from a sample of the parts (K, N, 2).

    A far part adds less than exp(-3). So no more than `far` of the parts can be far, and of any sample larger than that the others
    must be near.
    """
    far = int((1 - threshold) * len(points) / (1 - np.exp(-_FAR)))
    sample = points[np.linspace(0, len(points) - 1, min(len(points), far + 4)).round().astype(int)]
    limit = area * np.float32(1.02 * _FAR)  # a little more, for rounding
    near = np.zeros(area.shape, np.uint8)
    squares = (sample**2).sum(2)
    for part, square in zip(sample, squares, strict=True):
        # |a - b|² = |a|² + |b|² - 2 a·b, as one matrix product.
        ones = np.ones_like(square)
        distance = np.stack([part[:, 0], part[:, 1], square, ones], 1) @ np.stack([-2 * part[:, 0], -2 * part[:, 1], ones, square])
        near += distance < limit
    found: NDArray[np.bool_] = near >= len(sample) - far
    return found


def pose_nms(keypoints: Floats, boxes: Floats, threshold: float = POSE_THRESHOLD) -> Indices:
    """Suppress double poses as RMPE does (Fang et al. 2017, section 3.2): parts that match by score, and their distance.

    A person goes when sum over matching parts of tanh(c_i / sigma_1) tanh(c_j / sigma_1), plus lambda times the sum over parts of
    exp(-d / sigma_2), reaches the threshold. Two parts match within a tenth of the better one's box; d counts in tenths of it.

    Args:
        keypoints: (N, K, 3) float32: x, y in pixels, score of 0 to 1; best first.
        boxes: (N, 4) float32: left, top, right, bottom.
        threshold: eta, for 17 parts; it is scaled to K.
    """
    count, parts = min(len(keypoints), MOST_ROWS), keypoints.shape[1]
    points = keypoints[:count]
    sure = np.tanh(points[..., 2] / _POSE_SCORE)
    side = _POSE_BOX * np.maximum(np.maximum(boxes[:count, 2] - boxes[:count, 0], boxes[:count, 3] - boxes[:count, 1]), _TINY)
    alive = np.ones(count, bool)
    for better in range(count - 1):
        if not alive[better]:
            continue
        others = better + 1 + np.flatnonzero(alive[better + 1 :])
        apart = points[others, :, :2] - points[better, :, :2]
        distance = np.hypot(apart[..., 0], apart[..., 1]) / side[better]
        by_score = (np.where(distance <= 1, sure[others], 0) * sure[better]).sum(1)
        by_place = np.exp(-distance / _POSE_DISTANCE).sum(1)
        alive[others[by_score + _POSE_WEIGHT * by_place >= threshold * parts / 17]] = False
    return np.flatnonzero(alive)


def _greedy(same: Callable[[Indices, Indices], NDArray[np.bool_]], candidates: Indices) -> Indices:
    """Keep the best of the candidates, drop all that are the same, and so on: block by block, at most `MOST_ROWS` in all."""
    kept = np.zeros(0, np.intp)
    for start in range(0, len(candidates), _BLOCK):
        block = candidates[start : start + _BLOCK]
        if len(kept):
            block = block[~same(kept, block).any(0)]
        both = np.triu(same(block, block), 1)
        alive = np.ones(len(block), bool)
        for better in np.flatnonzero(both.any(1)):
            if alive[better]:
                alive &= ~both[better]
        kept = np.concatenate([kept, block[alive]])
        if len(kept) >= MOST_ROWS:
            break
    return kept[:MOST_ROWS]
