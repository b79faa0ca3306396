"""Rules on where people are: crossing a line, entering a zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from posetrt.runtime.errors import UsageError
from posetrt.runtime.events.base import Floats, Meter, Rule, Seen
from posetrt.runtime.events.postures import check_order

Point = tuple[float, float]
Units = Literal["share", "pixels"]
Where = Literal["feet", "hips"]
Direction = Literal["any", "to-left", "to-right"]

OFF_LINE = 0.15
"""So far from a line, in trunk lengths, somebody has crossed it."""


def in_pixels(points: tuple[Point, ...], units: Units, size_wh: tuple[int, int]) -> Floats:
    """(M, 2) in pixels of the frame; centres of pixels are at integers."""
    array = np.array(points, np.float64)
    return array * size_wh - 0.5 if units == "share" else array


def check_points(points: tuple[Point, ...], units: str, point: str) -> None:
    """Raises: UsageError: places outside any frame, or options that do not exist."""
    if units not in get_args(Units):
        raise UsageError(f"units is {', '.join(get_args(Units))}; got {units!r}")
    if point not in get_args(Where):
        raise UsageError(f"point is {', '.join(get_args(Where))}; got {point!r}")
    for x, y in points:
        if not np.isfinite([x, y]).all() or abs(x) > 1e6 or abs(y) > 1e6:
            raise UsageError(f"a place is x, y in numbers; got {x}, {y}")
        if units == "share" and not (-0.5 <= x <= 1.5 and -0.5 <= y <= 1.5):
            raise UsageError(
                f'places are shares of the frame\'s width and height, 0 to 1; got {x:g}, {y:g}. For pixels write units = "pixels"'
            )


@dataclass(frozen=True, kw_only=True)
class Line(Rule):
    """Somebody goes over a line.

    Attributes:
        start, end: of the line; in a rules file `from` and `to`.
        units: of both: "share" of the frame's width and height, or "pixels".
        direction: "any"; or "to-left" or "to-right", as somebody sees it who goes from start to end.
        point: of the person: "feet" or "hips".
        margin: trunk lengths that the person must be beyond the line.
    """

    kind: ClassVar[str] = "line"
    summary: ClassVar[str] = "a person goes over a line"
    once: ClassVar[bool] = True
    min_s: float = 0.1
    start: Point = (0.0, 0.0)
    end: Point = (0.0, 0.0)
    units: Units = "share"
    direction: Direction = "any"
    point: Where = "feet"
    margin: float = OFF_LINE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_points((self.start, self.end), self.units, self.point)
        if self.start == self.end:
            raise UsageError("a line goes from one place to another: `from` and `to` differ")
        if self.direction not in get_args(Direction):
            raise UsageError(f"direction is {', '.join(get_args(Direction))}; got {self.direction!r}")
        if not 0 <= self.margin <= 10:
            raise UsageError(f"margin lies between 0 and 10 trunk lengths; got {self.margin:g}")

    @property
    def thresholds(self) -> tuple[float, float]:
        """See `Rule.thresholds`: 1 from a crossing until the person is surely on the other side."""
        return 1.0, 0.5

    def meter(self) -> Meter:
        """See `Rule.meter`."""
        return _Crossings(self)


@dataclass
class _Walk:
    """On which side a person was last for sure and where then; and the way of the crossing under way."""

    side: int
    place: Floats
    crossing: Direction | None = None


class _Crossings(Meter):
    """Knows on which side everybody is."""

    def __init__(self, rule: Line) -> None:
        self._rule = rule
        self._walks: dict[int, _Walk] = {}

    def measure(self, seen: Seen) -> Floats:
        """See `Meter.measure`: 1 while somebody is beyond the line and the event is not told yet."""
        start, end = in_pixels((self._rule.start, self._rule.end), self._rule.units, seen.size_wh)
        along = end - start
        places = seen.bodies.feet() if self._rule.point == "feet" else seen.bodies.hips()
        # Positive to the right of who goes from start to end, as the picture is seen.
        distances = (along[0] * (places[:, 1] - start[1]) - along[1] * (places[:, 0] - start[0])) / np.hypot(*along) / seen.unit_px
        result = np.zeros(len(places))
        for row, (person, distance) in enumerate(zip(seen.ids, distances.tolist(), strict=True)):
            result[row] = self._person(person, distance, places[row], start, along)
        return result

    def _person(self, person: int, distance: float, place: Floats, start: Floats, along: Floats) -> float:
        if distance != distance:
            return float("nan")
        side = 0 if abs(distance) < self._rule.margin else 1 if distance > 0 else -1
        walk = self._walks.get(person)
        if walk is None:
            if side:
                self._walks[person] = _Walk(side, place)
            return 0.0
        if side == 0:
            return 1.0 if walk.crossing else 0.0
        if side == walk.side:
            walk.place, walk.crossing = place, None
            return 0.0
        way: Direction = "to-right" if side > 0 else "to-left"
        wanted = self._rule.direction in ("any", way)
        if walk.crossing is None and not (wanted and _meet(walk.place, place, start, along)):
            # By another way to the other side.
            walk.side, walk.place = side, place
            return 0.0
        walk.crossing = way
        return 1.0

    def details(self, person_id: int) -> Mapping[str, Any]:
        """See `Meter.details`: which way; the crossing is over with it."""
        walk = self._walks[person_id]
        way = walk.crossing
        walk.side, walk.crossing = -walk.side, None
        return {"direction": way}

    def forget(self, person_id: int) -> None:
        """See `Meter.forget`."""
        self._walks.pop(person_id, None)


def _meet(before: Floats, now: Floats, start: Floats, along: Floats) -> bool:
    """Whether the way from one place to the other goes over the line, and not past its ends."""
    step = now - before
    across = step[0] * along[1] - step[1] * along[0]
    if across == 0:
        return False
    at = (step[0] * (before - start)[1] - step[1] * (before - start)[0]) / across
    return bool(0 <= at <= 1)


@dataclass(frozen=True, kw_only=True)
class Zone(Rule):
    """Somebody is in a zone: the event starts when they enter, and ends when they leave.

    Attributes:
        polygon: three corners or more, in order.
        units: of them: "share" of the frame's width and height, or "pixels".
        point: of the person: "feet" or "hips".
        margin: trunk lengths that the person must be inside the edge to enter, and outside to leave.
    """

    kind: ClassVar[str] = "zone"
    summary: ClassVar[str] = "a person is in a zone"
    min_s: float = 0.2
    gap_s: float = 0.2
    polygon: tuple[Point, ...] = ()
    units: Units = "share"
    point: Where = "feet"
    margin: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_points(self.polygon, self.units, self.point)
        if len(set(self.polygon)) < 3:
            raise UsageError(f"a zone has three corners or more: polygon = [[x, y], [x, y], [x, y]]; got {len(self.polygon)}")
        check_order(self.margin, -self.margin)

    @property
    def thresholds(self) -> tuple[float, float]:
        """See `Rule.thresholds`."""
        return self.margin, -self.margin

    def meter(self) -> Meter:
        """See `Rule.meter`."""
        return _Inside(self)


class _Inside(Meter):
    """Measures how far inside the zone people are."""

    def __init__(self, rule: Zone) -> None:
        self._rule = rule

    def measure(self, seen: Seen) -> Floats:
        """See `Meter.measure`: trunk lengths from the zone's edge, negative outside."""
        corners = in_pixels(self._rule.polygon, self._rule.units, seen.size_wh)
        places = seen.bodies.feet() if self._rule.point == "feet" else seen.bodies.hips()
        return inside_px(places, corners) / seen.unit_px


def inside_px(places: Floats, corners: Floats) -> Floats:
    """(N,): distance of places (N, 2) from the edge of a polygon (M, 2), negative outside; NaN for NaN."""
    edges = np.roll(corners, -1, axis=0) - corners
    away = places[:, None] - corners
    length = np.maximum((edges**2).sum(axis=1), 1e-12)
    at = np.clip((away * edges).sum(axis=2) / length, 0, 1)
    distance = np.hypot(*(away - at[..., None] * edges).transpose(2, 0, 1)).min(axis=1)
    # Crossings of the ray to the right: odd inside.
    after = np.roll(corners, -1, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spans = (corners[:, 1] > places[:, 1:]) != (after[:, 1] > places[:, 1:])
        x = corners[:, 0] + (places[:, 1:] - corners[:, 1]) / edges[:, 1] * edges[:, 0]
        inside = (spans & (places[:, :1] < x)).sum(axis=1) % 2 == 1
    return np.where(np.isnan(places[:, 0]), np.nan, np.where(inside, distance, -distance))
