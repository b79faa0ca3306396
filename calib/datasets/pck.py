"""PCK: the share of annotated parts that were found within a part of a reference length (Yang & Ramanan; Andriluka et al., CVPR 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.datasets.base import mean_of
from posetrt.calib.datasets.parts import Correspondence

SIDES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
PART_TITLES = {part: part for part in ("head", *SIDES)}
"""Column titles of the figures of parts, left and right together."""


@dataclass(frozen=True)
class AnnotatedPerson:
    """One person whose parts are known.

    Attributes:
        image: index of the photograph.
        points: (P, 2) float64, x and y in pixels, centres at integers, in the data set's order.
        labelled: (P,) whether the part counts.
        reference: px, the length that distances are measured in.
        place, reach: where the data set says that this person stands, and how far from there (px) a person found is still that one;
            None where it says nothing.
    """

    image: int
    points: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    reference: float
    place: tuple[float, float] | None = None
    reach: float = np.inf


@dataclass(frozen=True)
class PckJudged:
    """Parts found and parts annotated, image by image.

    Attributes:
        key: of the main figure.
        hits, labelled: (I, P) counts.
        parts: names of the P parts.
        head: the parts that the column "head" is the mean of.
        left_out: parts of the data set that the skeleton has not.
    """

    key: str
    hits: NDArray[np.int64]
    labelled: NDArray[np.int64]
    parts: tuple[str, ...]
    head: tuple[str, ...]
    left_out: Sequence[str]

    @property
    def figures(self) -> Mapping[str, float | None]:
        """The share over all parts; of the head and of each pair of limbs the mean of the shares of its parts."""
        labelled, hits = self.labelled.sum(axis=0), self.hits.sum(axis=0)
        share = {part: float(hits[i] / labelled[i]) if labelled[i] else None for i, part in enumerate(self.parts)}
        columns = {"head": mean_of([share.get(part) for part in self.head])}
        for side in SIDES:
            columns[side] = mean_of([share.get(f"right_{side}"), share.get(f"left_{side}")])
        return {self.key: self.main(np.arange(len(self.hits))) if labelled.any() else None, **columns}

    def main(self, draw: NDArray[np.integer[Any]]) -> float:
        """Parts found of all annotated ones, over the photographs drawn."""
        return float(self.hits[draw].sum() / max(1, self.labelled[draw].sum()))


def nearest(points: NDArray[np.float64], place: tuple[float, float], reach: float) -> int | None:
    """Who of (N, P, 3) key points stands at a place: the person whose box has its centre nearest to it, within `reach` px."""
    centres, _ = _boxes(points)
    away = np.hypot(*(centres - np.array(place)).T)
    return int(away.argmin()) if len(away) and away.min() <= reach else None


def largest(points: NDArray[np.float64]) -> int | None:
    """Who of (N, P, 3) key points is the largest, by the diagonal of the box."""
    _, sizes = _boxes(points)
    return int(np.hypot(*sizes.T).argmax()) if len(sizes) else None


def _boxes(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, 2) centres and (N, 2) sizes of the boxes around the parts that were found."""
    found = points[..., 2:] > 0
    low = np.where(found, points[..., :2], np.inf).min(axis=1)
    high = np.where(found, points[..., :2], -np.inf).max(axis=1)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num((low + high) / 2, nan=np.inf), np.nan_to_num(high - low, neginf=0.0)


def place_boxes(annotated: Sequence[AnnotatedPerson], photographs: int) -> list[NDArray[np.float64]]:
    """Of each photograph (B, 4) the squares about the annotated places, twice `reach` wide."""
    boxes: list[list[list[float]]] = [[] for _ in range(photographs)]
    for person in annotated:
        if person.place is not None:
            side = 2 * person.reach
            # A box's edges lie between pixels, whose centres lie at integers.
            boxes[person.image].append([person.place[0] + 0.5 - person.reach, person.place[1] + 0.5 - person.reach, side, side])
    return [np.array(one, np.float64).reshape(-1, 4) for one in boxes]


def judge_pck(
    annotated: Sequence[AnnotatedPerson],
    points: Sequence[NDArray[np.float64]],
    matched: Correspondence,
    share: float,
    ignored: Sequence[str] = (),
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the parts found.

    Args:
        annotated: the people whose parts are known.
        points: of each photograph (N, P, 3), in the data set's order.
        share: of the reference length within which a part is found.
        ignored: parts that the measure leaves out.

    Returns:
        Hits and labelled parts, (I, P) each.
    """
    counted = matched.judged & ~np.isin(matched.parts, list(ignored))
    hits = np.zeros((len(points), len(matched.parts)), np.int64)
    labelled = np.zeros_like(hits)
    for person in annotated:
        wanted = person.labelled & counted
        labelled[person.image] += wanted
        here = points[person.image]
        who = largest(here) if person.place is None else nearest(here, person.place, person.reach)
        if who is not None:
            away = np.linalg.norm(here[who, :, :2] - person.points, axis=1) / person.reference
            hits[person.image] += wanted & (here[who, :, 2] > 0) & (away <= share)
    return hits, labelled
