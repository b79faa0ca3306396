"""Watches the people of one source for events: hysteresis, minimum times, and people who come and go."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.events.base import Event, Meter, Rule, Seen
from posetrt.runtime.events.bodies import Bodies, part_numbers
from posetrt.runtime.events.rules import Rules
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

_SETTLES_S = 0.5
"""Time in which a body's unit follows what is measured."""


@dataclass
class _State:
    """One rule of one person.

    Attributes:
        began_s: since when it holds; None while it does not.
        on: the event was told.
        failed_s: since when it fails within the event; None while it holds.
    """

    began_s: float | None = None
    on: bool = False
    failed_s: float | None = None


class Watcher:
    """Looks for events in the frames of one source, in order.

    Args:
        rules: the events.
        skeleton: of the people.

    Raises:
        UsageError: the skeleton lacks what a rule looks at.
    """

    def __init__(self, rules: Rules, skeleton: Skeleton) -> None:
        rules.check(skeleton)
        self._rules, self._parts = rules, part_numbers(skeleton)
        self._meters: list[tuple[Rule, Meter, dict[int, _State]]] = [(rule, rule.meter(), {}) for rule in rules.rules]
        self._seen_s: dict[int, float] = {}
        self._units: dict[int, float] = {}
        self._now_s: float | None = None

    def update(self, people: People, time_s: float, size_wh: tuple[int, int]) -> list[Event]:
        """What begins and what is over in a frame.

        Args:
            people: with ids, in pixels of the frame.
            time_s: of the frame.
            size_wh: of the frame.

        Raises:
            UsageError: people without ids.
        """
        if people.ids is None:
            raise UsageError("events are of people who are followed from frame to frame: give people ids, as a Tracker does")
        if self._now_s is not None and time_s < self._now_s:
            # A source that begins anew.
            for person in list(self._seen_s):
                self._forget(person)
        bodies, ids = Bodies(people, self._parts, self._rules.least_score), people.ids.tolist()
        seen = Seen(bodies, ids, time_s, size_wh, self._settled(bodies, ids, time_s))
        self._seen_s.update(dict.fromkeys(ids, time_s))
        self._now_s = time_s
        events: list[Event] = []
        for rule, meter, states in self._meters:
            on, off = rule.thresholds
            for person, value in zip(ids, meter.measure(seen).tolist(), strict=True):
                event = _step(rule, meter, states, person, value, time_s, on, off)
                if event is not None:
                    events.append(event)
        return events + self._lost(time_s)

    def _settled(self, bodies: Bodies, ids: list[int], time_s: float) -> NDArray[np.float64]:
        """(N,) each body's unit, settled over time: a part that jumps for a frame must not change how large somebody is."""
        measured = bodies.unit_px.tolist()
        for row, person in enumerate(ids):
            before = self._units.get(person)
            if measured[row] == measured[row]:
                step = time_s - self._seen_s.get(person, time_s)
                share = 1 - math.exp(-step / _SETTLES_S)
                self._units[person] = measured[row] if before is None else before + share * (measured[row] - before)
        return np.array([self._units.get(person, np.nan) for person in ids], np.float64)

    def _lost(self, time_s: float) -> list[Event]:
        """The ends of what people did who have not been seen for long."""
        events = []
        for person in [person for person, seen_s in self._seen_s.items() if time_s - seen_s > self._rules.lost_s]:
            for rule, _, states in self._meters:
                state = states.get(person)
                if state is not None and state.on and state.began_s is not None:
                    events.append(Event(rule.name, rule.kind, "end", person, time_s, state.began_s, None, {"lost": True}))
            self._forget(person)
        return events

    def _forget(self, person: int) -> None:
        self._seen_s.pop(person, None)
        self._units.pop(person, None)
        for _, meter, states in self._meters:
            states.pop(person, None)
            meter.forget(person)


def _step(
    rule: Rule, meter: Meter, states: dict[int, _State], person: int, value: float, time_s: float, on: float, off: float
) -> Event | None:
    """One person's value in one frame; what is not seen neither begins nor ends anything."""
    state = states.get(person)
    if value != value or (state is None and value < on):
        return None
    if state is None:
        state = states[person] = _State(time_s)
    if not state.on:
        if value < off:
            del states[person]
            return None
        assert state.began_s is not None
        if time_s - state.began_s < rule.min_s:
            return None
        if rule.once:
            del states[person]
            return Event(rule.name, rule.kind, "once", person, time_s, state.began_s, value, meter.details(person))
        state.on = True
        return Event(rule.name, rule.kind, "start", person, time_s, state.began_s, value, meter.details(person))
    if value >= off:
        state.failed_s = None
        return None
    if state.failed_s is None:
        state.failed_s = time_s
    if time_s - state.failed_s < rule.gap_s:
        return None
    assert state.began_s is not None
    del states[person]
    return Event(rule.name, rule.kind, "end", person, time_s, state.began_s, value, {"lasted_s": round(state.failed_s - state.began_s, 4)})
