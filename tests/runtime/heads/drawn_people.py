"""People at random places, as heads' tests encode and find them again."""

from __future__ import annotations

import numpy as np

from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

COCO17 = Skeleton(
    "coco17",
    ("Nose", *(f"{side}{part}" for part in ("Eye", "Ear", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle") for side in "LR")),
    (
        *((0, 1), (0, 2), (1, 3), (2, 4), (0, 5), (0, 6), (5, 7), (7, 9), (6, 8), (8, 10)),
        *((5, 11), (6, 12), (11, 13), (13, 15), (12, 14), (14, 16)),
    ),
)

# A standing person, 0 to 1 of its box, in COCO's order.
_STANDING = np.array(
    [
        *((0.5, 0.06), (0.58, 0.03), (0.42, 0.03), (0.68, 0.06), (0.32, 0.06)),
        *((0.82, 0.22), (0.18, 0.22), (0.93, 0.38), (0.07, 0.38), (0.97, 0.54), (0.03, 0.54)),
        *((0.7, 0.54), (0.3, 0.54), (0.72, 0.76), (0.28, 0.76), (0.74, 0.97), (0.26, 0.97)),
    ]
)


def people_in_crops(count: int, size_wh: tuple[int, int], seed: int = 0, parts: int = 17) -> People:
    """One person for each crop, parts anywhere but at its border."""
    random = np.random.default_rng(seed)
    keypoints = np.ones((count, parts, 3), np.float32)
    keypoints[..., :2] = random.uniform(0.1, 0.9, (count, parts, 2)) * np.array(size_wh)
    keypoints[..., 2] = random.uniform(0.4, 1.0, (count, parts))
    return People(keypoints, keypoints[..., 2].mean(axis=1))


def people_in_a_frame(count: int, size_wh: tuple[int, int], height: float, seed: int = 0) -> People:
    """Standing people `height` pixels high in a grid over the frame, moved, stretched and jittered a little."""
    random = np.random.default_rng(seed)
    columns = int(np.ceil(np.sqrt(count * size_wh[0] / size_wh[1] * 2)))
    rows = int(np.ceil(count / columns))
    places = random.permutation(columns * rows)[:count]
    cell = np.array([size_wh[0] / columns, size_wh[1] / rows])
    keypoints = np.ones((count, 17, 3), np.float32)
    for person, place in enumerate(places):
        size = np.array([0.5, 1.0]) * height * random.uniform(0.85, 1.0, 2)
        size = np.minimum(size, cell * 0.85)
        corner = np.array([place % columns, place // columns]) * cell
        corner += random.uniform(0.05, 0.95, 2) * (cell - size)
        keypoints[person, :, :2] = corner + (_STANDING + random.uniform(-0.02, 0.02, (17, 2))) * size
    keypoints[..., 2] = random.uniform(0.7, 1.0, (count, 17))
    return People(keypoints, keypoints[..., 2].mean(axis=1))


def recall_and_error(found: People, truth: People) -> tuple[float, float]:
    """Share of the true parts that lie within 2 pixels of the person found nearest, and the mean distance of those in pixels."""
    if not len(found):
        return float(len(truth) == 0), 0.0
    apart = np.linalg.norm(found.keypoints[None, ..., :2] - truth.keypoints[:, None, :, :2], axis=-1)
    there = found.keypoints[None, ..., 2] > 0
    near = (apart < 2) & there
    best = near.sum(axis=2).argmax(axis=1)
    index = np.arange(len(truth))
    good, distance = near[index, best], apart[index, best]
    return float(good.mean()), float(distance[good].mean()) if good.any() else float("inf")
