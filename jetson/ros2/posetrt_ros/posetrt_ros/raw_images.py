"""sensor_msgs/Image as BGR or depth, without cv_bridge, which brings an OpenCV of its own. Needs no ROS."""

from __future__ import annotations

import sys

import cv2
import numpy as np
from numpy.typing import NDArray

# Encodings of sensor_msgs/image_encodings.hpp: bytes a pixel, and which of them are blue, green and red.
ENCODINGS = {"bgr8": (3, (0, 1, 2)), "rgb8": (3, (2, 1, 0)), "bgra8": (4, (0, 1, 2)), "rgba8": (4, (2, 1, 0)), "mono8": (1, (0, 0, 0))}
# A plane of brightness, then one of colour at half the size each way: as Jetson's camera and decoder give it.
NV12 = "nv12"
# Millimetres and metres (REP 118).
DEPTHS = {"16UC1": np.uint16, "mono16": np.uint16, "32FC1": np.float32}


def to_bgr(encoding: str, height: int, width: int, step: int, data: bytes | bytearray | memoryview) -> NDArray[np.uint8]:
    """The image, (H, W, 3) uint8 BGR.

    Args:
        encoding: of the message.
        height, width: in pixels; of nv12 those of the picture, not of its planes.
        step: bytes a row, which may be longer than its pixels.
        data: of the message.

    Raises:
        ValueError: an encoding that is not known, or sizes that do not fit each other.
    """
    if encoding != NV12 and encoding not in ENCODINGS:
        raise ValueError(f"its encoding is {encoding!r}; expected one of {', '.join((*ENCODINGS, NV12))}")
    depth, order = ENCODINGS.get(encoding, (1, ()))
    pixels = np.frombuffer(data, np.uint8)
    rows = height * 3 // 2 if encoding == NV12 else height
    uneven = encoding == NV12 and (height % 2 or width % 2)
    if height < 1 or width < 1 or uneven or step < width * depth or pixels.size < step * rows:
        raise ValueError(f"{width}x{height} {encoding} with {step} bytes a row does not fit {pixels.size} bytes")
    cut = pixels[: step * rows].reshape(rows, step)[:, : width * depth]
    if encoding == NV12:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(cut), cv2.COLOR_YUV2BGR_NV12), np.uint8)
    return np.ascontiguousarray(cut.reshape(height, width, depth)[..., list(order)])


def to_depth(
    encoding: str, height: int, width: int, step: int, data: bytes | bytearray | memoryview, *, big: bool = False
) -> NDArray[np.generic]:
    """The depth picture: (H, W) uint16 millimetres or float32 metres.

    Args:
        encoding, height, width, step, data: of the message.
        big: whether its numbers have their high byte first (`is_bigendian`).

    Raises:
        ValueError: no encoding of depth, or sizes that do not fit each other.
    """
    if encoding not in DEPTHS:
        raise ValueError(f"its encoding is {encoding!r}; depth was expected as one of {', '.join(DEPTHS)}")
    kind = np.dtype(DEPTHS[encoding])
    size = np.frombuffer(data, np.uint8).size
    if height < 1 or width < 1 or step < width * kind.itemsize or size < step * height:
        raise ValueError(f"{width}x{height} {encoding} with {step} bytes a row does not fit {size} bytes")
    rows = np.frombuffer(data, np.uint8)[: step * height].reshape(height, step)[:, : width * kind.itemsize]
    values = np.ascontiguousarray(rows).view(kind)
    return values.byteswap() if big != (sys.byteorder == "big") else values
