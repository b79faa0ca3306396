"""How well events are found: drawn motions with their truth, and what a video of nothing of the kind sets off."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.scenes.motions import LANES, LINE_X, SIZE_WH, ZONE_X, Truth, scene
from posetrt.runtime.events.base import Event
from posetrt.runtime.events.motions import Fallen, Wave
from posetrt.runtime.events.places import Line, Zone
from posetrt.runtime.events.postures import Angle, Lying, RaisedHand, Sitting
from posetrt.runtime.events.rules import Rules
from posetrt.runtime.events.watcher import Watcher
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.pose import Pose
from posetrt.runtime.sources.base import Source
from posetrt.runtime.track.tracker import Tracker

EARLY_S, LATE_S = 0.5, 0.5
"""An event may begin so much before and after what the scene calls its time: motions have no sharp ends."""

BODY_RULES = (
    RaisedHand(name="raised-hand"),
    Wave(name="wave"),
    Lying(name="lying"),
    Fallen(name="fallen"),
    Sitting(name="sitting"),
)
"""Rules with the values that they have unless a rules file gives others."""


@dataclass
class Score:
    """What became of one kind's events.

    Attributes:
        truths, found: things that were done, and those of them that an event told.
        events, false: events, and those of them that told nothing that was done.
        delays_s: from the beginning of what was done to the event, of those found.
    """

    truths: int = 0
    found: int = 0
    events: int = 0
    false: int = 0
    delays_s: list[float] = field(default_factory=list)

    def row(self, kind: str, hours: float) -> dict[str, Any]:
        """Plain values for a table."""
        return {
            "kind": kind,
            "truths": self.truths,
            "events": self.events,
            "precision": (self.events - self.false) / self.events if self.events else None,
            "recall": self.found / self.truths if self.truths else None,
            "false_per_person_hour": self.false / hours,
            "delay_s": statistics.median(self.delays_s) if self.delays_s else None,
        }


def bench_drawn(seeds: Sequence[int], lasts_s: float = 60.0, fps: float = 20.0, *, noise: float = 0.008) -> list[dict[str, Any]]:
    """Precision and recall of each kind, on five drawn people a scene who are followed by the tracker.

    Args:
        seeds: of the scenes.
        lasts_s: seconds of each.
        fps: frames a second.
        noise: of each part's place, in body heights.
    """
    scores = {kind: Score() for kind in ("raised-hand", "wave", "lying", "fallen", "sitting", "line", "zone")}
    for seed in seeds:
        truths, events = _scene(seed, lasts_s, fps, noise)
        for kind, score in scores.items():
            _judge(score, kind, truths, [each for each in events if each[1].kind == kind])
    hours = len(seeds) * lasts_s * LANES / 3600
    return [score.row(kind, hours) for kind, score in scores.items()]


def _scene(seed: int, lasts_s: float, fps: float, noise: float) -> tuple[list[Truth], list[tuple[int, Event]]]:
    """What five people did, and (lane, event) of what was found."""
    skeleton = load_skeleton("coco18")
    tracker, watcher = Tracker(skeleton), Watcher(Rules((*BODY_RULES, *_places())), skeleton)
    truths, moments = scene(seed, lasts_s, fps, noise=noise)
    events: list[tuple[int, Event]] = []
    lane_of: dict[int, int] = {}
    feet, trunks = [], np.zeros(LANES)
    for moment in moments:
        people = tracker.update(moment.people, moment.time_s)
        assert people.ids is not None
        # The tracker keeps the order of the people.
        lane_of.update(zip(people.ids.tolist(), moment.lanes.tolist(), strict=True))
        events += [(lane_of[event.person_id], event) for event in watcher.update(people, moment.time_s, SIZE_WH) if event.state != "end"]
        feet.append(moment.feet_x)
        trunks = moment.trunks
    return truths + _crossings(np.array(feet), trunks, fps), events


def _places() -> list[Line | Zone]:
    """A line and a zone in each lane."""
    rules: list[Line | Zone] = []
    for lane in range(LANES):
        line, zone, end = ((lane + share) / LANES for share in (LINE_X, ZONE_X, 1.0))
        rules.append(Line(name=f"line {lane}", start=(line, 0.0), end=(line, 1.0)))
        rules.append(Zone(name=f"zone {lane}", polygon=((zone, 0.0), (end, 0.0), (end, 1.0), (zone, 1.0))))
    return rules


def _crossings(feet: NDArray[np.float64], trunks: NDArray[np.float64], fps: float) -> list[Truth]:
    """When (F, 5) feet without noise went over the line, and were in the zone, by the rules' margins."""
    found = []
    for lane in range(LANES):
        for kind, at, margin in (("line", LINE_X, Line.margin), ("zone", ZONE_X, Zone.margin)):
            side, since = None, 0.0
            for frame, x in enumerate(feet[:, lane].tolist()):
                now = x > at if abs(x - at) >= margin * trunks[lane] else side
                if now == side:
                    continue
                if kind == "line" and side is not None:
                    found.append(Truth(kind, lane, frame / fps, frame / fps))
                if kind == "zone" and side and not now:
                    found.append(Truth(kind, lane, since, frame / fps))
                side, since = now, frame / fps
            if kind == "zone" and side:
                found.append(Truth(kind, lane, since, len(feet) / fps))
    return found


