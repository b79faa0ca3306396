"""Frames that several cameras saw at the same moment: OpenPose's JSON files of several folders, paired by frame number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import read_json
from posetrt.runtime.sources.names import readable
from posetrt.runtime.triangulate import triangulate

SUFFIX = "_keypoints.json"
_FARTHEST = 1e7
"""Pixels: a key point beyond this is no place in a picture."""
_SHIFTS = range(-5, 6)
"""Frames by which a view is tried earlier or later."""
_FEWEST, _MOST = 8, 60
"""Frames without which a shift shows nothing, and with which it is looked for."""

Moment = int | str


@dataclass(frozen=True)
class Paired:
    """Moments of several views.

    Attributes:
        common: of every moment that all views have, in order, each view's file.
        left_out: of every other moment, the numbers of the views that lack it.
    """

    common: Mapping[Moment, tuple[Path, ...]]
    left_out: Mapping[Moment, tuple[int, ...]]


@dataclass(frozen=True)
class OpenPoseFrame:
    """One file.

    Attributes:
        record: the file's own object, numbers that are none (NaN, infinite) replaced by 0.
        first: (K, 3) float64 of its first person: x, y, score; None where nobody is in it.
        not_numbers: key points of that person with such numbers; they count as not found.
    """

    record: dict[str, Any]
    first: NDArray[np.float64] | None
    not_numbers: int


def pair_views(folders: Sequence[Path]) -> Paired:
    """Pair the frames of several folders by the number at the end of their names, or by the whole name where one has no number.

    Raises:
        UsageError: a folder without such files, two files of one number in a folder, or no moment that all have.
    """
    files = [_files(folder) for folder in folders]
    numbered = all(_number(path) is not None for view in files for path in view)
    views = [_by_moment(view, folder, numbered) for view, folder in zip(files, folders, strict=True)]
    moments: list[Moment] = sorted(set().union(*views))
    common = {moment: tuple(view[moment] for view in views) for moment in moments if all(moment in view for view in views)}
    if not common:
        told = ", ".join(f"{readable(str(folder))} has {_span(view)}" for folder, view in zip(folders, views, strict=True))
        raise UsageError(f"the views have no frame in common: {told}. Frames belong together whose names end in the same number")
    left_out = {
        moment: tuple(number for number, view in enumerate(views) if moment not in view) for moment in moments if moment not in common
    }
    return Paired(common, left_out)


def _files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")) if folder.is_dir() else []
    if not found:
        raise UsageError(
            f"{readable(str(folder))} holds no NAME{SUFFIX}: make them with posetrt run ... --write-json {readable(str(folder))}"
        )
    return found


def _number(path: Path) -> int | None:
    digits = re.search(r"[0-9]{1,18}$", path.name.removesuffix(SUFFIX))
    return int(digits.group()) if digits else None


def _by_moment(files: Sequence[Path], folder: Path, numbered: bool) -> dict[Moment, Path]:
    view: dict[Moment, Path] = {}
    for path in files:
        number = _number(path)
        moment = number if numbered and number is not None else path.name.removesuffix(SUFFIX)
        if moment in view:
            raise UsageError(
                f"{readable(str(folder))} has two files of frame {moment}: {readable(view[moment].name)} and {readable(path.name)}; "
                "give a folder with the frames of one camera"
            )
        view[moment] = path
    return view


def _span(view: Mapping[Moment, Path]) -> str:
    names = list(view)
    return f"{names[0]}" if len(names) == 1 else f"{len(names)} frames, {names[0]} to {names[-1]}"


def read_frame(path: Path) -> OpenPoseFrame:
    """Read one of OpenPose's JSON files.

    Raises:
        PosetrtError: another format, or a value that is no number: says the file, the person and the value.
    """
    record = read_json(path, "frame in OpenPose's format")
    people = record.get("people") if isinstance(record, dict) else None
    if not isinstance(people, list) or not all(isinstance(person, dict) and "pose_keypoints_2d" in person for person in people):
        raise PosetrtError(f"{readable(str(path))} is not OpenPose's JSON: people, each with pose_keypoints_2d, was expected")
    first, not_numbers = None, 0
    if people:
        values = people[0]["pose_keypoints_2d"]
        wrong = (
            [value for value in values if isinstance(value, bool) or not isinstance(value, (int, float))]
            if isinstance(values, list)
            else [values]
        )
        if wrong:
            raise PosetrtError(f"{readable(str(path))}: pose_keypoints_2d of person 0 is a list of numbers, and holds {wrong[0]!r:.40}")
        if len(values) % 3:
            raise PosetrtError(
                f"{readable(str(path))}: pose_keypoints_2d of person 0 has {len(values)} numbers; x, y and score a part was expected"
            )
        first = np.array([float(value) if abs(value) < 1e300 else math.inf for value in values], np.float64).reshape(-1, 3)
        far = np.isfinite(first).all(axis=1) & (np.abs(first) > _FARTHEST).any(axis=1)
        if far.any():
            raise PosetrtError(f"{readable(str(path))}: {first[far][0].tolist()} is no x, y in pixels and score")
        bad = ~np.isfinite(first).all(axis=1)
        first[bad] = 0
        not_numbers = int(bad.sum())
    return OpenPoseFrame(_finite(dict(record)), first, not_numbers)


def _finite(value: Any) -> Any:
    """The same JSON without NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return 0.0 if isinstance(value, float) and not math.isfinite(value) else value


