"""Key points of several calibrated cameras to points in space: linear, weighted by score, with views that disagree left out.

A camera is its matrix P = K [R | t], which takes a point of the world to x and y in pixels (centres at integers) of an image without lens
distortion; undistort key points first (OpenCV: `cv2.undistortPoints` with `P=K`) where the lens is a wide one.

Sources: Hartley & Sturm, Triangulation, 1997 (the inhomogeneous linear method, which does not depend on the world's origin and units, and
its iteration, which measures residuals in pixels); rows weighted by confidence as in Iskakov et al., arXiv 1905.05754; Hartley &
Zisserman, Multiple View Geometry, 2nd edition, 6.2.3 (depth and its sign).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError

_ROUNDS = 3
_PARALLEL = 1e-9
"""Rays whose normal matrix has a least eigenvalue below this share of its greatest are parallel: their distance is anything."""


@dataclass(frozen=True)
class Points3D:
    """Key points in space.

    Attributes:
        points: (K, 3) float64, in the world's units; zeros for a point not found.
        scores: (K,) float64, the mean score of the views used; 0 for a point not found.
        errors: (K,) float64, px: root mean square of the distances between the key points used and the point seen by their cameras;
            NaN for a point not found.
        used: (V, K) whether a view has part in a point.
    """

    points: NDArray[np.float64]
    scores: NDArray[np.float64]
    errors: NDArray[np.float64]
    used: NDArray[np.bool_]

    @property
    def keypoints(self) -> NDArray[np.float64]:
        """(K, 4): x, y, z, score, as OpenPose's pose_keypoints_3d has them and `People.keypoints_3d` takes them."""
        return np.concatenate([self.points, self.scores[:, None]], axis=1)


def triangulate(
    keypoints: NDArray[np.floating], cameras: NDArray[np.floating], *, max_error_px: float = 10.0, reject: bool = True
) -> Points3D:
    """Find the points in space that V cameras see.

    Each pair of views proposes a point; the one that most views agree with, and these the best, is found again from all views that agree.
    A point is found where more than half of the views that have it agree, at least two: any two rays may pass close by accident, so that two
    of four prove nothing. Of two views that disagree it cannot be told which is wrong, and the point is not found.

    Args:
        keypoints: (V, K, 3): of one person in each view, x, y in pixels and score; score 0 for a part not found there.
        cameras: (V, 3, 4) camera matrices, all of one world, in the order of the views.
        max_error_px: how far a key point may lie from where its camera sees the point; 10 px suit pictures of about 1280x720.
        reject: without, every view that has a point takes part in it.

    Raises:
        UsageError: shapes that do not fit each other, values that are no numbers, a matrix that is no camera, or cameras in one place.
    """
    points, matrices = np.asarray(keypoints, np.float64), np.asarray(cameras, np.float64)
    middle = _check(points, matrices, max_error_px)
    # About the cameras' middle, so that a world whose origin is far away costs no precision.
    matrices = np.concatenate([matrices[..., :3], matrices[..., 3:] + matrices[..., :3] @ middle[:, None]], axis=2)
    # Of a matrix so scaled the third row gives the depth, positive in front of the camera.
    sign = np.sign(np.linalg.det(matrices[..., :3]))
    matrices /= (sign * np.linalg.norm(matrices[:, 2, :3], axis=1))[:, None, None]
    rows = points[:, :, :2, None] * matrices[:, None, None, 2] - matrices[:, None, :2]
    weights = np.maximum(points[..., 2], 0)
    used = weights > 0
    if reject and len(points) > 1:
        used = _agreeing(rows, matrices, points, weights, max_error_px)
    places, determined = _solve(rows, matrices, weights * used)
    away = _away(places, matrices, points)
    count = used.sum(axis=0)
    errors = np.sqrt((np.where(used, away, 0) ** 2).sum(axis=0) / np.maximum(count, 1))
    good = determined & (count >= 2) & np.isfinite(errors)
    if reject:
        good &= count * 2 > (weights > 0).sum(axis=0)
    scores = (weights * used).sum(axis=0) / np.maximum(count, 1)
    return Points3D(np.where(good[:, None], places + middle, 0.0), np.where(good, scores, 0.0), np.where(good, errors, np.nan), used & good)


