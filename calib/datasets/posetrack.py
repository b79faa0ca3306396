"""PoseTrack 2018 (Andriluka et al., CVPR 2018): a JSON a sequence, AP of each part by PCKh, and MOTA of the tracks.

The format is COCO's with more: head_bottom and head_top among the 17 key points (the ears are never annotated), bbox_head and track_id of
each person, and of each image vid_id, is_labeled and ignore_regions. Its meaning is that of the published evaluation, poseval: images
without an annotated person are not judged; a key point is absent where x, y and flag are all 0; points inside ignored regions are taken
away from both sides; a head's size is 0.6 of the diagonal of bbox_head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.datasets.base import locate, numbers, require, whole_number
from posetrt.calib.datasets.part_ap import PartsJudged, SeenImage, judge_parts
from posetrt.calib.datasets.parts import correspondence, parts_of
from posetrt.calib.datasets.pck import PART_TITLES
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.fields import Fields
from posetrt.runtime.files import read_json
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People
from posetrt.runtime.track.tracker import Tracker

_KIND = "PoseTrack 2018"
_FPS = 30.0
_HEAD = 0.6


@dataclass(frozen=True)
class _Frame:
    """One image of a sequence.

    Attributes:
        time_s: of the frame in its sequence, for the tracker.
        points: (A, 15, 2) of the people annotated, in pixels.
        labelled: (A, 15) which of them are there.
        heads: (A,) px.
        tracks: (A,) ids within the sequence.
        boxes: (B, 4) of those people who have one.
        ignored: polygons (n, 2) in which nothing counts.
        judged: whether anybody is annotated.
    """

    time_s: float
    points: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    heads: NDArray[np.float64]
    tracks: NDArray[np.int64]
    boxes: NDArray[np.float64]
    ignored: Sequence[NDArray[np.float64]]
    judged: bool


@dataclass(frozen=True)
class PoseTrackPhotos:
    """PoseTrack's sequences; all their images are looked at, so that ids can be followed, and those with annotated people are judged.

    Attributes:
        photographs: of all sequences, one after another.
        sequences: the frames of each.
    """

    photographs: Sequence[Path]
    sequences: Sequence[Sequence[_Frame]]
    notes: ClassVar[Sequence[str]] = ()
    name: ClassVar[str] = "PoseTrack"
    titles: ClassVar[Mapping[str, str]] = {"map": "mAP", **PART_TITLES, "mota": "MOTA", "motp": "MOTP"}

    @property
    def boxes(self) -> Sequence[NDArray[np.float64]]:
        """The data set's own; none on images that nobody is annotated on."""
        return [frame.boxes for frames in self.sequences for frame in frames]

    def judge(self, found: Sequence[People], skeleton: Skeleton) -> PartsJudged:
        """AP of each part, MOTA and MOTP. People without ids get the runtime's tracker's. See `AnnotatedPhotos.judge`."""
        matched = correspondence("posetrack", skeleton)
        seen: list[list[SeenImage]] = []
        start = 0
        for frames in self.sequences:
            here = with_ids(found[start : start + len(frames)], [frame.time_s for frame in frames], skeleton)
            seen.append([_seen(frame, matched.take(people), people.ids) for frame, people in zip(frames, here, strict=True)])
            start += len(frames)
        judged = [[frame.judged for frame in frames] for frames in self.sequences]
        return judge_parts(seen, judged, matched)


def with_ids(found: Sequence[People], times_s: Sequence[float], skeleton: Skeleton) -> list[People]:
    """The people of one sequence with ids: their own where all have some, else the tracker's."""
    if all(people.ids is not None for people in found):
        return list(found)
    tracker = Tracker(skeleton, usual_fps=_FPS)
    return [tracker.update(replace(people, ids=None), time_s) for people, time_s in zip(found, times_s, strict=True)]


def _seen(frame: _Frame, points: NDArray[np.float64], ids: NDArray[np.int64] | None) -> SeenImage:
    """What is to be compared on one image, without what lies in ignored regions, and without people of whom nothing is left."""
    there = points[..., 2] > 0
    labelled = frame.labelled
    for polygon in frame.ignored:
        there = there & ~_inside(points[..., :2], polygon)
        labelled = labelled & ~_inside(frame.points, polygon)
    kept, known = there.any(axis=1), labelled.any(axis=1)
    own = ids if ids is not None else np.arange(len(points))
    return SeenImage(
        frame.points[known], labelled[known], frame.heads[known], frame.tracks[known], points[kept], there[kept], np.asarray(own)[kept]
    )


