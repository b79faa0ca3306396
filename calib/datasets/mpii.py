"""MPII Human Pose (Andriluka et al., CVPR 2014): PCKh at 0.5, from the release's own .mat or from the common JSON with its ground truth.

A person's head size is 0.6 of the diagonal of the head's rectangle. Pelvis and thorax do not count, as in the published evaluation.
The measure is of one person whose place and scale are given: of the people found, the one whose box has its centre nearest to that
place is judged, if it lies within half the person's height (100 px times the scale).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.datasets.base import locate, numbers, read_mat, require
from posetrt.calib.datasets.parts import correspondence
from posetrt.calib.datasets.pck import PART_TITLES, AnnotatedPerson, PckJudged, judge_pck, place_boxes
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

_SHARE = 0.5
_HEAD = 0.6
_PARTS = 16
_IGNORED = ("pelvis", "thorax")
_TRUTHS = ("gt_valid.mat", "mpii_gt_val.mat")


@dataclass(frozen=True)
class MpiiPhotos:
    """MPII's photographs with the people annotated on them."""

    photographs: Sequence[Path]
    annotated: Sequence[AnnotatedPerson]
    notes: ClassVar[Sequence[str]] = ()
    name: ClassVar[str] = "MPII"
    titles: ClassVar[Mapping[str, str]] = {"pckh": "PCKh@0.5", **PART_TITLES}

    @property
    def boxes(self) -> Sequence[NDArray[np.float64]]:
        """Squares of 200 px times the scale about each person's place, which is the person's height."""
        return place_boxes(self.annotated, len(self.photographs))

    def judge(self, found: Sequence[People], skeleton: Skeleton) -> PckJudged:
        """PCKh at 0.5; see `AnnotatedPhotos.judge`."""
        matched = correspondence("mpii", skeleton)
        hits, labelled = judge_pck(self.annotated, [matched.take(people) for people in found], matched, _SHARE, _IGNORED)
        left_out = [part for part in matched.left_out if part not in _IGNORED]
        return PckJudged("pckh", hits, labelled, matched.parts, ("upper_neck", "head_top"), left_out)


def mpii_photos(path: Path, variables: Mapping[str, Any], images: Path, limit: int | None = None) -> MpiiPhotos:
    """Read mpii_human_pose_v1_u12_1.mat: the people of its `single_person` lists that have parts, a head's rectangle and a place.

    Raises:
        PosetrtError: the structure is another, nobody is annotated, or photographs are missing.
    """
    release = variables["RELEASE"]
    if not hasattr(release, "annolist"):
        raise PosetrtError(
            f"{path}: RELEASE has no annolist, so it is not MPII's release; it has {', '.join(_fields(release)) or 'nothing'}"
        )
    images_of = list(_each(release.annolist))
    single = list(_each(getattr(release, "single_person", None)))
    names: list[str] = []
    people: list[AnnotatedPerson] = []
    for index, entry in enumerate(images_of):
        if limit is not None and len(names) == limit:
            break
        rects = list(_each(getattr(entry, "annorect", None)))
        chosen = (
            {int(number) for number in np.atleast_1d(single[index])} if len(single) == len(images_of) else set(range(1, len(rects) + 1))
        )
        here = [
            person
            for number, rect in enumerate(rects, 1)
            if number in chosen and (person := _person(rect, len(names), f"{path}: annolist({index + 1}).annorect({number})")) is not None
        ]
        if here:
            names.append(str(entry.image.name))
            people += here
    if not people:
        raise PosetrtError(
            f"{path} has nobody with annopoints, objpos and a head's rectangle: MPII keeps those of its test photographs back"
        )
    return MpiiPhotos(locate(names, images, path), people)


def _person(rect: Any, image: int, where: str) -> AnnotatedPerson | None:
    """One annorect; None where parts or place are not annotated, as in the test set.

    Raises:
        PosetrtError: a value that is no number, or a head without size.
    """
    try:
        return _checked(_read_person(rect, image, where), where)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise PosetrtError(f"{where}: a value is no number ({error})") from error


def _checked(person: AnnotatedPerson | None, where: str) -> AnnotatedPerson | None:
    """Refuse what no distance can be measured by."""
    if person is not None:
        place = [*(person.place or ()), person.reach, *person.points[person.labelled].ravel()]
        if not np.isfinite(place).all() or not 0 < person.reference < np.inf or person.reach <= 0:
            raise PosetrtError(
                f"{where}: the head's rectangle, objpos, scale or a part is 0, NaN or infinite; PCKh is measured by the head's size"
            )
    return person


