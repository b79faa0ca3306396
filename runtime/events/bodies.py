"""Measures of the bodies in a frame, by the names of their parts, in units of the body: whatever the skeleton is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.find.boxes import find_part
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

Floats = NDArray[np.float64]

LEAST_SCORE = 0.25
"""Score from which a part counts as seen, as for boxes of hands and faces."""

SIDED = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
PARTS = tuple(side + part for part in SIDED for side in "LR")
"""Parts that rules look at, by OpenPose's names; middles come of both sides."""
_MIDDLES = {"Shoulder": ("Neck", "Thorax"), "Hip": ("MidHip", "Hip", "Pelvis")}
"""What skeletons call the middle of a pair that they may lack one side of."""

# A trunk's length per length of each segment, of a standing adult: Winter, Biomechanics and Motor Control of Human Movement, table 4.1.
_TRUNK_PER = {("Hip", "Knee"): 1.17, ("Knee", "Ankle"): 1.17, ("Shoulder", "Elbow"): 1.55}
_TRUNK_PER_SHOULDERS = 1.25


def part_numbers(skeleton: Skeleton) -> dict[str, int]:
    """Name of each part that rules look at → its number, for those that the skeleton has."""
    names = (*PARTS, *(name for names in _MIDDLES.values() for name in names))
    found = {name: find_part(skeleton, name) for name in names}
    return {name: number for name, number in found.items() if number is not None}


class Bodies:
    """The people of one frame.

    Args:
        people: in pixels of the frame.
        parts: as `part_numbers` gives them.
        least_score: from which a part counts as seen.
    """

    def __init__(self, people: People, parts: Mapping[str, int], least_score: float = LEAST_SCORE) -> None:
        self._people, self._parts = people, parts
        points = people.keypoints[..., :2].astype(np.float64)
        points[people.keypoints[..., 2] < least_score] = np.nan
        self._points = points
        self._nowhere = np.full((len(people), 2), np.nan)
        self._middles: dict[str, Floats] = {}

    def __len__(self) -> int:
        return len(self._people)

    def part(self, name: str) -> Floats:
        """(N, 2) pixels; NaN where it is not seen."""
        number = self._parts.get(name)
        return self._nowhere if number is None else self._points[:, number]

    def middle(self, part: str) -> Floats:
        """(N, 2): the middle of a pair of parts; where one side is not seen, the skeleton's own middle, and else the other side."""
        if part not in self._middles:
            left, right = self.part("L" + part), self.part("R" + part)
            found = (left + right) / 2
            others = [self.part(name) for name in _MIDDLES.get(part, ())] + [left, right]
            for other in others:
                found = np.where(np.isnan(found), other, found)
            self._middles[part] = found
        return self._middles[part]

    @cached_property
    def trunk(self) -> Floats:
        """(N, 2): from the hips to the shoulders."""
        return self.middle("Shoulder") - self.middle("Hip")

    @cached_property
    def tilt_deg(self) -> Floats:
        """(N,): angle of the trunk from upright, 0 to 180 degrees."""
        result: Floats = np.degrees(np.arctan2(np.abs(self.trunk[:, 0]), -self.trunk[:, 1]))
        return result

    @cached_property
    def unit_px(self) -> Floats:
        """(N,): length of the trunk in pixels as if it were seen from the side: what the longest segments come to, since a view only
        shortens them. NaN where none is seen."""
        lengths = [np.hypot(*self.trunk.T), _TRUNK_PER_SHOULDERS * _length(self.part("LShoulder"), self.part("RShoulder"))]
        for (one, other), factor in _TRUNK_PER.items():
            lengths += [factor * _length(self.part(side + one), self.part(side + other)) for side in "LR"]
        known = np.nan_to_num(np.stack(lengths, axis=1), nan=0.0)
        known.sort(axis=1)
        # Of three or more the second: one that is far too long is an error of the network.
        result = np.where((known > 0).sum(axis=1) >= 3, known[:, -2], known[:, -1])
        if not self._points.shape[1] and self._people.boxes is not None:
            # A detector's people: a standing person is 3.5 trunks high.
            result = self._people.boxes[:, 3].astype(np.float64) / 3.5
        return np.where(result > 0, result, np.nan)

    @cached_property
    def thigh_drop(self) -> Floats:
        """(N,): how far the knees are below the hips, in pixels: the mean of the sides seen."""
        return self._drop("Hip", "Knee")

    @cached_property
    def leg_drop(self) -> Floats:
        """(N,): how far the ankles are below the hips, in pixels; where no ankle is seen, twice as far as the knees."""
        drop = self._drop("Hip", "Ankle")
        return np.where(np.isnan(drop), 2 * self.thigh_drop, drop)

    def ankle_drop(self) -> Floats:
        """(N,): how far the ankles are below the hips, in pixels; NaN where none is seen."""
        return self._drop("Hip", "Ankle")

    def feet(self) -> Floats:
        """(N, 2): between the ankles; where none is seen, the middle of the lower edge of the person's box."""
        found = self.middle("Ankle")
        boxes = self._people.boxes
        if boxes is None:
            return found
        below = np.stack([boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + boxes[:, 3]], axis=1) - 0.5
        return np.where(np.isnan(found), below, found)

    def hips(self) -> Floats:
        """(N, 2): between the hips; of a detector's people the middle of the box."""
        found = self.middle("Hip")
        boxes = self._people.boxes
        return found if boxes is None or self._points.shape[1] else boxes[:, :2] + boxes[:, 2:] / 2 - 0.5

    def angle_deg(self, first: str, joint: str, last: str) -> Floats:
        """(N,): angle at a joint, 0 to 180 degrees; 180 is straight."""
        one, other = self.part(first) - self.part(joint), self.part(last) - self.part(joint)
        across = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
        result: Floats = np.degrees(np.abs(np.arctan2(across, (one * other).sum(axis=1))))
        return result

    def _drop(self, upper: str, lower: str) -> Floats:
        left, right = (self.part(side + lower)[:, 1] - self.part(side + upper)[:, 1] for side in "LR")
        both = (left + right) / 2
        return np.where(np.isnan(both), np.where(np.isnan(left), right, left), both)


def _length(one: Floats, other: Floats) -> Floats:
    result: Floats = np.hypot(*(one - other).T)
    return result
