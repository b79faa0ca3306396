"""People as hri_msgs/Skeleton2D has them: 18 points, normalised, in its own order. Needs no ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# hri_msgs/Skeleton2D.msg, by posetrt's names of parts. It claims OpenPose's COCO order, but has the eyes and the ears the other way
# round: LEFT_EYE=14, RIGHT_EYE=15, LEFT_EAR=16, RIGHT_EAR=17, where OpenPose has REye, LEye, REar, LEar.
ORDER = (
    *("Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist"),
    *("RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "LEye", "REye", "LEar", "REar"),
)  # fmt: skip


def normalised(keypoints: NDArray[np.float32], parts: Sequence[str], size_wh: tuple[int, int]) -> list[tuple[float, float, float]]:
    """One person's 18 points: x and y from 0 to 1 over the image, and c.

    Args:
        keypoints: (K, 3) x, y in pixels of the image (centres at integers), score.
        parts: name of each; parts that Skeleton2D has not are left out.
        size_wh: of the image.

    Returns:
        Points in Skeleton2D's order; (nan, nan, 0) for a part that was not found, or that the skeleton has not: no place in the
        image can stand for "nowhere".
    """
    places = {name: index for index, name in enumerate(parts)}
    points = []
    for name in ORDER:
        x, y, score = keypoints[places[name]].tolist() if name in places else (0.0, 0.0, 0.0)
        found = score > 0
        points.append(((x + 0.5) / size_wh[0], (y + 0.5) / size_wh[1], min(1.0, score)) if found else (math.nan, math.nan, 0.0))
    return points


def body_name(identity: int, camera: str = "") -> str:
    """The id of a person in ROS names, which may not begin with a digit: ROS4HRI, "body_" and the number; of several cameras with the camera's name."""
    return f"body_{camera}_{identity}" if camera else f"body_{identity}"
