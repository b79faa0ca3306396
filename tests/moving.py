"""People who walk through a picture, drawn as key points: what a tracker sees, with the truth beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.people import People

# A standing body in the order of coco18, in units of its height, feet at 0: x to the right, y down.
_BODY = np.array(
    [
        [0, -0.92], [0, -0.80], [-0.11, -0.79], [-0.14, -0.62], [-0.15, -0.47], [0.11, -0.79], [0.14, -0.62], [0.15, -0.47], [-0.07, -0.52],
        [-0.08, -0.27], [-0.08, -0.03], [0.07, -0.52], [0.08, -0.27], [0.08, -0.03], [-0.02, -0.94], [0.02, -0.94], [-0.05, -0.93], [0.05, -0.93],
    ],
    np.float32,
)  # fmt: skip


def walkers(count: int, frames: int, *, seed: int = 0, fps: float = 30.0, noise_px: float = 2.0, hide: float = 0.0, lose_part: float = 0.1):
    """Walkers who cross each other's ways at their own depth, speed and stride.

    Args:
        hide: share of a second in which nearer people hide farther ones whose middle they cover; 0 hides nobody.
        lose_part: how often the network misses a part.

    Yields:
        (time_s, People in a shuffled order, true identity of each).
    """
    random = np.random.default_rng(seed)
    height = random.uniform(150, 420, count)
    feet = 300 + height * 0.95
    start, speed = random.uniform(0, 1280, count), random.uniform(40, 160, count) * random.choice([-1, 1], count)
    phase = random.uniform(0, 6, count)
    for frame in range(frames):
        time_s = frame / fps
        # They turn at the edges, so that they meet again and again.
        x = np.abs((start + speed * time_s) % 2560 - 1280)
        points = np.zeros((count, 18, 3), np.float32)
        for person in range(count):
            swing = 0.06 * np.sin(2 * np.pi * 1.8 * time_s + phase[person])
            body = _BODY.copy()
            for part, weight in ((4, 1), (3, 0.5), (7, -1), (6, -0.5), (10, -1.5), (9, -0.7), (13, 1.5), (12, 0.7)):
                body[part, 0] += swing * weight
            points[person, :, :2] = body * height[person] + (x[person], feet[person])
        points[..., :2] += random.normal(0, noise_px, points[..., :2].shape)
        points[..., 2] = np.where(random.random((count, 18)) < lose_part, 0, 0.8)
        points[points[..., 2] == 0] = 0
        seen = np.ones(count, bool)
        if hide:
            for far in range(count):
                nearer = (height > height[far] * 1.15) & (np.abs(x - x[far]) < hide * height)
                seen[far] = not nearer.any()
        order = random.permutation(np.flatnonzero(seen))
        yield time_s, _people(points[order]), order


def _people(points: NDArray[np.float32]) -> People:
    return People(points, np.full(len(points), 0.7, np.float32))