def _inside(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(…,) whether each of (…, 2) points lies inside a polygon, its edge not included."""
    import cv2

    contour = polygon.astype(np.float32)
    flat = [cv2.pointPolygonTest(contour, (float(x), float(y)), False) > 0 for x, y in points.reshape(-1, 2)]
    return np.array(flat, bool).reshape(points.shape[:-1])


def posetrack_photos(path: Path, images: Path, limit: int | None = None) -> PoseTrackPhotos:
    """Read the annotations of one sequence, or of all in a folder.

    Args:
        limit: take the first so many images.

    Raises:
        PosetrtError: keys are missing, another data set, or photographs are missing.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise PosetrtError(f"{path} holds no .json file; PoseTrack's annotations are one a sequence")
    names: list[str] = []
    sequences: list[list[_Frame]] = []
    for file in files:
        for videos in _sequences(file).values():
            left = None if limit is None else limit - len(names)
            if left is not None and left <= 0:
                break
            names += [name for name, _ in videos[:left]]
            sequences.append([frame for _, frame in videos[:left]])
    if not any(frame.judged for frames in sequences for frame in frames):
        raise PosetrtError(
            f"{path}: nobody is annotated on the {len(names)} images taken; PoseTrack keeps the annotations of its test set back"
        )
    return PoseTrackPhotos(locate(names, images, path), sequences)


def _sequences(path: Path) -> dict[str, list[tuple[str, _Frame]]]:
    """Name and frame of each image, a list a video."""
    fields = read_json(path, "PoseTrack annotation file")
    require(fields, ("images", "annotations", "categories"), str(path), _KIND)
    whole = Fields(fields, str(path))
    names = list(whole.inners("categories")[0].texts("keypoints", ())) if fields["categories"] else []
    wanted = parts_of("posetrack")
    absent = [part for part in wanted if part not in names]
    if absent:
        raise PosetrtError(f"{path}: the key points of its category lack {', '.join(absent)}, so this is not PoseTrack 2018")
    order = [names.index(part) for part in wanted]
    people: dict[str, list[Any]] = {}
    for number, annotation in enumerate(one.values for one in whole.inners("annotations")):
        where = f"{path}: annotation {number}"
        require(annotation, ("image_id", "keypoints"), where, _KIND)
        points = annotation["keypoints"]
        if not isinstance(points, list) or len(points) != 3 * len(names):
            count = len(points) if isinstance(points, list) else "no"
            raise PosetrtError(f"{where} has {count} numbers of key points; {3 * len(names)} were expected")
        numbers(points, (-1, 3), where, "keypoints")
        # Somebody with no key point at all is a box alone, and counts for nothing.
        if any(annotation["keypoints"]):
            require(annotation, ("bbox_head", "track_id"), where, _KIND)
            if not min(numbers(annotation["bbox_head"], (4,), where, "bbox_head")[2:]) > 0:
                raise PosetrtError(f"{where}: bbox_head has no size, and PCKh is measured by the head's")
            box = numbers(annotation.get("bbox") or [0] * 4, (4,), where, "bbox").tolist()
            checked = {**annotation, "bbox": box, "track_id": whole_number(annotation["track_id"], where, "track_id")}
            people.setdefault(str(annotation["image_id"]), []).append(checked)
    videos: dict[str, list[tuple[str, _Frame]]] = {}
    seen: set[str] = set()
    for number, image in enumerate(one.values for one in whole.inners("images")):
        require(image, ("id", "file_name"), f"{path}: image {number}", _KIND)
        name, image_id = str(image["file_name"]), str(image["id"])
        if image_id in seen:
            raise PosetrtError(f"{path}: two images have the id {image_id}; each needs its own, or annotations cannot be told apart")
        seen.add(image_id)
        video = videos.setdefault(str(image.get("vid_id", Path(name).parent)), [])
        place = int(Path(name).stem) if Path(name).stem.isdigit() and len(Path(name).stem) < 16 else len(video)
        video.append((name, _frame(image, people.get(image_id, []), order, place / _FPS)))
    return videos


def _frame(image: Mapping[str, Any], people: Sequence[Mapping[str, Any]], order: Sequence[int], time_s: float) -> _Frame:
    keypoints = np.array([np.reshape(person["keypoints"], (-1, 3))[order] for person in people], np.float64).reshape(-1, len(order), 3)
    heads = np.array([person["bbox_head"] for person in people], np.float64).reshape(-1, 4)
    xs, ys = image.get("ignore_regions_x") or [], image.get("ignore_regions_y") or []
    if not all(isinstance(one, list) for one in (xs, ys, *xs, *ys)):
        raise PosetrtError(f"image {image['id']}: ignore_regions_x and ignore_regions_y are lists of polygons, each a list of numbers")
    if [len(one) for one in xs] != [len(one) for one in ys]:
        raise PosetrtError(f"image {image['id']}: ignore_regions_x and ignore_regions_y have different numbers of corners")
    polygons = [
        numbers(corners, (2, -1), f"image {image['id']}", "ignore_regions").T
        for corners in zip(xs, ys, strict=True)
        if len(corners[0]) >= 3
    ]
    return _Frame(
        time_s,
        keypoints[..., :2],
        np.asarray(keypoints.any(axis=-1), bool),
        _HEAD * np.hypot(heads[:, 2], heads[:, 3]),
        np.array([person["track_id"] for person in people], np.int64),
        np.array([person["bbox"] for person in people if min(person.get("bbox", [0, 0, 0, 0])[2:]) > 0], np.float64).reshape(-1, 4),
        polygons,
        bool(people) and bool(image.get("is_labeled", True)),
    )
