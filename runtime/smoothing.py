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
        self._parts = parts
        self._least_hz = least_hz
        self._slope = slope
        self._speed_hz = speed_hz
        self._places: dict[int, NDArray[np.float32]] = {}
        self._speeds: dict[int, NDArray[np.float32]] = {}

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
        kept = set(remembered.tolist())
        for gone in [known for known in self._places if known not in kept]:
            del self._places[gone], self._speeds[gone]
        out: NDArray[np.float32] = keypoints.copy()
        speed_share = _share(self._speed_hz, step_s)
        for index, person in enumerate(ids.tolist()):
            raw, found = keypoints[index, :, :2], keypoints[index, :, 2:] > 0
            before = self._places.get(person)
            if before is None:
                before = np.full((self._parts, 2), np.nan, np.float32)
                self._speeds[person] = np.zeros((self._parts, 2), np.float32)
            fresh = np.isnan(before)
            before = np.where(fresh, raw, before)
            present = raw[found[:, 0]]
            size = max(8.0, math.sqrt(float(np.prod(np.ptp(present, axis=0)))) if len(present) else 8.0)
            speed = self._speeds[person] + speed_share * ((raw - before) / step_s - self._speeds[person])
            cutoff = self._least_hz + self._slope * np.linalg.norm(speed, axis=1, keepdims=True) / size
            place = before + (1 / (1 + 1 / (2 * math.pi * cutoff * step_s))) * (raw - before)
            self._places[person] = np.where(found, place, np.float32(np.nan)).astype(np.float32)
            self._speeds[person] = np.where(found, speed, 0).astype(np.float32)
            out[index, :, :2] = np.where(found, place, raw)
        return out


def _share(cutoff_hz: float, step_s: float) -> float:
    """Weight of the new value in exponential smoothing with that cut-off."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))
