"""What a rule is, and what it gives."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.events.bodies import Bodies

Floats = NDArray[np.float64]
State = Literal["start", "end", "once"]
Ways = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Event:
    """Something that a person did.

    Attributes:
        name: of the rule.
        kind: of the rule.
        state: "start" when it is sure, "end" when it is over; "once" for what has no length, as crossing a line.
        person_id: the tracker's.
        time_s: of the frame in which that became sure.
        began_s: of the frame in which it began.
        value: what the rule measured in that frame, in its own unit; None where the person is not seen any more.
        more: what the kind tells beside that.
    """

    name: str
    kind: str
    state: State
    person_id: int
    time_s: float
    began_s: float
    value: float | None
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `json.dumps` takes them."""
        return {
            "event": self.name,
            "kind": self.kind,
            "state": self.state,
            "person_id": self.person_id,
            "time_s": round(self.time_s, 4),
            "began_s": round(self.began_s, 4),
            "value": None if self.value is None else round(self.value, 3),
            **self.more,
        }


@dataclass(frozen=True)
class Seen:
    """What a rule may look at in a frame.

    Attributes:
        bodies: measures of the people.
        ids: (N,) of the people, as a list.
        time_s: of the frame.
        size_wh: of the frame, in pixels.
        unit_px: (N,) length of each body's trunk, settled over time; NaN where unknown.
    """

    bodies: Bodies
    ids: list[int]
    time_s: float
    size_wh: tuple[int, int]
    unit_px: Floats


class Meter(abc.ABC):
    """Measures one rule's people from frame to frame. Each source has its own."""

    @abc.abstractmethod
    def measure(self, seen: Seen) -> Floats:
        """(N,) float64: how far the rule holds for each person, in the rule's unit; NaN where that cannot be seen."""

    def details(self, person_id: int) -> Mapping[str, Any]:  # noqa: ARG002 for kinds that tell some
        """What an event of this person tells beside its value."""
        return {}

    def forget(self, person_id: int) -> None:  # noqa: B027 most kinds keep nothing
        """Whoever is gone for good."""


@dataclass(frozen=True, kw_only=True)
class Rule(abc.ABC):
    """One rule: a person's value must reach `on`, and hold for `min_s`; the event is over when it stays below `off` for `gap_s`.

    Attributes:
        kind: name of the kind, as in a rules file.
        summary: what the kind finds, in a few words.
        needs: sets of parts, each of which is enough, where they are the same for every rule of the kind; none where boxes do.
        name: of its events.
        min_s: for how long it must hold before it is an event.
        gap_s: for how long it may fail within an event.
    """

    kind: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[Ways] = ()
    once: ClassVar[bool] = False
    """Events have no length: they are told when they begin."""

    name: str = ""
    min_s: float = 0.3
    gap_s: float = 0.5

    def __post_init__(self) -> None:
        for each in ("min_s", "gap_s"):
            if not 0 <= getattr(self, each) <= 3600:
                raise UsageError(f"{each} lies between 0 and 3600 seconds; got {getattr(self, each):g}")

    @property
    @abc.abstractmethod
    def thresholds(self) -> tuple[float, float]:
        """From which value on it holds, and below which it is over."""

    @property
    def ways(self) -> Ways:
        """The sets of parts that this rule needs, each of which is enough."""
        return self.needs

    @abc.abstractmethod
    def meter(self) -> Meter:
        """A meter for one source."""
