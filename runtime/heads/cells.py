"""From cells of a map to pixels of the network's input: centres of both at integers, so a cell x lies at (x + 0.5) * stride - 0.5."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from posetrt.runtime.errors import UsageError
from posetrt.runtime.people import People


def check_stride(kind: str, stride: object) -> None:
    """Refuse what is no stride.

    Raises:
        UsageError: not a whole number from 1 to 256.
    """
    if not isinstance(stride, int) or isinstance(stride, bool) or not 1 <= stride <= 256:
        raise UsageError(f"head {kind!r}: stride is a whole number of pixels from 1 to 256; got {stride!r}")


def in_pixels(people: People, stride: int) -> People:
    """People in cells as people in pixels of the network's input; a part with score 0 stays at 0, 0."""
    keypoints = people.keypoints.copy()
    keypoints[..., :2] = (people.keypoints[..., :2] + np.float32(0.5)) * np.float32(stride) - np.float32(0.5)
    keypoints[people.keypoints[..., 2] <= 0] = 0
    return replace(people, keypoints=keypoints)
