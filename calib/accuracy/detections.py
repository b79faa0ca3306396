"""How well a detector finds people, on photographs with COCO annotations: AP of boxes by pycocotools, and how many people have a box."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.datasets.base import AnnotatedPhotos, Judged
from posetrt.runtime.people import People

SURE = 0.3
"""Score from which a box counts as found: what the detectors' authors draw."""
OVERLAP = 0.5
"""Intersection over union of a box that is on the person."""


class DetectionsJudged:
    """The verdict on boxes.

    Args:
        found: of each photograph, with boxes in its pixels.
        truth: the fields of the annotation file; people with key points count, others and crowds neither help nor harm.
        ids: of the photographs, in the order of `found`.
    """

    left_out: Sequence[str] = ()
    titles: ClassVar[Mapping[str, str]] = {"box_ap": "box AP", "box_ap50": "AP50", "found": "found"}

    def __init__(self, found: Sequence[People], truth: Mapping[str, Any], ids: Sequence[int]) -> None:
        self._found, self._ids = found, list(ids)
        self._truth = copy.deepcopy(dict(truth))
        for one in self._truth["annotations"]:
            one["iscrowd"] = int(bool(one.get("iscrowd", 0)) or not one.get("num_keypoints", 0))

    @cached_property
    def figures(self) -> Mapping[str, float | None]:
        """AP of boxes over IoU .50 to .95, at .50, and the share of people with a box of IoU above .5 and a score above .3."""
        whole = np.arange(len(self._ids))
        people, covered = self._covered(whole)
        ap, ap50 = self._average_precision(self._ids, self._found)
        return {"box_ap": ap, "box_ap50": ap50, "found": covered / people if people else None}

    def main(self, draw: NDArray[np.integer[Any]]) -> float:
        """The share of people found on the photographs numbered in `draw`."""
        people, covered = self._covered(draw)
        return covered / people if people else 0.0

    def _covered(self, draw: NDArray[np.integer[Any]]) -> tuple[int, int]:
        by_image: dict[int, list[list[float]]] = {}
        for one in self._truth["annotations"]:
            if not one["iscrowd"]:
                by_image.setdefault(one["image_id"], []).append(one["bbox"])
        people = covered = 0
        for number in draw.tolist():
            wanted = np.array(by_image.get(self._ids[number], []), np.float64).reshape(-1, 4)
            one = self._found[number]
            boxes = np.zeros((0, 4)) if one.boxes is None else one.boxes[one.scores > SURE].astype(np.float64)
            people += len(wanted)
            covered += int((overlaps(wanted, boxes) > OVERLAP).any(axis=1).sum()) if len(boxes) else 0
        return people, covered

    def _average_precision(self, ids: Sequence[int], found: Sequence[People]) -> tuple[float, float]:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        rows = [
            {"image_id": image_id, "category_id": 1, "bbox": [float(side) for side in box], "score": float(score)}
            for image_id, one in zip(ids, found, strict=True)
            for box, score in zip(one.boxes if one.boxes is not None else (), one.scores, strict=True)
        ]
        if not rows:
            return 0.0, 0.0
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = copy.deepcopy(self._truth)
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
            evaluation.params.imgIds = sorted(ids)
            evaluation.params.catIds = [1]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return max(0.0, float(evaluation.stats[0])), max(0.0, float(evaluation.stats[1]))


def titles_of(judged: Judged, annotated: AnnotatedPhotos) -> Mapping[str, str]:
    """Key of each figure → title of its column: a detector is judged by other figures than the data set's."""
    return judged.titles if isinstance(judged, DetectionsJudged) else annotated.titles


def overlaps(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) intersection over union of boxes x, y, width, height."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, :2] + one[:, None, 2:], other[None, :, :2] + other[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    areas = one[:, 2:].prod(axis=1)[:, None] + other[:, 2:].prod(axis=1)[None]
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))
