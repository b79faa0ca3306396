"""The One-Euro filter: still when the body is still, quick when it moves.

Source: Casiez, Roussel, Vogel: 1€ Filter (CHI 2012): a low-pass filter whose cut-off rises with speed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


class OneEuro:
    """Filters the key points of people known by id.

    Speed is counted in body sizes (the square root of the box's area) a second, so that near and far people are treated alike.

    Args:
        parts: K.
        least_hz: cut-off at rest.
        slope: how much the cut-off rises, in Hz per body size a second.
        speed_hz: cut-off of the speed itself.
    """

    def __init__(self, parts: int, *, least_hz: float = 1.5, slope: float = 12.0, speed_hz: float = 2.0) -> None:
        self._least_hz = least_hz
        self._slope = slope
        self._speed_hz = speed_hz
        # Of the people known, by rising id; a place is NaN where the part was not found.
        self._ids = np.zeros(0, np.int64)
        self._places = np.zeros((0, parts, 2), np.float32)
        self._speeds = np.zeros((0, parts, 2), np.float32)

    def smooth(
        self, ids: NDArray[np.int64], keypoints: NDArray[np.float32], step_s: float, remembered: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Filter one frame.

        Args:
            ids: (N,) of the people.
            keypoints: (N, K, 3) float32; a part with score 0 is forgotten and starts anew when it comes back.
            step_s: since the frame before.
            remembered: ids that may come back; the others are forgotten.

        Returns:
            (N, K, 3) float32, scores unchanged.
        """
        raw, found = keypoints[..., :2], keypoints[..., 2:] > 0
        row = np.searchsorted(self._ids, ids)
        known = row < len(self._ids)
        known[known] = self._ids[row[known]] == ids[known]
        before, speed = raw.copy(), np.zeros_like(raw)
        before[known], speed[known] = self._places[row[known]], self._speeds[row[known]]
        before = np.where(np.isnan(before), raw, before)
        speed += _share(self._speed_hz, step_s) * ((raw - before) / step_s - speed)
        cutoff = self._least_hz + self._slope * np.hypot(speed[..., 0], speed[..., 1]) / _sizes(raw, found)
        place = before + (1 / (1 + 1 / (2 * math.pi * cutoff * step_s)))[..., None] * (raw - before)
        self._remember(ids, np.where(found, place, np.float32(np.nan)), np.where(found, speed, np.float32(0)), remembered)
        out: NDArray[np.float32] = keypoints.copy()
        out[..., :2] = np.where(found, place, raw)
        return out

    def _remember(
        self, ids: NDArray[np.int64], places: NDArray[np.float32], speeds: NDArray[np.float32], remembered: NDArray[np.int64]
    ) -> None:
        away = np.isin(self._ids, remembered) & ~np.isin(self._ids, ids)
        everybody = np.concatenate([self._ids[away], ids])
        order = np.argsort(everybody)
        self._ids = everybody[order]
        self._places = np.concatenate([self._places[away], places])[order]
        self._speeds = np.concatenate([self._speeds[away], speeds])[order]


def _sizes(points: NDArray[np.float32], found: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, 1) square root of the area of each person's box in pixels, at least 8."""
    box = np.where(found, points, np.float32(-1e9)).max(axis=1) - np.where(found, points, np.float32(1e9)).min(axis=1)
    sizes: NDArray[np.float32] = np.sqrt(np.maximum(box, 0).prod(axis=1, keepdims=True))
    np.maximum(sizes, 8, out=sizes)
    return sizes


def _share(cutoff_hz: float, step_s: float) -> float:
    """Weight of the new value in exponential smoothing with that cut-off."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))
