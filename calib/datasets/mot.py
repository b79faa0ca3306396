"""CLEAR MOT (Bernardin & Stiefelhagen, 2008): what a tracker missed, made up and mixed up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.packages import install_hint

_FORBIDDEN = 1e6
"""Farther than any pair that may be joined, so that a matching joins as many as it can before it looks at distances."""


@dataclass(frozen=True)
class MotCounts:
    """Counts over frames: objects annotated, misses, false alarms, switches of id, and the sum of distances of the pairs joined."""

    objects: int = 0
    misses: int = 0
    false_alarms: int = 0
    switches: int = 0
    distance: float = 0.0

    def __add__(self, other: MotCounts) -> MotCounts:
        return MotCounts(
            self.objects + other.objects,
            self.misses + other.misses,
            self.false_alarms + other.false_alarms,
            self.switches + other.switches,
            self.distance + other.distance,
        )

    @property
    def mota(self) -> float | None:
        """1 less the errors an object; below 0 where there are more errors than objects; None without objects."""
        return 1 - (self.misses + self.switches + self.false_alarms) / self.objects if self.objects else None

    @property
    def motp(self) -> float | None:
        """1 less the mean distance of the pairs joined, as the PoseTrack evaluation has it; None where none was."""
        joined = self.objects - self.misses
        return 1 - self.distance / joined if joined else None


def clear_mot(frames: Iterable[tuple[Sequence[int], Sequence[int], NDArray[np.float64]]]) -> MotCounts:
    """Count the errors of one sequence.

    A pair joined before stays joined where it still may; the others are matched by least distance. A new partner of somebody who had
    another is a switch, however long ago that was.

    Args:
        frames: for each the annotated ids, the ids found, and the distances (annotated, found); NaN where a pair must not be joined.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ModuleNotFoundError as error:
        raise PosetrtError(f"MOTA needs the package scipy: {install_hint('scipy')}") from error
    partner: dict[int, int] = {}
    total = MotCounts()
    for truth, found, distances in frames:
        open_pairs = np.array(distances, np.float64).reshape(len(truth), len(found))
        joined, distance, switches = 0, 0.0, 0
        for row, one in enumerate(truth):
            if one in partner and partner[one] in found:
                column = list(found).index(partner[one])
                if np.isfinite(open_pairs[row, column]):
                    joined, distance = joined + 1, distance + open_pairs[row, column]
                    open_pairs[row, :] = open_pairs[:, column] = np.nan
        for row, column in zip(*linear_sum_assignment(np.nan_to_num(open_pairs, nan=_FORBIDDEN)), strict=True):
            if np.isfinite(open_pairs[row, column]):
                joined, distance = joined + 1, distance + open_pairs[row, column]
                switches += partner.get(truth[row], found[column]) != found[column]
                partner[truth[row]] = found[column]
        total += MotCounts(len(truth), len(truth) - joined, len(found) - joined, switches, float(distance))
    return total
