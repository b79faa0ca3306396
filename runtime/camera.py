"""A camera as a pinhole with a lens: pixels to directions and places, and back.

Axes are those of ROS' optical frames (REP 103): x to the right of the picture, y down, z ahead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError


@dataclass(frozen=True)
class Camera:
    """What turns pixels into directions.

    Attributes:
        size_wh: of its pictures, in pixels.
        focal: focal lengths across and down, in pixels.
        centre: the pixel that the optical axis meets; centres of pixels lie at integers.
        distortion: OpenCV's coefficients (k1, k2, p1, p2, k3, ...), as `plumb_bob` and `rational_polynomial` of ROS have them; empty for none.

    Raises:
        UsageError: sizes or focal lengths that no camera has.
    """

    size_wh: tuple[int, int]
    focal: tuple[float, float]
    centre: tuple[float, float]
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        numbers = (*self.focal, *self.centre, *self.distortion)
        if min(self.size_wh) < 1 or not all(math.isfinite(number) for number in numbers) or min(self.focal) <= 0:
            raise UsageError(
                f"a camera has a size of 1 pixel or more, and focal lengths above 0; got {self.size_wh}, focal lengths {self.focal}, "
                f"centre {self.centre}: an uncalibrated camera tells zeros"
            )

    def directions(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, 2) float64: x/z and y/z of the rays through (N, 2) pixels; distortion needs OpenCV."""
        focal, centre = np.array(self.focal), np.array(self.centre)
        if any(self.distortion):
            import cv2

            matrix = np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]])
            points = np.ascontiguousarray(pixels, np.float64).reshape(-1, 1, 2)
            straight: NDArray[np.float64] = np.zeros((0, 2))
            if len(points):
                straight = np.asarray(cv2.undistortPoints(points, matrix, np.array(self.distortion)), np.float64).reshape(-1, 2)
            return straight
        rays: NDArray[np.float64] = (np.asarray(pixels, np.float64) - centre) / focal
        return rays

    def check_frame(self, size_wh: Sequence[int]) -> None:
        """Raises: UsageError: a picture of another size than the camera's."""
        if tuple(size_wh) != self.size_wh:
            raise UsageError(
                f"the camera was calibrated for {self.size_wh[0]}x{self.size_wh[1]} and the picture is {size_wh[0]}x{size_wh[1]}: "
                "give the calibration of this resolution"
            )


@dataclass(frozen=True)
class FieldOfView:
    """All that is known of an uncalibrated camera.

    Attributes:
        degrees: horizontal field of view of the whole sensor.
        crop: share of the sensor's width that the picture shows: 1 also where pixels are binned.

    Raises:
        UsageError: an angle or a share that cannot be.
    """

    degrees: float
    crop: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.degrees < 180 and 0 < self.crop <= 1):
            raise UsageError(
                f"a field of view lies between 0 and 180 degrees, and a crop above 0 up to 1; got {self.degrees:g} and {self.crop:g}"
            )

    def camera(self, size_wh: tuple[int, int]) -> Camera:
        """The ideal camera that gives pictures of a size: square pixels, the axis in the middle."""
        width, height = size_wh
        focal = width / (2 * self.crop * math.tan(math.radians(self.degrees) / 2))
        return Camera(size_wh, (focal, focal), ((width - 1) / 2, (height - 1) / 2))


def bearing_and_elevation(direction: NDArray[np.float64]) -> tuple[float, float]:
    """Angles in degrees of a ray (x/z, y/z): to the right of the optical axis, and up from the plane through it."""
    x, y = direction.tolist()
    return math.degrees(math.atan(x)), math.degrees(math.atan2(-y, math.hypot(x, 1.0)))
