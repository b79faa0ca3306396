"""OKS average precision on COCO's key points, by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import read_json
from posetrt.runtime.people import People, to_coco_results
from posetrt.runtime.pose import Pose
from posetrt.runtime.skeleton import Skeleton
from posetrt.runtime.sources import read_photo


@dataclass(frozen=True)
class Accuracy:
    """COCO's figures, 0 to 1: AP and AR over OKS .50 to .95, AP at .50 and .75; `images` judged, `people` annotated in them."""

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
    """

    annotations: Path
    paths: Mapping[int, Path]

    def __len__(self) -> int:
        return len(self.paths)


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
        found = ", ".join(list(fields)[:6]) if isinstance(fields, dict) else type(fields).__name__
        raise PosetrtError(f"{annotations} is not COCO's key-point format (images, annotations, categories); it holds {found}")
    if not any("keypoints" in annotation for annotation in fields["annotations"]):
        raise PosetrtError(f"{annotations} has no annotation with keypoints; give a person_keypoints file, not instances or captions")
    if not images.is_dir():
        raise UsageError(f"there is no folder {images}")
    paths = {int(image["id"]): images / Path(image["file_name"]).name for image in fields["images"][:limit]}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise PosetrtError(
            f"{images} lacks {len(missing)} of the {len(paths)} photographs that {annotations.name} names, as {', '.join(missing[:3])}"
        )
    return CocoPhotos(annotations, paths)


def find_people(pose: Pose, paths: Iterable[Path], progress: Callable[[int], None] | None = None) -> list[People]:
    """People in pixels of each photograph; `progress` is told how many are done."""
    found = []
    for count, path in enumerate(paths, 1):
        found.append(pose(read_photo(path)))
        if progress is not None:
            progress(count)
    return found


def coco_rows(found: Iterable[People], photos: CocoPhotos, skeleton: Skeleton) -> list[dict[str, Any]]:
    """COCO's result rows for the people of each photograph, in the order of `photos`."""
    return [row for image_id, people in zip(photos.paths, found, strict=True) for row in to_coco_results(people, skeleton, image_id)]


def coco_accuracy(results: Sequence[dict[str, Any]], photos: CocoPhotos) -> Accuracy:
    """Judge results with pycocotools' COCOeval, "keypoints"."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(photos.annotations))
        ids = sorted(photos.paths)
        annotated = sum(
            1
            for annotation in truth.loadAnns(truth.getAnnIds(imgIds=ids))
            if annotation.get("num_keypoints", 0) and not annotation["iscrowd"]
        )
        if not results:
            return Accuracy(0.0, 0.0, 0.0, 0.0, len(ids), annotated)
        evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(list(results)))), "keypoints")
        evaluation.params.imgIds = ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ap, ap50, ap75, _, _, ar = (max(0.0, float(value)) for value in evaluation.stats[:6])
    return Accuracy(ap, ap50, ap75, ar, len(ids), annotated)
