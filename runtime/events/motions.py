"""Rules on how a body moves: waving, falling."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from posetrt.runtime.errors import UsageError
from posetrt.runtime.events.base import Floats, Meter, Seen, Ways
from posetrt.runtime.events.postures import TRUNK_AND_LEG, OnOff, Sided, by_sides, lying_deg


@dataclass(frozen=True, kw_only=True)
class Wave(Sided):
    """A hand above its elbow that goes to and fro.

    Attributes:
        turns: how often the hand must turn within `within_s`: two to and fro are four turns.
        within_s: seconds.
        swing: how far it must go between two turns, in trunk lengths.
    """

    kind: ClassVar[str] = "wave"
    summary: ClassVar[str] = "a hand above its elbow that goes to and fro"
    parts: ClassVar[tuple[str, ...]] = ("Elbow", "Wrist")
    min_s: float = 0.0
    gap_s: float = 0.5
    turns: int = 4
    within_s: float = 2.0
    swing: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.turns <= 50:
            raise UsageError(f"turns are 2 to 50; got {self.turns}")
        if not 0.2 <= self.within_s <= 30:
            raise UsageError(f"within_s lies between 0.2 and 30 seconds; got {self.within_s:g}")
        if not 0.02 <= self.swing <= 2:
            raise UsageError(f"swing lies between 0.02 and 2 trunk lengths; got {self.swing:g}")

    @property
    def thresholds(self) -> tuple[float, float]:
        """See `Rule.thresholds`."""
        return float(self.turns), float(max(1, self.turns // 2))

    def meter(self) -> Meter:
        """See `Rule.meter`."""
        return _Turns(self)


_SMOOTHED_S = 0.06
"""Time in which the smoothed place of a hand follows it: the network's noise is quicker, and waving is slower."""
_LEAST_TURN_S = 0.09
"""Between two turns of a hand, at least: people wave up to 5 times a second."""


@dataclass
class _Hand:
    """One hand's way to and fro: its smoothed place and when that was, the outermost since the last turn, the direction, and when it turned."""

    place: float
    seen_s: float
    outermost: float
    rightward: bool = True
    turned_s: deque[float] = field(default_factory=deque)


class _Turns(Meter):
    """Counts the turns of each hand."""

    def __init__(self, rule: Wave) -> None:
        self._rule = rule
        self._hands: dict[tuple[str, int], _Hand] = {}

    def measure(self, seen: Seen) -> Floats:
        """See `Meter.measure`: turns within the time, 0 while the hand hangs."""
        return by_sides(self._rule.side, lambda side: self._side(side, seen))

    def _side(self, side: str, seen: Seen) -> Floats:
        elbow, wrist = seen.bodies.part(side + "Elbow"), seen.bodies.part(side + "Wrist")
        # Against the shoulders, so that who walks by does not wave; against the elbow where they are not seen.
        base = seen.bodies.middle("Shoulder")
        base = np.where(np.isnan(base), elbow, base)
        place = ((wrist - base)[:, 0] / seen.unit_px).tolist()
        up = ((elbow - wrist)[:, 1] / seen.unit_px).tolist()
        return np.array([self._count(side, *one, seen.time_s) for one in zip(seen.ids, place, up, strict=True)], np.float64)

    def _count(self, side: str, person: int, place: float, up: float, time_s: float) -> float:
        hand = self._hands.get((side, person))
        if place != place or up != up:
            return float("nan")
        if up < 0:
            self._hands.pop((side, person), None)
            return 0.0
        if hand is None:
            self._hands[side, person] = _Hand(place, time_s, place)
            return 0.0
        hand.place += (1 - math.exp((hand.seen_s - time_s) / _SMOOTHED_S)) * (place - hand.place)
        hand.seen_s, place = time_s, hand.place
        ahead = place - hand.outermost if hand.rightward else hand.outermost - place
        if ahead >= 0:
            hand.outermost = place
        elif -ahead >= self._rule.swing:
            hand.outermost, hand.rightward = place, not hand.rightward
            if hand.turned_s and time_s - hand.turned_s[-1] < _LEAST_TURN_S:
                # No arm is so quick: the network is not sure of the wrist.
                hand.turned_s.pop()
            else:
                hand.turned_s.append(time_s)
        while hand.turned_s and hand.turned_s[0] < time_s - self._rule.within_s:
            hand.turned_s.popleft()
        return float(len(hand.turned_s))

    def forget(self, person_id: int) -> None:
        """See `Meter.forget`."""
        for side in "LR":
            self._hands.pop((side, person_id), None)


@dataclass(frozen=True, kw_only=True)
class Fallen(OnOff):
    """Lying, and shortly before on one's legs.

    Attributes:
        on, off: tilt of the trunk in degrees, as of "lying".
        within_s: seconds from standing to lying: who lies down takes longer.
    """

    kind: ClassVar[str] = "fallen"
    summary: ClassVar[str] = "lying, and shortly before on one's legs"
    needs: ClassVar[Ways] = TRUNK_AND_LEG
    min_s: float = 0.7
    gap_s: float = 1.5
    on: float = 60.0
    off: float = 45.0
    within_s: float = 1.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.2 <= self.within_s <= 10:
            raise UsageError(f"within_s lies between 0.2 and 10 seconds; got {self.within_s:g}")

    def meter(self) -> Meter:
        """See `Rule.meter`."""
        return _Falls(self)


_STANDS_DEG = 30.0
_STANDS_DROP = 0.65
"""Knees of who stands are this far below the hips, in trunk lengths, at least."""


class _Falls(Meter):
    """Knows when each person last stood, and who lies since a fall."""

    def __init__(self, rule: Fallen) -> None:
        self._rule = rule
        self._stood_s: dict[int, float] = {}
        self._fell: dict[int, bool] = {}

    def measure(self, seen: Seen) -> Floats:
        """See `Meter.measure`: degrees of who fell, 0 of all others."""
        lying = lying_deg(seen)
        with np.errstate(invalid="ignore"):
            stands = (seen.bodies.tilt_deg < _STANDS_DEG) & (seen.bodies.leg_drop > 2 * _STANDS_DROP * seen.unit_px)
            stands &= ~(seen.bodies.thigh_drop < _STANDS_DROP * seen.unit_px)
        result: Floats = lying.copy()
        for row, (person, degrees, stand) in enumerate(zip(seen.ids, lying.tolist(), stands.tolist(), strict=True)):
            if stand:
                self._stood_s[person] = seen.time_s
            if degrees != degrees:
                continue
            if degrees < self._rule.off:
                self._fell.pop(person, None)
            elif degrees >= self._rule.on and person not in self._fell:
                self._fell[person] = seen.time_s - self._stood_s.get(person, -1e9) <= self._rule.within_s
            if not self._fell.get(person):
                result[row] = 0.0
        return result

    def forget(self, person_id: int) -> None:
        """See `Meter.forget`."""
        self._stood_s.pop(person_id, None)
        self._fell.pop(person_id, None)
