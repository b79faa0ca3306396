"""COCO's annotations as pycocotools needs them: every value checked, ids made anew, and fitted to the photographs as they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.datasets.base import locate, require
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.fields import Fields

# Share of a box that a person covers, where the area is not annotated: as CrowdPose's evaluation takes it (crowdposetools, cocoeval.py).
AREA_OF_BOX = 0.53
LARGEST = 1e6  # px: beyond any photograph
_SAME_SHAPE = 0.02  # by how much the ratio of the sides may differ in a photograph that was scaled


@dataclass(frozen=True)
class CocoTruth:
    """Annotations that pycocotools can judge by.

    Attributes:
        fields: images, annotations, categories; ids of images are whole numbers, of annotations 1, 2, 3, ….
        paths: image id → photograph.
        notes: what was mended, a sentence each.
    """

    fields: Mapping[str, Any]
    paths: Mapping[int, Path]
    notes: Sequence[str] = ()


def read_truth(
    path: Path, content: Any, images: Path, *, parts: int, take: slice = slice(None), limit: int | None = None, kind: str
) -> CocoTruth:
    """Check and mend the content of an annotation file in COCO's form.

    Args:
        path: of the file, for errors.
        content: of it.
        images: the folder with the photographs.
        parts: number of key points that are judged.
        take: which of an annotation's numbers are theirs.
        limit: the first so many photographs.
        kind: the data set's name, for errors.

    Raises:
        PosetrtError: names the annotation or image, the field, the value and what is right.
        UsageError: no such folder of photographs.
    """
    whole = Fields(content, str(path))
    listed = whole.inners("images")
    for number, image in enumerate(listed):
        require(image.values, ("id", "file_name"), f"{path}: image {number}", kind)
    ids = _image_ids(listed)
    taken = listed[:limit]
    located = locate([image.text("file_name") for image in taken], images, path)
    paths = {ids[_key(image)]: photograph for image, photograph in zip(taken, located, strict=True)}
    annotations: list[dict[str, Any]] = []
    unknown = without_area = 0
    for annotation in whole.inners("annotations"):
        require(annotation.values, ("image_id",), annotation.path.rstrip("."), kind)
        image_id = ids.get(_key(annotation, "image_id"))
        if image_id is None:
            unknown += 1
            continue
        one, measured = _annotation(annotation, image_id, parts, take)
        without_area += not measured
        annotations.append({**one, "id": len(annotations) + 1})
    notes = []
    if unknown:
        notes.append(f"{unknown} annotations are of images that {path.name} does not list; they were left out")
    if without_area:
        notes.append(f"{without_area} annotations have no area; {AREA_OF_BOX:g} of the box was taken, as CrowdPose's evaluation does")
    notes += _fit(taken, ids, paths, annotations, path)
    fields = {
        "images": [{"id": ids[_key(image)], "file_name": image.text("file_name")} for image in listed],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    return CocoTruth(fields, paths, tuple(notes))


def _image_ids(images: Sequence[Fields]) -> dict[str, int]:
    """The id of each image as a whole number: its own where all are, else its place."""
    keys = [_key(image) for image in images]
    double = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
    if double is not None:
        raise PosetrtError(f"{images[0].where}: two images have the id {double}; each needs its own, or annotations cannot be told apart")
    if all(key.lstrip("-").isdigit() and len(key) < 18 for key in keys) and len({int(key) for key in keys}) == len(keys):
        return {key: int(key) for key in keys}
    return {key: place for place, key in enumerate(keys, 1)}


def _key(fields: Fields, name: str = "id") -> str:
    """An id, a text or a whole number, as text."""
    value = fields.values.get(name)
    return fields.text(name, longest=200) if isinstance(value, str) else str(fields.whole(name, -(10**17), 10**17))


def _annotation(given: Fields, image_id: int, parts: int, take: slice) -> tuple[dict[str, Any], bool]:
    """An annotation with all fields that pycocotools reads, and whether its area was given."""
    points = np.zeros((parts, 3))
    if "keypoints" in given.values:
        numbers = given.numbers("keypoints", -LARGEST, LARGEST)[take]
        if len(numbers) != 3 * parts:
            given.refuse("keypoints", list(given.values["keypoints"]), f"a list of {3 * parts} numbers (x, y, visibility of {parts} parts)")
        points = np.array(numbers).reshape(parts, 3)
    wrong = ~np.isin(points[:, 2], (0, 1, 2))
    if wrong.any():
        given.refuse(f"keypoints[{3 * int(wrong.argmax()) + 2}]", float(points[wrong][0, 2]), "visibility 0, 1 or 2")
    known = points[:, 2] > 0
    box = list(given.numbers("bbox", -LARGEST, LARGEST, 4)) if "bbox" in given else [0.0] * 4
    if min(box[2:]) < 0:
        given.refuse("bbox", box, "x, y and a width and height that are not negative")
    if min(box[2:]) == 0 and known.any():
        # A box's edges lie between pixels, whose centres lie at integers.
        low, high = points[known, :2].min(axis=0), points[known, :2].max(axis=0) + 1
        box = [*low.tolist(), *(high - low).tolist()]
    area = given.number("area", 0, LARGEST**2, default=0.0)
    measured = area > 0 or not known.any()
    one = {
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": given.whole("iscrowd", 0, 1, default=0)
        if not isinstance(given.values.get("iscrowd"), bool)
        else int(given.flag("iscrowd")),
        "keypoints": points.ravel().tolist(),
        "num_keypoints": int(known.sum()),
        "bbox": box,
        "area": area if measured else AREA_OF_BOX * box[2] * box[3],
    }
    return one, measured


def _fit(
    images: Sequence[Fields], ids: Mapping[str, int], paths: Mapping[int, Path], annotations: list[dict[str, Any]], path: Path
) -> list[str]:
    """Bring annotations to the photographs as they are read: turned as EXIF says, and in the size that they have.

    Raises:
        PosetrtError: a photograph is of another shape than the file says.
    """
    of_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in annotations:
        of_image.setdefault(annotation["image_id"], []).append(annotation)
    turned, scaled = [], []
    for image in images:
        if "width" not in image or "height" not in image:
            continue
        said = (image.whole("width", 1, 10**6), image.whole("height", 1, 10**6))
        photograph = paths[ids[_key(image)]]
        stored, orientation = _stored_size(photograph)
        here = of_image.get(ids[_key(image)], [])
        read = stored[::-1] if orientation >= 5 else stored
        if stored == (0, 0) or said == read:
            continue
        swapped = orientation > 1 and said != read and _alike(said, stored) and not _alike(said, read)
        if swapped:
            turned.append(photograph.name)
            for annotation in here:
                _turn(annotation, said, orientation)
            said = said[::-1]
        elif not _alike(said, read):
            raise PosetrtError(
                f"{path}: {photograph.name} is {read[0]}x{read[1]}, and the file says {said[0]}x{said[1]}: it is another picture, or was cut. "
                "Give the photographs that were annotated"
            )
        if said != read:
            scaled.append(photograph.name)
            for annotation in here:
                _scale(annotation, read[0] / said[0], read[1] / said[1])
    notes = []
    if turned:
        notes.append(f"{len(turned)} photographs were annotated before EXIF turned them, as {turned[0]}; their annotations were turned too")
    if scaled:
        notes.append(f"{len(scaled)} photographs are of another size than annotated, as {scaled[0]}; their annotations were scaled")
    return notes


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= max(_SAME_SHAPE, 1 / min(*one, *other))


def _stored_size(path: Path) -> tuple[tuple[int, int], int]:
    """Width and height of a picture as its file stores them, and EXIF's orientation; zeros for one that cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.size, int(picture.getexif().get(0x0112) or 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return (0, 0), 1


