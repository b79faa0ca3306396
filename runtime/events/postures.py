"""Rules on how a body is held: a joint's angle, a raised hand, lying, sitting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from posetrt.runtime.errors import UsageError
from posetrt.runtime.events.base import Floats, Meter, Rule, Seen, Ways

Side = Literal["left", "right", "either", "both"]

JOINTS = {
    "elbow": ("Shoulder", "Elbow", "Wrist"),
    "shoulder": ("Hip", "Shoulder", "Elbow"),
    "hip": ("Shoulder", "Hip", "Knee"),
    "knee": ("Hip", "Knee", "Ankle"),
}
"""Joint → the parts whose angle it has."""

TRUNK = (("LShoulder", "LHip"), ("RShoulder", "RHip"), ("LShoulder", "RShoulder", "LHip", "RHip"), ("Neck", "LHip", "RHip"))
"""Sets of parts that show a trunk."""

TRUNK_AND_LEG = (("LShoulder", "LHip", "LKnee"), ("RShoulder", "RHip", "RKnee"), ("Neck", "LHip", "LKnee"), ("Neck", "RHip", "RKnee"))
"""Sets of parts that show how a trunk is held over a leg."""


@dataclass(frozen=True)
class Measured(Meter):
    """A meter that keeps nothing."""

    how: Callable[[Seen], Floats]

    def measure(self, seen: Seen) -> Floats:
        """See `Meter.measure`."""
        return self.how(seen)


def by_sides(side: Side, one: Callable[[str], Floats]) -> Floats:
    """A value of the side wanted: "L" and "R" measured, the larger for either, the smaller for both; what is not seen counts for either alone."""
    if side in ("left", "right"):
        return one(side[0].upper())
    left, right = one("L"), one("R")
    return np.fmax(left, right) if side == "either" else np.minimum(left, right)


def sided(parts: tuple[str, ...], side: Side) -> Ways:
    """The parts with L or R before them, as `Rule.ways` has them."""
    left, right = (tuple(each + part for part in parts) for each in "LR")
    return {"left": (left,), "right": (right,), "either": (left, right), "both": (left + right,)}[side]


@dataclass(frozen=True, kw_only=True)
class Sided(Rule):
    """A rule on an arm or a leg.

    Attributes:
        parts: that it looks at, without their side.
        side: left, right, either or both.
    """

    parts: ClassVar[tuple[str, ...]]
    side: Side = "either"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.side not in get_args(Side):
            raise UsageError(f"side is {', '.join(get_args(Side))}; got {self.side!r}")

    @property
    def ways(self) -> Ways:
        """See `Rule.ways`."""
        return sided(self.parts, self.side)


@dataclass(frozen=True, kw_only=True)
class OnOff(Rule):
    """A rule whose value the user bounds.

    Attributes:
        on, off: from which value on it holds, and below which it is over.
    """

    on: float
    off: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_order(self.on, self.off)

    @property
    def thresholds(self) -> tuple[float, float]:
        """See `Rule.thresholds`."""
        return self.on, self.off


@dataclass(frozen=True, kw_only=True)
class Angle(Sided):
    """A joint that is bent, or stretched.

    Attributes:
        joint: elbow, shoulder, hip or knee.
        above, below: degrees; one of both. 180 is straight.
        hysteresis_deg: how far back the angle must go before the event is over.
    """

    kind: ClassVar[str] = "angle"
    summary: ClassVar[str] = "a joint bent or stretched beyond an angle"
    joint: str = ""
    above: float | None = None
    below: float | None = None
    hysteresis_deg: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joint not in JOINTS:
            raise UsageError(f"joint is {', '.join(JOINTS)}; got {self.joint!r}")
        if (self.above is None) == (self.below is None):
            raise UsageError("an angle is above or below so many degrees: give one of both")
        if not 0 < (self.above or self.below or 0) < 180:
            raise UsageError(f"an angle lies between 0 and 180 degrees; got {self.above if self.below is None else self.below:g}")
        if not 0 <= self.hysteresis_deg < 90:
            raise UsageError(f"hysteresis_deg lies between 0 and 90; got {self.hysteresis_deg:g}")

    @property
    def thresholds(self) -> tuple[float, float]:
        """See `Rule.thresholds`; of an angle below some degrees, with the sign changed."""
        on = self.above if self.above is not None else -float(self.below or 0)
        return on, on - self.hysteresis_deg

    @property
    def ways(self) -> Ways:
        """See `Rule.ways`."""
        return sided(JOINTS[self.joint], self.side)

    def meter(self) -> Meter:
        """See `Rule.meter`."""
        sign, (first, joint, last) = 1 if self.above is not None else -1, JOINTS[self.joint]
        return Measured(
            lambda seen: by_sides(self.side, lambda side: sign * seen.bodies.angle_deg(side + first, side + joint, side + last))
        )


@dataclass(frozen=True, kw_only=True)
class RaisedHand(Sided, OnOff):
    """A wrist above its shoulder, of somebody who does not lie.

    Attributes:
        on, off: how far above, in trunk lengths. The nose is about 0.4 above the shoulders.
    """

    kind: ClassVar[str] = "raised-hand"
    summary: ClassVar[str] = "a wrist well above its shoulder"
    parts: ClassVar[tuple[str, ...]] = ("Shoulder", "Wrist")
    on: float = 0.5
    off: float = 0.3

    def meter(self) -> Meter:
        """See `Rule.meter`."""

        def above(seen: Seen) -> Floats:
            part = seen.bodies.part
            height = by_sides(self.side, lambda side: (part(side + "Shoulder")[:, 1] - part(side + "Wrist")[:, 1]) / seen.unit_px)
            with np.errstate(invalid="ignore"):
                return np.where(seen.bodies.tilt_deg > _UPRIGHT_DEG, 0.0, height)

        return Measured(above)


@dataclass(frozen=True, kw_only=True)
class Lying(OnOff):
    """A trunk that lies, with legs that do not stand.

    Attributes:
        on, off: tilt of the trunk in degrees; 0 is upright, 90 lies.
    """

    kind: ClassVar[str] = "lying"
    summary: ClassVar[str] = "a trunk that lies, and legs that do not stand"
    needs: ClassVar[Ways] = TRUNK
    min_s: float = 0.7
    gap_s: float = 1.0
    on: float = 60.0
    off: float = 45.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 20 <= self.off <= self.on <= 90:
            raise UsageError(f"a lying trunk is tilted by 20 to 90 degrees; got on = {self.on:g}, off = {self.off:g}")

    def meter(self) -> Meter:
        """See `Rule.meter`."""
        return Measured(lying_deg)


_STANDING_LEG = 1.0
"""Hips this far above the ankles, in trunk lengths, stand on them: a bent-over person has 1.7, one on hands and knees the same by the knees."""


def lying_deg(seen: Seen) -> Floats:
    """(N,): by how many degrees a trunk is tilted, up to 90; 0 where the legs stand."""
    tilt = np.minimum(seen.bodies.tilt_deg, 180 - seen.bodies.tilt_deg)
    with np.errstate(invalid="ignore"):
        return np.where(seen.bodies.leg_drop > _STANDING_LEG * seen.unit_px, 0.0, tilt)


@dataclass(frozen=True, kw_only=True)
class Sitting(Rule):
    """Knees about as high as the hips, under an upright trunk.

    Attributes:
        on, off: how far the knees may be below the hips, in trunk lengths, to begin and at the end. A standing person has 0.85.
    """

    kind: ClassVar[str] = "sitting"
    summary: ClassVar[str] = "knees about as high as the hips, under an upright trunk"
    needs: ClassVar[Ways] = TRUNK_AND_LEG
    min_s: float = 0.7
    gap_s: float = 1.0
    on: float = 0.5
    off: float = 0.65

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.on <= self.off < 0.85:
            raise UsageError(
                f"knees of who sits are up to `on` trunk lengths below the hips, and of who stands up more than `off`: "
                f"0 < on <= off < 0.85; got on = {self.on:g}, off = {self.off:g}"
            )

    @property
    def thresholds(self) -> tuple[float, float]:
        """See `Rule.thresholds`; with the sign changed."""
        return -self.on, -self.off

    def meter(self) -> Meter:
        """See `Rule.meter`."""
        return Measured(sitting_drop)


_UPRIGHT_DEG = 50.0
_LEAST_SEAT = 0.65
"""Hips of who sits are this far above the ankles, in trunk lengths; of who squats or kneels they are lower."""
_NOT_AT_ALL = -9.0


def sitting_drop(seen: Seen) -> Floats:
    """(N,): how far the knees are below the hips, in trunk lengths, with the sign changed; far below 0 where the trunk is not upright or
    the hips are near the ground."""
    drop = -seen.bodies.thigh_drop / seen.unit_px
    with np.errstate(invalid="ignore"):
        low = seen.bodies.ankle_drop() < _LEAST_SEAT * seen.unit_px
        tilted = seen.bodies.tilt_deg > _UPRIGHT_DEG
    return np.where(np.isnan(seen.bodies.tilt_deg), np.nan, np.where(low | tilted, _NOT_AT_ALL, drop))


def check_order(on: float, off: float) -> None:
    """Raises: UsageError: values between which a rule would begin and end at once."""
    if not (np.isfinite([on, off]).all() and off <= on):
        raise UsageError(f"a rule begins at `on` and is over below `off`, which is no higher; got on = {on:g}, off = {off:g}")