def disagreements_in_time(
    folders: Sequence[Path], points: Sequence[Mapping[Moment, NDArray[np.float64]]], cameras: NDArray[np.float64]
) -> list[str]:
    """Signs that frames of one number are not of one moment, a sentence each.

    Two are looked for: views of different lengths, as of cameras with different rates; and a view that agrees much better with the first when
    it is taken some frames earlier or later. Motion along the line between two cameras shows neither, so no sign proves nothing.

    Args:
        folders: names of the views.
        points: of each view (K, 3) of the first person by moment.
        cameras: (V, 3, 4).
    """
    told = []
    counts = [len(view) for view in points]
    for folder, count in zip(folders[1:], counts[1:], strict=True):
        if max(count, counts[0]) > 1.1 * min(count, counts[0]) + 2:
            told.append(
                f"{readable(str(folder))} has somebody in {count} frames and {readable(str(folders[0]))} in {counts[0]}: "
                "were both recorded at the same rate, from the same moment on?"
            )
    for number in range(1, len(points)):
        errors = {shift: _error(points[0], points[number], shift, cameras[[0, number]]) for shift in _SHIFTS}
        now = errors[0]
        known = {shift: error for shift, error in errors.items() if error is not None}
        if now is None or not known:
            continue
        best = min(known, key=lambda shift: (known[shift], abs(shift)))
        if best and now > 1.0 and known[best] < 0.5 * now:
            told.append(
                f"{readable(str(folders[number]))} agrees better with {readable(str(folders[0]))} when it is taken {abs(best)} frames "
                f"{'later' if best > 0 else 'earlier'} ({known[best]:.2f} px in place of {now:.2f}): its frames seem to be of other moments"
            )
    return told


def _error(
    one: Mapping[Moment, NDArray[np.float64]], other: Mapping[Moment, NDArray[np.float64]], shift: int, cameras: NDArray[np.float64]
) -> float | None:
    """Median error in px of two views, the second taken `shift` frames later; None where too few frames belong together."""
    pairs = [(one[moment], other[moment + shift]) for moment in one if isinstance(moment, int) and moment + shift in other]
    if len(pairs) < _FEWEST:
        return None
    step = max(1, len(pairs) // _MOST)
    errors = [triangulate(np.stack(pair), cameras, reject=False).errors for pair in pairs[::step] if pair[0].shape == pair[1].shape]
    known = np.concatenate(errors) if errors else np.zeros(0)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else None
