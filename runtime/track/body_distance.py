"""How far away somebody is by how large the body looks: a camera sees size over distance, and bodies have proportions.

Lengths in body heights after Winter, Biomechanics and Motor Control of Human Movement, figure 4.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.model.skeleton import Skeleton

USUAL_HEIGHT_M = 1.70
"""An adult's stature where nobody says it: the world's men and women lie 5 to 8 per cent about it (NCD-RisC, eLife 2016)."""
_TORSO, _THIGH, _SHIN, _SHOULDERS = 0.288, 0.245, 0.246, 0.259
"""Shoulder to hip (0.818 - 0.530), hip to knee, knee to ankle, shoulder to shoulder."""
_FORESHORTENED = 0.75
"""Torso and legs that differ by more than this: the one that looks smaller points at the camera, as thighs of those who sit."""


class BodyDistance:
    """Distances of people of one skeleton.

    Args:
        skeleton: names the parts.
        height_m: of the people; a person's own makes the distance as much better as it differs from the usual one.
    """

    def __init__(self, skeleton: Skeleton, height_m: float = USUAL_HEIGHT_M) -> None:
        self._height_m = height_m
        self._place = {name: index for index, name in enumerate(skeleton.parts)}

    def of(self, keypoints: NDArray[np.float32], focal: tuple[float, float]) -> float | None:
        """Distance along the optical axis, in metres.

        Args:
            keypoints: (K, 3) of one person: x, y in pixels, score.
            focal: focal lengths across and down, in pixels.

        Returns:
            None where neither torso, legs nor both shoulders are seen.
        """
        rays = keypoints[:, :2].astype(np.float64) / focal
        seen = keypoints[:, 2] > 0

        def point(name: str) -> NDArray[np.float64] | None:
            index = self._place.get(name)
            return rays[index] if index is not None and seen[index] else None

        def apart(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> float | None:
            return float(np.hypot(*(one - other))) if one is not None and other is not None else None

        shoulders, hips = (_middle(point(f"R{name}"), point(f"L{name}")) for name in ("Shoulder", "Hip"))
        torso = apart(shoulders if shoulders is not None else point("Neck"), hips if hips is not None else point("MidHip"))
        legs = []
        for side in "RL":
            hip, knee, ankle = (point(side + name) for name in ("Hip", "Knee", "Ankle"))
            thigh, shin = apart(hip, knee), apart(knee, ankle)
            if thigh is not None and shin is not None:
                legs.append(thigh + shin)
        scales = []
        if torso:
            scales.append((torso, _TORSO))
        if legs and max(legs) > 0:
            scales.append((max(legs), _THIGH + _SHIN))
        if not scales:
            across = apart(point("RShoulder"), point("LShoulder"))
            scales = [(across, _SHOULDERS)] if across else []
        if not scales:
            return None
        sizes = [length / share for length, share in scales]
        if min(sizes) < _FORESHORTENED * max(sizes):
            return self._height_m / max(sizes)
        return self._height_m * sum(share for _, share in scales) / sum(length for length, _ in scales)


def _middle(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Between two points; the one that is seen where the other is not, which is off by half the breadth of the body at most."""
    if one is None or other is None:
        return other if one is None else one
    return (one + other) / 2
