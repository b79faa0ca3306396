"""The feet of BODY_25 on COCO: CMU's human foot data set, person_keypoints_{train,val}2017_foot_v1.json, OKS AP of six points.

The validation file has the six points alone, the training file COCO's 17 and then the six; its one category is an object, not a list. The
order is that of OpenPose: big toe, small toe, heel, of the left foot and of the right. CMU published no sigmas; these are those of
COCO-WholeBody's evaluation of the same six points (myeval_foot.py of jin-s13/COCO-WholeBody).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.coco import CocoJudged, person_boxes
from posetrt.calib.datasets.base import require
from posetrt.calib.datasets.coco_truth import read_truth
from posetrt.calib.datasets.parts import correspondence
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

SIGMAS = (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
_KIND = "CMU's foot data set"
_NUMBERS = 18


@dataclass(frozen=True)
class FootPhotos:
    """Photographs of COCO with annotated feet.

    Attributes:
        truth: COCO's fields, with the feet alone as key points.
        ids: of the photographs, in their order.
        notes: what was mended, a sentence each.
    """

    photographs: Sequence[Path]
    truth: Mapping[str, Any]
    ids: Sequence[int]
    notes: Sequence[str] = ()
    name: ClassVar[str] = "feet"
    titles: ClassVar[Mapping[str, str]] = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ar": "AR"}

    @property
    def boxes(self) -> Sequence[NDArray[np.float64]]:
        """COCO's boxes of the people with annotated feet."""
        return person_boxes(self.truth, self.ids)

    def judge(self, found: Sequence[People], skeleton: Skeleton) -> CocoJudged:
        """OKS AP of the feet by pycocotools. Somebody of whom no foot was found says nothing of feet. See `AnnotatedPhotos.judge`."""
        matched = correspondence("feet", skeleton)
        rows = []
        for image_id, people in zip(self.ids, found, strict=True):
            points = matched.take(people)
            points[..., 2] = points[..., 2] > 0
            rows += [
                {"image_id": image_id, "category_id": 1, "keypoints": np.round(one, 3).ravel().tolist(), "score": float(score)}
                for one, score in zip(points, people.scores, strict=True)
                if one[:, 2].any()
            ]
        return CocoJudged(rows, self.truth, self.ids, SIGMAS, matched.left_out)


def foot_photos(path: Path, fields: Mapping[str, Any], images: Path, limit: int | None = None) -> FootPhotos:
    """Read a foot file of the validation or of the training set.

    Raises:
        PosetrtError: keys are missing, other numbers of key points, or photographs are missing.
    """
    require(fields, ("images", "annotations", "categories"), str(path), _KIND)
    for number, annotation in enumerate(fields["annotations"]):
        where = f"{path}: annotation {number}"
        require(annotation, ("id", "image_id", "keypoints", "bbox", "area"), where, _KIND)
        points = annotation["keypoints"]
        if not isinstance(points, list) or len(points) not in (_NUMBERS, 51 + _NUMBERS):
            count = len(points) if isinstance(points, list) else "no"
            raise PosetrtError(f"{where} has {count} numbers of key points; {_KIND} has 18, or 69 with the body's")
    truth = read_truth(path, fields, images, parts=6, take=slice(-_NUMBERS, None), limit=limit, kind=_KIND)
    return FootPhotos(list(truth.paths.values()), truth.fields, list(truth.paths), truth.notes)
