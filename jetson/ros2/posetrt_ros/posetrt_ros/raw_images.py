"""sensor_msgs/Image as BGR, without cv_bridge, which brings an OpenCV of its own. Needs no ROS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Encodings of sensor_msgs/image_encodings.hpp: bytes a pixel, and which of them are blue, green and red.
ENCODINGS = {"bgr8": (3, (0, 1, 2)), "rgb8": (3, (2, 1, 0)), "bgra8": (4, (0, 1, 2)), "rgba8": (4, (2, 1, 0)), "mono8": (1, (0, 0, 0))}


def to_bgr(encoding: str, height: int, width: int, step: int, data: bytes | bytearray | memoryview) -> NDArray[np.uint8]:
    """The image, (H, W, 3) uint8 BGR.

    Args:
        encoding: of the message.
        height, width: in pixels.
        step: bytes a row, which may be longer than its pixels.
        data: of the message.

    Raises:
        ValueError: an encoding that is not known, or sizes that do not fit each other.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"its encoding is {encoding!r}; expected one of {', '.join(ENCODINGS)}")
    depth, order = ENCODINGS[encoding]
    pixels = np.frombuffer(data, np.uint8)
    if height < 1 or width < 1 or step < width * depth or pixels.size < step * height:
        raise ValueError(f"{width}x{height} {encoding} with {step} bytes a row does not fit {pixels.size} bytes")
    rows = pixels[: step * height].reshape(height, step)[:, : width * depth].reshape(height, width, depth)
    return np.ascontiguousarray(rows[..., list(order)])
