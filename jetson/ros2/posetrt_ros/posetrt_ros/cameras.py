"""sensor_msgs/CameraInfo as a camera. Needs no ROS."""

from __future__ import annotations

from typing import Any

from posetrt.runtime.camera import Camera

_MODELS = ("", "plumb_bob", "rational_polynomial")
"""Distortion models whose coefficients are OpenCV's."""


def camera_of(info: Any) -> Camera:
    """The camera that a CameraInfo describes, for the picture as it comes from the sensor (K and D).

    Raises:
        ValueError: a distortion model that is not known, or binning.
        UsageError: numbers that no camera has: an uncalibrated driver tells zeros.
    """
    if info.distortion_model not in _MODELS:
        raise ValueError(f"its distortion model is {info.distortion_model!r}; expected one of {', '.join(_MODELS[1:])}")
    if max(info.binning_x, info.binning_y) > 1:
        raise ValueError(f"it is of a picture binned {info.binning_x}x{info.binning_y}; give the CameraInfo of the published picture")
    k = [float(number) for number in info.k]
    return Camera((int(info.width), int(info.height)), (k[0], k[4]), (k[2], k[5]), tuple(float(number) for number in info.d))
