"""OKS average precision on COCO's key points, by pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.detections import DetectionsJudged
from posetrt.calib.datasets.coco_truth import read_truth
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import read_json
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People, to_coco_results
from posetrt.runtime.sources import read_photo


@dataclass(frozen=True)
class Accuracy:
    """COCO's figures, 0 to 1: AP and AR over OKS .50 to .95, AP at .50 and .75; `images` judged, `people` annotated in them.

    NaN where nobody has a labelled key point: there is nothing to be found.
    """

    ap: float
    ap50: float
    ap75: float
    ar: float
    images: int
    people: int


@dataclass(frozen=True)
class CocoPhotos:
    """Photographs with COCO key-point annotations.

    Attributes:
        annotations: the JSON file.
        paths: image id → photograph.
        truth: the file's fields, checked and mended by `read_truth`.
        notes: what was mended, a sentence each.
    """

    annotations: Path
    paths: Mapping[int, Path]
    truth: Mapping[str, Any]
    notes: Sequence[str] = ()
    name: ClassVar[str] = "COCO"
    titles: ClassVar[Mapping[str, str]] = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ar": "AR"}

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def photographs(self) -> Sequence[Path]:
        """In the order in which `judge` takes their people."""
        return list(self.paths.values())

    @property
    def boxes(self) -> Sequence[NDArray[np.float64]]:
        """COCO's own boxes of the people with key points."""
        return person_boxes(self.truth, list(self.paths))

    def judge(self, found: Sequence[People], skeleton: Skeleton) -> CocoJudged | DetectionsJudged:
        """COCO's figures, of key points or, for a detector, of boxes; see `calib.datasets.base.AnnotatedPhotos.judge`."""
        if not skeleton.parts:
            return DetectionsJudged(found, self.truth, list(self.paths))
        return CocoJudged(coco_rows(found, self, skeleton), self.truth, list(self.paths))


