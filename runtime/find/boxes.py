"""Where to look closer: boxes of hands, faces and whole people from a body's key points.

A box is x, y, width, height in pixels of the frame, as in COCO: pixel i spans i to i + 1, so that a frame of 640x480 is the box
0, 0, 640, 480, and a key point at x (centres at integers) lies at x + 0.5 of it. Width 0 means that there is nothing to look at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

LEAST_SCORE = 0.25
"""Score that a body's part must exceed to place a box (OpenPose, handDetector.cpp and faceDetector.cpp)."""

# OpenPose, handDetector.cpp: the hand goes on from the wrist by a third of the forearm; its box is half as wide again as the arm's longer half.
_BEYOND_WRIST = 0.33
_PER_ARM = 1.5
_UPPER_ARM = 0.9

_SIDES = {"l": "left", "r": "right"}


def find_part(skeleton: Skeleton, name: str) -> int | None:
    """Number of a part by OpenPose's name, "LWrist" also where it is called "left_wrist"; None where the skeleton has none."""
    wanted = _plain(name)
    return next((index for index, part in enumerate(skeleton.parts) if _plain(part) == wanted), None)


def _plain(name: str) -> str:
    side = _SIDES.get(name[0].lower(), "") if len(name) > 1 and name[1].isupper() else ""
    return (side + name[1:] if side else name).lower().replace("_", "").replace(" ", "")


