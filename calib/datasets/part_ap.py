"""AP of each part and MOTA of each part, as PoseTrack judges people on images: poseval's rules (github.com/leonid-pishchulin/poseval).

People found are given to annotated people by PCKh: each goes to the annotated person of whom it hits the largest share of parts, and of
those that want the same one the best stays. AP of a part: all predictions of that part by score; right are those within half a head of
that part of the person given. Precision made monotone, area under it over recall. MOTA: of each part by itself, joined by distance alone.

Two deeds of poseval are not copied: it leaves the last image of each sequence out of MOTA, and it counts an image on which nobody is
found as one miss and one false alarm of each part, however many people are annotated there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.datasets.base import mean_of
from posetrt.calib.datasets.mot import MotCounts, clear_mot
from posetrt.calib.datasets.parts import Correspondence
from posetrt.calib.datasets.pck import SIDES

_SHARE = 0.5
_HEAD = ("head_top", "head_bottom", "nose")


@dataclass(frozen=True)
class SeenImage:
    """One image: what is annotated, and what was found.

    Attributes:
        points: (A, P, 2) annotated, px.
        labelled: (A, P) which of them count.
        heads: (A,) px.
        tracks: (A,) annotated ids.
        found: (N, P, 3) x, y, score.
        there: (N, P) which of them were found.
        ids: (N,) a tracker's.
    """

    points: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    heads: NDArray[np.float64]
    tracks: NDArray[np.int64]
    found: NDArray[np.float64]
    there: NDArray[np.bool_]
    ids: NDArray[np.int64]

    def distances(self) -> NDArray[np.float64]:
        """(N, A, P) in heads; infinite where either side has no such part."""
        away = np.linalg.norm(self.found[:, None, :, :2] - self.points[None], axis=-1) / self.heads[None, :, None]
        return np.where(self.there[:, None] & self.labelled[None], away, np.inf)


@dataclass(frozen=True)
class _Marks:
    """Of one image: score and rightness of each prediction of each part, and how many are annotated.

    Attributes:
        scores, right: a list a part.
        labelled: (P,) counts.
    """

    scores: Sequence[NDArray[np.float64]]
    right: Sequence[NDArray[np.bool_]]
    labelled: NDArray[np.int64]


@dataclass(frozen=True)
class PartsJudged:
    """AP and MOTA of each part.

    Attributes:
        marks: of each photograph, in order; None for one that is not judged.
        mot: of each part.
        parts: names of the P parts.
        judged: (P,) which of them the skeleton has.
        left_out: those that it has not.
    """

    marks: Sequence[_Marks | None]
    mot: Sequence[MotCounts]
    parts: tuple[str, ...]
    judged: NDArray[np.bool_]
    left_out: Sequence[str]

    @property
    def figures(self) -> Mapping[str, float | None]:
        """mAP over all parts, AP of the head and of each pair of limbs (the mean of its parts), MOTA and MOTP over all parts."""
        ap = self._ap(np.arange(len(self.marks)))
        columns = {"map": mean_of(list(ap.values())), "head": mean_of([ap.get(part) for part in _HEAD])}
        for side in SIDES:
            columns[side] = mean_of([ap.get(f"right_{side}"), ap.get(f"left_{side}")])
        counted = [counts for counts, judged in zip(self.mot, self.judged.tolist(), strict=True) if judged]
        return columns | {"mota": mean_of([one.mota for one in counted]), "motp": mean_of([one.motp for one in counted])}

    def main(self, draw: NDArray[np.integer[Any]]) -> float:
        """mAP over the photographs drawn."""
        return mean_of(list(self._ap(draw).values())) or 0.0

    def _ap(self, draw: NDArray[np.integer[Any]]) -> dict[str, float | None]:
        marks = [mark for index in draw.tolist() if (mark := self.marks[index]) is not None]
        values: dict[str, float | None] = {}
        for part, name in enumerate(self.parts):
            total = sum(int(mark.labelled[part]) for mark in marks)
            if self.judged[part] and total:
                scores = np.concatenate([mark.scores[part] for mark in marks])
                values[name] = average_precision(scores, np.concatenate([mark.right[part] for mark in marks]), total)
        return values


def judge_parts(seen: Sequence[Sequence[SeenImage]], judged: Sequence[Sequence[bool]], matched: Correspondence) -> PartsJudged:
    """Judge the images of all sequences.

    Args:
        seen: the images of each sequence, in order.
        judged: which of them count.
    """
    has = matched.judged
    marks: list[_Marks | None] = []
    mot = [MotCounts() for _ in matched.parts]
    for images, counted in zip(seen, judged, strict=True):
        distances = [image.distances() for image in images]
        marks += [_mark(one, away, has) if counts else None for one, away, counts in zip(images, distances, counted, strict=True)]
        for part in np.flatnonzero(has).tolist():
            mot[part] += clear_mot(_track(one, away, part) for one, away, counts in zip(images, distances, counted, strict=True) if counts)
    return PartsJudged(marks, mot, matched.parts, has, matched.left_out)


def _mark(image: SeenImage, distances: NDArray[np.float64], has: NDArray[np.bool_]) -> _Marks:
    labelled = image.labelled & has
    hits = (distances <= _SHARE) & has
    given = _given(hits, labelled)
    right = np.zeros(image.there.shape, bool)
    for person, truth in given.items():
        right[person] = hits[person, truth]
    columns = range(len(has))
    return _Marks(
        [image.found[image.there[:, part], part, 2] for part in columns],
        [right[image.there[:, part], part] for part in columns],
        labelled.sum(axis=0),
    )


def _given(hits: NDArray[np.bool_], labelled: NDArray[np.bool_]) -> dict[int, int]:
    """Person found → annotated person."""
    people, truths = hits.shape[:2]
    if not people or not truths:
        return {}
    share = hits.sum(axis=2) / np.maximum(labelled.sum(axis=1), 1)
    wanted = share.argmax(axis=1)
    best = np.where(np.arange(truths) == wanted[:, None], share, 0)
    return {int(best[:, truth].argmax()): truth for truth in range(truths) if best[:, truth].max() > 0}


def _track(image: SeenImage, distances: NDArray[np.float64], part: int) -> tuple[list[int], list[int], NDArray[np.float64]]:
    """One part of one image for `clear_mot`."""
    labelled, there = image.labelled[:, part], image.there[:, part]
    away = distances[there][:, labelled, part].T
    return image.tracks[labelled].tolist(), image.ids[there].tolist(), np.where(away <= _SHARE, away, np.nan)


def average_precision(scores: NDArray[np.float64], right: NDArray[np.bool_], total: int) -> float:
    """The area under precision, made monotone, over recall: VOC's AP at all points (Everingham et al., 2010).

    Args:
        scores: (n,) of the predictions.
        right: (n,) whether each is.
        total: how many there are to be found.
    """
    order = np.argsort(-scores, kind="stable")
    hits = right[order].cumsum()
    recall = np.concatenate([[0.0], hits / total])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float((np.diff(recall) * precision).sum())