def _turn(annotation: dict[str, Any], size_wh: tuple[int, int], orientation: int) -> None:
    """Turn an annotation from the stored picture to the one that EXIF shows (EXIF 2.3, tag 0x0112)."""
    width, height = size_wh
    points = np.array(annotation["keypoints"]).reshape(-1, 3)
    known = points[:, 2] > 0
    x, y, w, h = annotation["bbox"]
    corners = np.array([[x, y], [x + w, y + h]])

    def place(xy: NDArray[np.float64], last: float) -> NDArray[np.float64]:
        across, down = xy[:, 0], xy[:, 1]
        back, up = width - last - across, height - last - down
        by = {
            2: (back, down), 3: (back, up), 4: (across, up), 5: (down, across), 6: (up, across), 7: (up, back), 8: (down, back)
        }  # fmt: skip
        return np.stack(by.get(orientation, (across, down)), axis=1)

    points[known, :2] = place(points[known, :2], 1.0)
    corners = place(corners, 0.0)
    low, high = corners.min(axis=0), corners.max(axis=0)
    annotation["keypoints"] = points.ravel().tolist()
    annotation["bbox"] = [*low.tolist(), *(high - low).tolist()]


def _scale(annotation: dict[str, Any], across: float, down: float) -> None:
    """Scale an annotation; pixel centres lie at integers."""
    points = np.array(annotation["keypoints"]).reshape(-1, 3)
    known = points[:, 2] > 0
    points[known, :2] = (points[known, :2] + 0.5) * (across, down) - 0.5
    x, y, w, h = annotation["bbox"]
    annotation["keypoints"] = points.ravel().tolist()
    annotation["bbox"] = [x * across, y * down, w * across, h * down]
    annotation["area"] = annotation["area"] * across * down