class CocoJudged:
    """pycocotools' verdict on result rows.

    Args:
        rows: COCO's results for key points.
        truth: the fields of the annotation file.
        ids: of the photographs, in the order of the draws.
        sigmas: of the key points; None takes COCO's 17.
        left_out: parts that the data set annotates and the skeleton has not.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        truth: Mapping[str, Any],
        ids: Sequence[int],
        sigmas: Sequence[float] | None = None,
        left_out: Sequence[str] = (),
    ) -> None:
        self._rows, self._truth, self._ids, self._sigmas = rows, truth, ids, sigmas
        self.left_out = left_out

    @cached_property
    def figures(self) -> Mapping[str, float | None]:
        """AP and AR over OKS .50 to .95, AP at .50 and .75; None where nobody has a labelled key point."""
        if not self._labelled.any():
            return dict.fromkeys(CocoPhotos.titles)
        if not self._rows:
            return {"ap": 0.0, "ap50": 0.0, "ap75": 0.0, "ar": 0.0}
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = self._evaluation()
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        ap, ap50, ap75, _, _, ar = (max(0.0, float(value)) for value in evaluation.stats[:6])
        return {"ap": ap, "ap50": ap50, "ap75": ap75, "ar": ar}

    def main(self, draw: NDArray[np.integer[Any]]) -> float:
        """AP of the photographs numbered in `draw`, each as often as it stands there: accumulated from pycocotools' matches of each image.
        NaN where nobody has a labelled key point on them."""
        if not self._labelled[draw].any():
            return float("nan")
        if not self._rows:
            return 0.0
        evaluation, images = self._matches
        evaluation.evalImgs = [images[index] for index in draw.tolist()]
        evaluation._paramsEval.imgIds = list(range(len(draw)))
        evaluation.params.imgIds = list(range(len(draw)))
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        precision = evaluation.eval["precision"]
        valid = precision[precision > -1]
        return float(valid.mean()) if valid.size else 0.0

    @cached_property
    def _labelled(self) -> NDArray[np.bool_]:
        """Of each photograph, in the order of `ids`, whether anybody on it has a labelled key point."""
        with_people = {one["image_id"] for one in self._truth["annotations"] if one["num_keypoints"] and not one["iscrowd"]}
        return np.array([image_id in with_people for image_id in self._ids], bool)

    @cached_property
    def _matches(self) -> tuple[Any, list[Any]]:
        """An evaluation of people of all sizes, and its matches of each photograph in the order of `ids`."""
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = self._evaluation()
            evaluation.params.areaRng = evaluation.params.areaRng[:1]
            evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
            evaluation.evaluate()
        order = {image_id: place for place, image_id in enumerate(sorted(self._ids))}
        return evaluation, [evaluation.evalImgs[order[image_id]] for image_id in self._ids]

    def _evaluation(self) -> Any:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        truth = COCO()
        # pycocotools writes into what it is given.
        truth.dataset = copy.deepcopy(dict(self._truth))
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(list(self._rows))), "keypoints")
        evaluation.params.imgIds = sorted(self._ids)
        if self._sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.array(self._sigmas)
        return evaluation


def person_boxes(truth: Mapping[str, Any], ids: Sequence[int]) -> list[NDArray[np.float64]]:
    """Of each photograph the (B, 4) boxes of the people who have key points and are no crowd: x, y, width, height."""
    boxes: dict[int, list[list[float]]] = {image_id: [] for image_id in ids}
    for annotation in truth["annotations"]:
        box = annotation.get("bbox", [0, 0, 0, 0])
        if annotation["image_id"] in boxes and annotation.get("num_keypoints", 0) and not annotation.get("iscrowd", 0) and min(box[2:]) > 0:
            boxes[annotation["image_id"]].append(box)
    return [np.array(one, np.float64).reshape(-1, 4) for one in boxes.values()]


def coco_photos(annotations: Path, images: Path, limit: int | None = None) -> CocoPhotos:
    """Pair the images of a COCO key-point file with the photographs in a folder.

    Args:
        annotations: `person_keypoints_*.json`.
        images: the folder with the photographs, by their `file_name`.
        limit: take the first so many.

    Raises:
        PosetrtError: not such a file, or photographs are missing.
    """
    fields = read_json(annotations, "COCO annotation file")
    if not isinstance(fields, dict) or not {"images", "annotations", "categories"} <= fields.keys():
        found = ", ".join(map(str, list(fields)[:6])) if isinstance(fields, dict) else type(fields).__name__
        raise PosetrtError(f"{annotations} is not COCO's key-point format (images, annotations, categories); it holds {found}")
    _check_people(fields["annotations"], annotations)
    truth = read_truth(annotations, fields, images, parts=17, limit=limit, kind="COCO's key-point format")
    return CocoPhotos(annotations, truth.paths, truth.fields, truth.notes)


def _check_people(people: Any, path: Path) -> None:
    """Raises: PosetrtError: annotations of another kind of file, before anything is run."""
    if not isinstance(people, list) or not any(isinstance(one, Mapping) and "keypoints" in one for one in people):
        raise PosetrtError(f"{path} has no annotation with keypoints; give a person_keypoints file, not instances or captions")
    categories = [one["category_id"] for one in people if isinstance(one, Mapping) and isinstance(one.get("category_id"), int)]
    for place, one in enumerate(people):
        if not isinstance(one, Mapping):
            raise PosetrtError(f"{path}: annotation {place} is {type(one).__name__}; an object was expected")
        points = one.get("keypoints")
        if isinstance(points, list) and len(points) != 51:
            raise PosetrtError(
                f"{path}: annotation {place} has {len(points)} numbers under keypoints where COCO's 17 parts are 51 (x, y, visibility); "
                "other skeletons have their own data sets: see docs/reference/datasets.md"
            )
        if len(set(categories)) > 1 and one.get("category_id") != 1:
            raise PosetrtError(
                f"{path}: annotation {place} is of category {one.get('category_id')}; people are category 1, as in COCO: number them so, "
                "and leave others out"
            )


def find_people(
    pose: Callable[[NDArray[np.uint8]], People],
    paths: Iterable[Path],
    progress: Callable[[int], None] | None = None,
    broken: Callable[[PosetrtError], People] | None = None,
) -> list[People]:
    """People in pixels of each photograph, by a `Pose` or anything called like one.

    Args:
        pose: finds them.
        paths: of the photographs.
        progress: is told how many are done.
        broken: gives what stands for a photograph that cannot be read; without it that is an error.

    Raises:
        PosetrtError: the network failed, or a photograph cannot be read.
    """
    order = list(paths)
    return _find(lambda frame, _: pose(frame), order, [None] * len(order), progress, broken)


def find_people_in_boxes(
    network: Callable[[NDArray[np.uint8], NDArray[np.float64] | None], People],
    paths: Sequence[Path],
    boxes: Sequence[NDArray[np.float64] | None],
    progress: Callable[[int], None] | None = None,
    broken: Callable[[PosetrtError], People] | None = None,
) -> list[People]:
    """As `find_people`, by a `TopDown` or anything called like one, which looks at one person in each box."""
    return _find(network, paths, boxes, progress, broken)


def _find(
    network: Callable[[NDArray[np.uint8], NDArray[np.float64] | None], People],
    paths: Sequence[Path],
    boxes: Sequence[NDArray[np.float64] | None],
    progress: Callable[[int], None] | None,
    broken: Callable[[PosetrtError], People] | None,
) -> list[People]:
    found = []
    for count, (path, given) in enumerate(zip(paths, boxes, strict=True), 1):
        try:
            frame = read_photo(path)
        except PosetrtError as error:
            if broken is None:
                raise
            found.append(broken(error))
        else:
            found.append(network(frame, given))
        if progress is not None:
            progress(count)
    return found


def coco_rows(found: Iterable[People], photos: CocoPhotos, skeleton: Skeleton) -> list[dict[str, Any]]:
    """COCO's result rows for the people of each photograph, in the order of `photos`."""
    return [row for image_id, people in zip(photos.paths, found, strict=True) for row in to_coco_results(people, skeleton, image_id)]


def coco_accuracy(results: Sequence[dict[str, Any]], photos: CocoPhotos) -> Accuracy:
    """Judge results with pycocotools' COCOeval, "keypoints"."""
    ids = set(photos.paths)
    annotated = sum(1 for one in photos.truth["annotations"] if one["image_id"] in ids and one["num_keypoints"] and not one["iscrowd"])
    figures = CocoJudged(results, photos.truth, list(photos.paths)).figures
    ap, ap50, ap75, ar = (float("nan") if (value := figures[key]) is None else value for key in ("ap", "ap50", "ap75", "ar"))
    return Accuracy(ap, ap50, ap75, ar, len(ids), annotated)
