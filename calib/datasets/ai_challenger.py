"""AI Challenger 2017's human key points (Wu et al., arXiv 1711.06475): 14 parts, a JSON list, and the challenge's own score.

The score, from the challenge's published keypoint_eval.py: each annotated person has the best OKS of all people found there, with that
challenge's sigmas, over the parts that are visible, scaled by the person's box; at each of ten thresholds from .50 to .95 the share of
those above it, of the larger number of people, annotated or found; the mean of the ten. It uses no confidence, and is not COCO's AP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.datasets.base import locate, numbers, require
from posetrt.calib.datasets.parts import Correspondence, correspondence
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

# keypoint_eval.py of AIChallenger/AI_Challenger_2017, in the order of its parts.
SIGMAS = np.array(
    [
        0.01388152,
        0.01515228,
        0.01057665,
        0.01417709,
        0.01497891,
        0.01402144,
        0.03909642,
        0.03686941,
        0.01981803,
        0.03843971,
        0.03412318,
        0.02415081,
        0.01291456,
        0.01236173,
    ]
)
_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_VISIBLE = 1
_KIND = "AI Challenger's key points"


@dataclass(frozen=True)
class _Image:
    """People annotated on a photograph: (A, 14, 3) x, y, flag (1 visible, 2 hidden, 3 not labelled) and their boxes: (A, 4) x, y, width, height."""

    points: NDArray[np.float64]
    boxes: NDArray[np.float64]

    @property
    def areas(self) -> NDArray[np.float64]:
        """(A,) px²."""
        return np.asarray(self.boxes[:, 2] * self.boxes[:, 3], np.float64)


@dataclass(frozen=True)
class ChallengeJudged:
    """Of each photograph the best OKS of each annotated person, and the larger number of people, annotated or found."""

    best: Sequence[NDArray[np.float64]]
    counts: NDArray[np.int64]
    left_out: Sequence[str]

    @cached_property
    def _above(self) -> NDArray[np.int64]:
        """(I, 10) people above each threshold."""
        return np.array([(one[:, None] > _THRESHOLDS).sum(axis=0) for one in self.best], np.int64).reshape(-1, len(_THRESHOLDS))

    def _shares(self, draw: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        return np.asarray(self._above[draw].sum(axis=0) / max(1, self.counts[draw].sum()), np.float64)

    @property
    def figures(self) -> Mapping[str, float | None]:
        """The challenge's score, and the shares at .50 and .75; None where nobody is annotated."""
        if not any(len(one) for one in self.best):
            return {"ap": None, "ap50": None, "ap75": None}
        shares = self._shares(np.arange(len(self.counts)))
        return {"ap": float(shares.mean()), "ap50": float(shares[0]), "ap75": float(shares[5])}

    def main(self, draw: NDArray[np.integer[Any]]) -> float:
        """The challenge's score over the photographs drawn."""
        return float(self._shares(draw).mean())


@dataclass(frozen=True)
class ChallengePhotos:
    """AI Challenger's photographs with the people annotated on them."""

    photographs: Sequence[Path]
    annotated: Sequence[_Image]
    notes: ClassVar[Sequence[str]] = ()
    name: ClassVar[str] = "AI Challenger"
    titles: ClassVar[Mapping[str, str]] = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}

    @property
    def boxes(self) -> Sequence[NDArray[np.float64]]:
        """The data set's own; one without area is left out."""
        return [image.boxes[image.areas > 0] for image in self.annotated]

    def judge(self, found: Sequence[People], skeleton: Skeleton) -> ChallengeJudged:
        """The challenge's score; a part that was not found agrees by nothing. See `AnnotatedPhotos.judge`."""
        matched = correspondence("ai-challenger", skeleton)
        best = [_best(image, matched.take(people), matched) for image, people in zip(self.annotated, found, strict=True)]
        counts = np.array([max(len(image.areas), len(people)) for image, people in zip(self.annotated, found, strict=True)], np.int64)
        return ChallengeJudged(best, counts, matched.left_out)


def _best(image: _Image, points: NDArray[np.float64], matched: Correspondence) -> NDArray[np.float64]:
    """(A,) the best OKS of each annotated person."""
    visible = (image.points[..., 2] == _VISIBLE) & matched.judged
    away = ((image.points[:, None, :, :2] - points[None, :, :, :2]) ** 2).sum(axis=-1)
    likeness = np.exp(-away / 2 / (2 * SIGMAS) ** 2 / (image.areas[:, None, None] + 1)) * (points[None, ..., 2] > 0)
    counted = visible.sum(axis=1)
    oks = (likeness * visible[:, None]).sum(axis=-1) / np.maximum(counted, 1)[:, None]
    return np.asarray(oks.max(axis=1, initial=0), np.float64)


def challenge_photos(path: Path, entries: Sequence[Any], images: Path, limit: int | None = None) -> ChallengePhotos:
    """Read keypoint_train_annotations_*.json or keypoint_validation_annotations_*.json.

    Raises:
        PosetrtError: keys are missing or misshapen, or photographs are missing.
    """
    annotated, names = [], []
    for number, entry in enumerate(entries[:limit]):
        where = f"{path}: entry {number}"
        require(entry, ("image_id", "keypoint_annotations", "human_annotations"), where, _KIND)
        people, boxes = entry["keypoint_annotations"], entry["human_annotations"]
        if not isinstance(people, Mapping) or not isinstance(boxes, Mapping) or people.keys() != boxes.keys():
            raise PosetrtError(f"{where}: keypoint_annotations and human_annotations name different people")
        points = numbers([people[key] for key in people], (-1, 14, 3), where, "keypoint_annotations (14 parts of x, y, flag)")
        corners = numbers([boxes[key] for key in people], (-1, 4), where, "human_annotations (boxes)")
        if not np.isin(points[..., 2], (1, 2, 3)).all():
            raise PosetrtError(f"{where}: a flag of keypoint_annotations is none of 1 (visible), 2 (hidden), 3 (not labelled)")
        if (corners[:, 2:] < corners[:, :2]).any():
            raise PosetrtError(f"{where}: a box of human_annotations ends before it begins; it is left, top, right, bottom")
        annotated.append(_Image(points, np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)))
        name = str(entry["image_id"])
        names.append(name if Path(name).suffix else f"{name}.jpg")
    return ChallengePhotos(locate(names, images, path), annotated)
