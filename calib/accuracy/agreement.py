"""How far two sets of people agree, in the terms of key points: what a precision costs where nobody has annotated anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.detections import SURE, overlaps
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

# Share of a person's box that COCO's segments fill; OKS measures distance against the square root of that area.
SEGMENT_SHARE = 0.53
SMALLEST_AREA = 64.0


@dataclass(frozen=True)
class Agreement:
    """How far two sets of people agree.

    Attributes:
        oks: 0 to 1: twice the sum of the matched people's similarities, over the number of people of both sets; 1 where both are empty.
        images: (I,) float64: the same for each image.
        parts: (K,) float64: mean similarity of each part over matched people, among parts that either has; NaN where none has it.
        reference_people, people: how many each set holds, a detector's doubtful ones too.
    """

    oks: float
    images: NDArray[np.float64]
    parts: NDArray[np.float64]
    reference_people: int
    people: int


def part_similarities(reference: NDArray[np.float32], other: NDArray[np.float32], sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Similarity of each part of each pair of people, by COCO's formula `exp(-d² / (2 · area · (2σ)²))`.

    Args:
        reference: (N, K, 3) float32: x, y, score; its people give the areas.
        other: (M, K, 3) float32.
        sigmas: (K,) float64.

    Returns:
        (N, M, K) float64; 0 where one of the two has the part, NaN where neither has.
    """
    here, there = reference[..., 2] > 0, other[..., 2] > 0
    areas = np.array([_area(person) for person in reference]).reshape(-1, 1, 1)
    squared = ((reference[:, None, :, :2].astype(np.float64) - other[None, :, :, :2]) ** 2).sum(axis=-1)
    similar = np.exp(-squared / (2 * areas * (2 * sigmas) ** 2))
    both, either = here[:, None] & there[None], here[:, None] | there[None]
    return np.where(both, similar, np.where(either, 0.0, np.nan))


def _area(person: NDArray[np.float32]) -> float:
    found = person[person[:, 2] > 0, :2]
    if len(found) == 0:
        return SMALLEST_AREA
    width, height = (float(side) for side in found.max(axis=0) - found.min(axis=0))
    # A person of whom only a shoulder line is seen is not as flat as its key points.
    longest = max(width, height)
    return max(float(max(width, longest / 4) * max(height, longest / 4)) * SEGMENT_SHARE, SMALLEST_AREA)


def agreement(reference: Sequence[People], other: Sequence[People], skeleton: Skeleton) -> Agreement:
    """Compare two sets of people, image by image.

    People of a detector are compared by their boxes (intersection over union), those of a score above .3 alone.

    A part that only one of two matched people has counts as 0; a person without a match too. Pairs are matched greedily, the most alike
    first.

    Args:
        reference, other: people of the same images, in pixels of the frame.
        skeleton: of both.
    """
    sigmas = skeleton.tolerances()
    held = [sum(map(len, each)) for each in (reference, other)]
    if not len(skeleton.parts):
        reference, other = ([one.chosen(one.scores > SURE) for one in each] for each in (reference, other))
    sums, counts = np.zeros(len(reference)), np.zeros(len(reference))
    part_sums, part_counts = np.zeros(len(sigmas)), np.zeros(len(sigmas))
    for index, (ours, theirs) in enumerate(zip(reference, other, strict=True)):
        counts[index] = len(ours) + len(theirs)
        if not len(ours) or not len(theirs):
            continue
        if not len(skeleton.parts):
            likeness = overlaps(*(np.asarray(one.boxes, np.float64).reshape(-1, 4) for one in (ours, theirs)))
            sums[index] = sum(likeness[pair] for pair in _matches(likeness))
            continue
        parts = part_similarities(ours.keypoints, theirs.keypoints, sigmas)
        known = ~np.isnan(parts)
        oks = np.where(known, parts, 0).sum(axis=2) / np.maximum(known.sum(axis=2), 1)
        for a, b in _matches(oks):
            sums[index] += oks[a, b]
            part_sums += np.where(known[a, b], parts[a, b], 0)
            part_counts += known[a, b]
    images = np.where(counts > 0, 2 * sums / np.maximum(counts, 1), 1.0)
    oks_all = float(2 * sums.sum() / counts.sum()) if counts.sum() else 1.0
    parts_mean = np.where(part_counts > 0, part_sums / np.maximum(part_counts, 1), np.nan)
    return Agreement(oks_all, images, parts_mean, held[0], held[1])


def _matches(oks: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs (row, column), each used once, the largest first; none below 0.1."""
    pairs, rows, columns = [], set(), set()
    for flat in np.argsort(-oks, axis=None, kind="stable").tolist():
        a, b = divmod(flat, oks.shape[1])
        if oks[a, b] < 0.1:
            break
        if a not in rows and b not in columns:
            pairs.append((a, b))
            rows.add(a)
            columns.add(b)
    return pairs