def _check(points: NDArray[np.float64], cameras: NDArray[np.float64], max_error_px: float) -> NDArray[np.float64]:
    """Refuse what cannot be triangulated; gives the middle of the cameras' places, (3,)."""
    if points.ndim != 3 or points.shape[2] != 3:
        raise UsageError(f"key points are (V, K, 3): x, y, score of each part in each view; got {points.shape}")
    if cameras.ndim != 3 or cameras.shape[1:] != (3, 4):
        raise UsageError(f"cameras are (V, 3, 4), a matrix K [R | t] a view; got {cameras.shape}")
    if len(points) != len(cameras):
        raise UsageError(f"{len(points)} views came with {len(cameras)} camera matrices; give one for each view, in the same order")
    if len(points) < 2:
        raise UsageError(f"a point in space needs two views or more; got {len(points)}")
    if not np.isfinite(points).all() or not np.isfinite(cameras).all():
        raise UsageError("key points and cameras must be finite numbers; a part not found has score 0, x = y = 0")
    if not max_error_px > 0:
        raise UsageError(f"max_error_px must be above 0; got {max_error_px}")
    for number, camera in enumerate(cameras):
        if np.linalg.cond(camera[:, :3]) > 1e12:
            raise UsageError(f"camera {number} is no matrix K [R | t] of a camera: its left 3x3 part has no inverse")
    places = -np.linalg.solve(cameras[..., :3], cameras[..., 3:])[..., 0]
    middle: NDArray[np.float64] = places.mean(axis=0)
    if np.abs(places - middle).max() <= 1e-9 * (1 + np.abs(places).max()):
        raise UsageError(
            "all cameras stand in one place, from where no distance can be seen; give each its own t (the matrices may be of one camera)"
        )
    return middle


def _agreeing(
    rows: NDArray[np.float64],
    matrices: NDArray[np.float64],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    max_error_px: float,
) -> NDArray[np.bool_]:
    """(V, K) the largest set of views that agree on each point; empty where no two do."""
    views, parts = weights.shape
    pairs = np.array(list(combinations(range(views), 2)))
    both = np.zeros((views, len(pairs), 1), bool)
    both[pairs.T, np.arange(len(pairs))] = True

    def for_each_pair(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.tile(values, (1, len(pairs), *[1] * (values.ndim - 2)))

    chosen = (weights[:, None] * both).reshape(views, -1)
    places, determined = _solve(for_each_pair(rows), matrices, chosen)
    away = _away(places, matrices, for_each_pair(points)).reshape(views, len(pairs), parts)
    close = (away <= max_error_px) & (weights > 0)[:, None] & determined.reshape(len(pairs), parts)
    # Of points that as many views agree with the nearer one: what is added to their number is below 1.
    nearness = weights[:, None] * np.where(close, 1 - (np.where(close, away, 0) / max_error_px) ** 2, 0)
    value = close.sum(axis=0) + nearness.sum(axis=0) / (weights.sum(axis=0) + 1e-12)
    value = np.where((close | ~both).all(axis=0), value, 0)
    best = value.argmax(axis=0)
    agreeing = close[:, best, np.arange(parts)] & (value.max(axis=0) > 0)
    # The point from all that agree may bring one in or lose one.
    places, determined = _solve(rows, matrices, weights * agreeing)
    again = (_away(places, matrices, points) <= max_error_px) & (weights > 0) & determined & (agreeing.sum(axis=0) >= 2)
    return np.asarray(np.where(again.sum(axis=0) >= 2, again, agreeing), bool)


def _solve(
    rows: NDArray[np.float64], matrices: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The points (K, 3) of least weighted squares, and (K,) whether the rays fix them.

    Args:
        rows: (V, K, 2, 4) the two equations of each view.
        matrices: (V, 3, 4).
        weights: (V, K); 0 leaves a view out.
    """
    scale = weights
    for _ in range(_ROUNDS):
        scaled = rows * scale[..., None, None]
        left, right = scaled[..., :3], -scaled[..., 3]
        normal = np.einsum("vkri,vkrj->kij", left, left)
        values = np.linalg.eigvalsh(normal)
        determined = values[:, 0] > _PARALLEL * values[:, 2]
        normal[~determined] = np.eye(3)
        places = np.linalg.solve(normal, np.einsum("vkri,vkr->ki", left, right)[..., None])[..., 0]
        depth = np.abs(_depth(places, matrices))
        scale = weights / np.where(depth > 0, depth, 1)
    return places, determined


def _depth(places: NDArray[np.float64], matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(V, K) how far each point lies in front of each camera, in the world's units."""
    return np.asarray(matrices[:, 2, :3] @ places.T + matrices[:, 2, 3:], np.float64)


def _away(places: NDArray[np.float64], matrices: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(V, K) px between each key point and the point seen by its camera; infinite where that is behind the camera."""
    seen = np.einsum("vij,kj->vki", matrices[..., :3], places) + matrices[:, None, :, 3]
    front = seen[..., 2] > 0
    flat = seen[..., :2] / np.where(front, seen[..., 2], 1)[..., None]
    return np.where(front, np.linalg.norm(flat - points[..., :2], axis=2), np.inf)