def _judge(score: Score, kind: str, truths: Sequence[Truth], events: Sequence[tuple[int, Event]]) -> None:
    """Give each thing done the first event that tells it; what is left over is false."""
    left = sorted((truth for truth in truths if truth.kind == kind), key=lambda truth: truth.start_s)
    score.truths += sum(not truth.passing for truth in left)
    for lane, event in sorted(events, key=lambda each: each[1].began_s):
        at = event.began_s
        mine = [truth for truth in left if truth.person == lane and truth.start_s - EARLY_S <= at <= truth.end_s + LATE_S]
        if mine and mine[0].passing:
            continue
        score.events += 1
        if mine:
            left.remove(mine[0])
            score.found += 1
            score.delays_s.append(event.time_s - mine[0].start_s)
        else:
            score.false += 1


def bench_video(pose: Pose, source: Source) -> dict[str, Any]:
    """What the events of bodies come to on a video: each event, and how often one of each kind begins, a frame and an hour."""
    rules, events, last_s, frames, people = Rules(BODY_RULES), list[dict[str, Any]](), 0.0, 0, 0
    for result in pipeline.results(pose, source, options=pipeline.Options(track=True, events=rules)):
        frames, people, last_s = frames + 1, people + len(result.people), result.frame.time_s
        events += [event.to_dict() for event in result.events or () if event.state != "end"]
    hours = last_s / 3600
    rows = [
        {
            "kind": rule.kind,
            "events": (count := sum(each["kind"] == rule.kind for each in events)),
            "per_hour": count / hours if hours else None,
        }
        for rule in BODY_RULES
    ]
    return {"frames": frames, "people": people, "seconds": last_s, "rows": rows, "events": events}


def bench_cost(people: int = 5, frames: int = 600) -> dict[str, float]:
    """Milliseconds a frame of eight rules, one of each kind, for so many people of a drawn scene; and of the tracker beside it."""
    skeleton = load_skeleton("coco18")
    angle = Angle(name="elbow", joint="elbow", below=90.0)
    tracker, watcher = Tracker(skeleton), Watcher(Rules((*BODY_RULES, angle, *_places()[:2])), skeleton)
    spent: list[tuple[float, float]] = []
    for moment in scene(0, frames / 20)[1]:
        seen = moment.people.chosen(np.arange(people))
        began = time.perf_counter()
        followed = tracker.update(seen, moment.time_s)
        between = time.perf_counter()
        watcher.update(followed, moment.time_s, SIZE_WH)
        spent.append((between - began, time.perf_counter() - between))
    tracking, watching = np.array(spent[frames // 10 :]).T * 1000
    return {
        "people": people,
        "rules": 8,
        "events_ms": float(np.median(watching)),
        "events_p99_ms": float(np.percentile(watching, 99)),
        "tracker_ms": float(np.median(tracking)),
    }
