"""How the camera has moved between two pictures: corners of the background, followed by optical flow, agree on a homography.

A camera that turns moves everybody in the picture at once, by more than anybody walks. Lucas and Kanade's flow in a pyramid (Bouguet 2001) on a
small grey picture, RANSAC for the homography: both are OpenCV's.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH = 320
"""Pixels of the picture in which the flow is looked for: 320x180 takes some 2 ms on one core."""
_CORNERS = 120
_FEWEST = 12
"""Corners that must agree; with fewer the camera is taken to stand still."""
_LEAST_SHARE = 0.4
"""Of the followed corners that must agree with the motion found."""
_AWAY_PX = 1.5
_MOST_SCALING = 1.5
"""Nothing comes nearer by more between two frames: such a homography is a wrong one."""


class CameraMotion:
    """Measures the motion from each picture to the next. Give it every frame, in order."""

    def __init__(self) -> None:
        self._before: NDArray[np.uint8] | None = None
        self._scale = 1.0

    def to(self, image: NDArray[np.uint8], boxes: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """Where the background of the picture before is now.

        Args:
            image: (H, W, 3) uint8 BGR.
            boxes: (N, 4) x, y, width, height in pixels of that picture: people in the picture before, who move on their own.

        Returns:
            (3, 3) homography in pixels of the frame; None for the first picture, for one of another size, and where too little agrees.
        """
        before, scale = self._before, image.shape[1] / WIDTH
        height = max(1, round(image.shape[0] / scale))
        # By the nearest pixel: an eighth of the cost of an area's mean, and corners are looked for in both pictures alike.
        step = max(1, int(scale))
        grey = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_BGR2GRAY)
        now = np.asarray(cv2.resize(grey, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
        self._before = now
        if before is None or before.shape != now.shape or scale != self._scale:
            self._scale = scale
            return None
        mask = np.full(before.shape, 255, np.uint8)
        for left, top, width, tall in np.asarray(boxes, np.float64) / scale:
            mask[max(0, int(top)) : max(0, int(top + tall) + 1), max(0, int(left)) : max(0, int(left + width) + 1)] = 0
        corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.01, 8, mask=mask)
        if corners is None or len(corners) < _FEWEST:
            return None
        there, followed, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, None, winSize=(15, 15), maxLevel=4)  # type: ignore[call-overload]
        good = followed.ravel() > 0
        if good.sum() < _FEWEST:
            return None
        found, agree = cv2.findHomography(corners[good], there[good], cv2.RANSAC, _AWAY_PX, maxIters=300, confidence=0.99)
        if found is None or agree.sum() < max(_FEWEST, _LEAST_SHARE * good.sum()):
            return None
        # From pixels of the small picture to those of the frame: centres of pixels lie at integers in both.
        up = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1.0]])
        whole: NDArray[np.float64] = up @ found @ np.linalg.inv(up)
        corners_of_frame = np.array([[0.0, 0], [image.shape[1], 0], [0, image.shape[0]], [image.shape[1], image.shape[0]]])
        scales = scalings(whole, corners_of_frame)
        return whole if np.isfinite(scales).all() and (scales < _MOST_SCALING).all() and (scales > 1 / _MOST_SCALING).all() else None


def carried(matrix: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Places after a motion.

    Args:
        matrix: (3, 3) homography.
        points: (2, ...) x and y.

    Returns:
        (2, ...) float32.
    """
    x, y = points
    below = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    return np.stack(
        [
            (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / below,
            (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / below,
        ]
    ).astype(np.float32)


def scalings(matrix: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much lengths grow at places: the root of the homography's Jacobian determinant; NaN where it turns over."""
    below = at @ matrix[2, :2] + matrix[2, 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt(np.linalg.det(matrix) / below**3), np.float64)