class BoxFinder:
    """Boxes of hands and faces for one body skeleton.

    Args:
        skeleton: of the body network.
        least_score: that a part must exceed to be used.
    """

    def __init__(self, skeleton: Skeleton, least_score: float = LEAST_SCORE) -> None:
        self._least_score = least_score
        self._name = skeleton.name
        self._parts = {
            name: find_part(skeleton, name)
            for name in (
                *(side + part for side in "LR" for part in ("Shoulder", "Elbow", "Wrist", "Eye", "Ear")),
                "Nose",
                "Neck",
                "Head",
            )
        }

    def _missing(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if self._parts[name] is None]

    def check_hands(self) -> None:
        """Raises: UsageError: the skeleton has not both arms."""
        missing = self._missing([side + part for side in "LR" for part in ("Shoulder", "Elbow", "Wrist")])
        if missing:
            raise UsageError(
                f"hands are placed by shoulder, elbow and wrist, and skeleton {self._name!r} has no {', '.join(missing)}; "
                "leave --hands out, or give a body network that has them"
            )

    def check_face(self) -> None:
        """Raises: UsageError: the skeleton has nothing that a face is placed by."""
        ways = (("Neck", "Nose"), ("Neck", "Head"), ("LEye", "REye"), ("LEar", "REar"))
        if all(self._missing(way) for way in ways):
            raise UsageError(
                f"a face is placed by neck and nose (or head), both eyes, or both ears, and skeleton {self._name!r} has none of these pairs; "
                "leave --face out, or give a body network that has one"
            )

    def hands(self, keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes of both hands.

        The centre lies beyond the wrist by 0.33 of the way from elbow to wrist; the side is 1.5 times the forearm, or 0.9 of the
        upper arm where that is longer, as with a forearm that points at the camera. Source: OpenPose, src/openpose/hand/handDetector.cpp.

        Args:
            keypoints: (N, K, 3) float32 in pixels of the frame.

        Returns:
            (N, 2, 4) float32: left, right; width 0 where shoulder, elbow or wrist was not found.

        Raises:
            UsageError: the skeleton has not both arms.
        """
        self.check_hands()
        boxes = np.zeros((len(keypoints), 2, 4), np.float32)
        for index, side in enumerate("LR"):
            (shoulder, _), (elbow, _), (wrist, _) = arm = [self._part(keypoints, side + part) for part in ("Shoulder", "Elbow", "Wrist")]
            seen = arm[0][1] & arm[1][1] & arm[2][1]
            size = _PER_ARM * np.maximum(_distance(wrist, elbow), _UPPER_ARM * _distance(elbow, shoulder))
            boxes[:, index] = _square(wrist + _BEYOND_WRIST * (wrist - elbow), np.where(seen, size, 0))
        return boxes

    def faces(self, keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes of faces: the mean of what neck and nose, the eyes, and the ears each say of its centre and size.

        Source: OpenPose, src/openpose/face/faceDetector.cpp.

        Args:
            keypoints: (N, K, 3) float32 in pixels of the frame.

        Returns:
            (N, 4) float32; width 0 where none of these pairs was found.

        Raises:
            UsageError: the skeleton has nothing that a face is placed by.
        """
        self.check_face()
        if self._parts["Nose"] is None and self._parts["Head"] is not None:
            (neck, neck_seen), (head, head_seen) = self._part(keypoints, "Neck"), self._part(keypoints, "Head")
            return _square(head, np.where(neck_seen & head_seen, 1.33 * _distance(neck, head), 0))
        place = {name: self._part(keypoints, name) for name in ("Neck", "Nose", "LEye", "REye", "LEar", "REar")}
        (neck, neck_seen), (nose, nose_seen) = place["Neck"], place["Nose"]
        votes = [_pair_vote(place["LEye"], place["REye"], 3.0), _pair_vote(place["LEar"], place["REar"], 2.0)]

        length = _distance(neck, nose)
        centre, size = (neck + nose) / 2, 2.0 * length
        (left_eye, left), (left_ear, left_ear_seen) = place["LEye"], place["LEar"]
        (right_eye, right), (right_ear, right_ear_seen) = place["REye"], place["REar"]
        # In profile one eye and its ear are seen: the face is about them and the nose.
        profile = (left == left_ear_seen) & (right == right_ear_seen) & (left != right)
        eye, ear = np.where(left[:, None], left_eye, right_eye), np.where(left[:, None], left_ear, right_ear)
        centre = np.where(profile[:, None], (eye + ear + nose) / 3, centre)
        size = np.where(profile, 0.85 * (_distance(nose, eye) + _distance(nose, ear) + length), size)
        votes.append((centre, size, neck_seen & nose_seen))

        count = np.sum([seen for _, _, seen in votes], axis=0)
        divisor = np.maximum(count, 1)
        mean_centre = np.sum([np.where(seen[:, None], at, 0) for at, _, seen in votes], axis=0) / divisor[:, None]
        mean_size = np.sum([np.where(seen, side, 0) for _, side, seen in votes], axis=0) / divisor
        return _square(mean_centre, np.where(count > 0, mean_size, 0))

    def _part(self, keypoints: NDArray[np.float32], name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(N, 2) places and (N,) whether the part was found."""
        index = self._parts[name]
        if index is None:
            return np.zeros((len(keypoints), 2)), np.zeros(len(keypoints), np.bool_)
        return keypoints[:, index, :2].astype(np.float64), keypoints[:, index, 2] > self._least_score


def person_boxes(people: People) -> NDArray[np.float32]:
    """(N, 4) float32: each person's box as its network gave it, else the least box round its key points; width 0 where fewer than two were
    found."""
    if people.boxes is not None:
        return people.boxes
    seen = people.keypoints[..., 2] > 0
    boxes = np.zeros((len(people), 4), np.float32)
    for index in np.nonzero(seen.sum(axis=1) > 1)[0]:
        points = people.keypoints[index, seen[index], :2]
        boxes[index, :2] = points.min(axis=0) + np.float32(0.5)
        boxes[index, 2:] = np.maximum(np.ptp(points, axis=0), np.float32(1.0))
    return boxes


def whole_frame(size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """(1, 4) float32: one box, the frame."""
    return np.array([[0, 0, *size_wh]], np.float32)


def grown(boxes: NDArray[np.floating], size_wh: tuple[int, int], by: float = 1.0) -> NDArray[np.float32]:
    """Boxes about the same centres, widened to the proportions of `size_wh` and grown `by` that factor."""
    boxes = np.asarray(boxes, np.float64)
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    unit = (boxes[:, 2:] / np.asarray(size_wh)).max(axis=1) * by
    sides = unit[:, None] * np.asarray(size_wh)
    return np.concatenate([centres - sides / 2, sides], axis=1).astype(np.float32)


def inside(boxes: NDArray[np.floating], shape_hw: tuple[int, ...]) -> NDArray[np.bool_]:
    """(M,) whether any of a box lies within a frame of that shape."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    return np.asarray(((high > 0) & (low < np.array([shape_hw[1], shape_hw[0]]))).all(axis=1))


def check_boxes(boxes: NDArray[np.floating], shape_hw: tuple[int, ...], where: str = "boxes") -> NDArray[np.float32]:
    """Boxes that a user gave, as float32.

    Raises:
        UsageError: another shape, values that are no numbers, a box without area or wholly outside the frame.
    """
    given = np.asarray(boxes, np.float32)
    if given.ndim != 2 or given.shape[1:] != (4,):
        raise UsageError(f"{where}: boxes have shape (M, 4): x, y, width, height in pixels of the frame; got {given.shape}")
    for index, box in enumerate(given):
        told = f"{where}: box {index} (x, y, width, height = {', '.join(f'{value:g}' for value in box)})"
        if not np.isfinite(box).all() or min(box[2:]) <= 0:
            raise UsageError(f"{told} has no area; give x, y, width, height in pixels of the frame, width and height above 0")
        if not inside(box[None], shape_hw)[0]:
            raise UsageError(
                f"{told} lies outside the frame of {shape_hw[1]}x{shape_hw[0]}; give x, y, width, height in pixels of this very frame"
            )
    return given


def _pair_vote(
    one: tuple[NDArray[np.float64], NDArray[np.bool_]], other: tuple[NDArray[np.float64], NDArray[np.bool_]], factor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """The middle of two parts, `factor` times their distance, and where both were found."""
    return (one[0] + other[0]) / 2, factor * _distance(one[0], other[0]), one[1] & other[1]


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.hypot(*(one - other).T)
    return result


def _square(centre: NDArray[np.float64], size: NDArray[np.floating]) -> NDArray[np.float32]:
    """Boxes round centres given in key-point coordinates; all zero where the size is."""
    corner = centre + 0.5 - np.asarray(size)[:, None] / 2
    boxes = np.concatenate([corner, np.repeat(np.asarray(size)[:, None], 2, axis=1)], axis=1)
    boxes[np.asarray(size) <= 0] = 0
    return boxes.astype(np.float32)