def _read_person(rect: Any, image: int, where: str) -> AnnotatedPerson | None:
    points = list(_each(getattr(getattr(rect, "annopoints", None), "point", None)))
    place = getattr(rect, "objpos", None)
    x, y, scale = getattr(place, "x", None), getattr(place, "y", None), getattr(rect, "scale", None)
    if not points or x is None or y is None or scale is None or not np.size(scale):
        return None
    if any(not np.size(getattr(rect, side, ())) for side in ("x1", "y1", "x2", "y2")):
        raise PosetrtError(f"{where} has annotated parts but no rectangle x1, y1, x2, y2 of the head, which PCKh is measured by")
    xy, labelled = np.zeros((_PARTS, 2)), np.zeros(_PARTS, bool)
    for point in points:
        if not 0 <= int(point.id) < _PARTS:
            raise PosetrtError(f"{where}: a point has id {point.id}; MPII's parts are 0 to {_PARTS - 1}")
        xy[int(point.id)], labelled[int(point.id)] = (point.x, point.y), True
    head = _HEAD * float(np.hypot(float(rect.x2) - float(rect.x1), float(rect.y2) - float(rect.y1)))
    # MATLAB counts pixels from 1.
    return AnnotatedPerson(image, xy - 1, labelled, head, (float(x) - 1, float(y) - 1), 100 * float(scale))


def mpii_json_photos(path: Path, entries: Sequence[Any], images: Path, limit: int | None = None) -> MpiiPhotos:
    """Read the common JSON (valid.json: image, center, scale, joints, joints_vis), with gt_valid.mat beside it for the heads' rectangles.

    Raises:
        PosetrtError: keys are missing, gt_valid.mat is not there or of other people, or photographs are missing.
    """
    truth_path = next((path.with_name(name) for name in _TRUTHS if path.with_name(name).is_file()), None)
    if truth_path is None:
        raise PosetrtError(
            f"{path.name} is MPII's common JSON, which has no rectangle of the head; put {_TRUTHS[0]} (it has headboxes_src) beside it, "
            "or give the release's own mpii_human_pose_v1_u12_1.mat"
        )
    truth = read_mat(truth_path)
    require(truth, ("headboxes_src", "jnt_missing", "pos_gt_src"), str(truth_path), "MPII's ground truth")
    heads, missing, positions = (
        np.asarray(truth[key], np.float64).reshape(*shape, -1)
        for key, shape in (("headboxes_src", (2, 2)), ("jnt_missing", (_PARTS,)), ("pos_gt_src", (_PARTS, 2)))
    )
    if heads.shape[-1] != len(entries):
        raise PosetrtError(
            f"{truth_path.name} is of {heads.shape[-1]} people and {path.name} of {len(entries)}: they do not belong together"
        )
    order: dict[str, int] = {}
    people = []
    for number, entry in enumerate(entries):
        require(entry, ("image", "center", "scale"), f"{path}: entry {number}", "MPII's JSON")
        name = str(entry["image"])
        if name not in order:
            if limit is not None and len(order) == limit:
                continue
            order[name] = len(order)
        where = f"{path}: entry {number}"
        reference = _HEAD * float(np.linalg.norm(heads[1, :, number] - heads[0, :, number]))
        x, y = (numbers(entry["center"], (2,), where, "center") - 1).tolist()
        reach = 100 * float(numbers(entry["scale"], (), where, "scale"))
        labelled: NDArray[np.bool_] = missing[:, number] == 0
        person = AnnotatedPerson(order[name], positions[..., number] - 1, labelled, reference, (x, y), reach)
        _checked(person, where)
        people.append(person)
    return MpiiPhotos(locate(list(order), images, path), people)


def _each(value: Any) -> Iterator[Any]:
    """The elements of a MATLAB array of structures or cells, which SciPy gives as one thing where there is one, and empty as an empty array."""
    if value is None:
        return
    if isinstance(value, np.ndarray):
        yield from value.ravel()
    else:
        yield value


def _fields(structure: Any) -> list[str]:
    return list(getattr(structure, "_fieldnames", []))
