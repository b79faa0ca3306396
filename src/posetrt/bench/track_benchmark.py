"""What ids and following are worth on drawn walkers, whose truth is known: switches, bearing, distance, recovery, and what each costs."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from posetrt.calib.scenes.walkers import Moment, Walk, camera_of, walkers
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.track.follow import Follow
from posetrt.runtime.track.tracker import Tracker

_HIDDEN_S = 1.0
"""An id that changes after somebody was hidden for longer is no switch."""
CUES: Mapping[str, dict[str, bool]] = {
    "plain": {},
    "camera motion": {"camera_motion": True},
    "appearance": {"appearance": True},
    "both": {"camera_motion": True, "appearance": True},
}
_SCENES = {"still": Walk(count=6, frames=240), "turns": Walk(count=6, frames=240, moves="turns"), "shakes": Walk(count=6, frames=240, moves="shakes"),
           "still, 8 a second": Walk(count=8, frames=150, fps=8)}  # fmt: skip


def switches(tracker: Tracker, moments: Iterable[Moment]) -> tuple[int, int]:
    """How often a person's id is another than when last seen, at most a second ago, and over how many person-frames (CLEAR MOT's IDSW)."""
    last: dict[int, int] = {}
    seen_s: dict[int, float] = {}
    count = total = 0
    for moment in moments:
        ids = tracker.update(moment.people, moment.time_s, moment.image if tracker.needs_image else None).ids
        assert ids is not None
        for person, got in zip(moment.who.tolist(), ids.tolist(), strict=True):
            count += last.get(person, got) != got and moment.time_s - seen_s[person] <= _HIDDEN_S
            last[person], seen_s[person] = got, moment.time_s
            total += 1
    return count, total


def measure_switches(sequences: int) -> dict[str, Any]:
    """Switches per 1,000 person-frames, by what the camera does and by the cues in use."""
    skeleton, report = load_skeleton("coco18"), {}
    for name, walk in _SCENES.items():
        counts: dict[str, list[tuple[int, int]]] = {cue: [] for cue in CUES}
        for seed in range(sequences):
            moments = list(walkers(replace(walk, seed=seed, pictures=True, size_wh=(640, 360))))
            for cue, options in CUES.items():
                counts[cue].append(switches(Tracker(skeleton, **options), moments))
        totals = {cue: tuple(map(sum, zip(*each, strict=True))) for cue, each in counts.items()}
        report[name] = {
            "person_frames": totals["plain"][1],
            **{f"{cue}_per_1000": round(1000 * count / total, 2) for cue, (count, total) in totals.items()},
        }
    return report


def _truth(place: Any) -> tuple[float, float]:
    """Bearing in degrees and distance in metres of a place in the optical frame."""
    x, y, z = place.tolist()
    return math.degrees(math.atan2(x, z)), math.hypot(x, y, z)


def measure_follow(sequences: int) -> dict[str, Any]:
    """Errors of bearing and distance: people who stand 2 to 15 m away at 1280x720 (70 degrees), statures drawn about 1.72 m, none of them told."""
    skeleton = load_skeleton("coco18")
    bearings, distances = [], []
    for seed in range(20 * sequences):
        walk = Walk(count=1, frames=15, seed=seed, standing=True, near_m=2, far_m=15, size_wh=(1280, 720))
        tracker, follow = Tracker(skeleton), Follow(skeleton, camera_of(walk))
        follow.choose("largest")
        for moment in walkers(walk):
            target = follow.update(tracker.update(moment.people, moment.time_s), moment.time_s)
            if target.seen and target.bearing_deg is not None and target.distance_m is not None:
                bearing, distance = _truth(moment.places[0])
                bearings.append(abs(target.bearing_deg - bearing))
                distances.append(100 * abs(target.distance_m / distance - 1))
    return {"frames": len(bearings), "bearing_error_deg": _spread(bearings), "distance_error_percent": _spread(distances)}


def measure_recovery(sequences: int) -> dict[str, Any]:
    """Who is followed 2 s after the person came out from behind a wall that hid them for 2 s, of three who walk about."""
    skeleton = load_skeleton("coco18")
    report: dict[str, Any] = {}
    for pictures in (True, False):
        found = Counter(_recovered(skeleton, seed, pictures) for seed in range(5 * sequences))
        found.pop("not seen", None)
        report["with pictures" if pictures else "key points alone"] = dict(found) | {
            "right_percent": round(100 * found["right"] / max(1, found.total()), 1)
        }
    return report


def _recovered(skeleton: Skeleton, seed: int, pictures: bool) -> str:
    walk = Walk(count=3, frames=225, seed=seed, obstacle=True, pictures=pictures, size_wh=(480, 270))
    tracker, follow = Tracker(skeleton, appearance=pictures), Follow(skeleton, camera_of(walk))
    chosen, seen_s, out_s, got = False, -math.inf, math.inf, "not seen"
    for moment in walkers(walk):
        image = moment.image if pictures else None
        people = tracker.update(moment.people, moment.time_s, image)
        assert people.ids is not None
        here = bool((moment.who == 0).any())
        if here and not chosen:
            follow.choose(str(int(people.ids[moment.who == 0][0])))
            chosen = True
        if here:
            if moment.time_s - seen_s > 1.8 and math.isfinite(seen_s):
                out_s, got = moment.time_s, "lost"
            seen_s = moment.time_s
        target = follow.update(people, moment.time_s, image)
        if moment.time_s >= out_s and moment.time_s - out_s <= 2 and target.person_id is not None:
            got = "right" if moment.who[people.ids == target.person_id][0] == 0 else "wrong"
    return got


def measure_cost(sequences: int) -> dict[str, Any]:
    """CPU time of a frame with 5 people in view, in ms: medians of this thread's own clock."""
    skeleton = load_skeleton("coco18")
    walk = Walk(count=5, frames=40 * sequences, seed=4, standing=True, near_m=4, far_m=9, fov_deg=100, pictures=True, lose_part=0)
    moments = [moment for moment in walkers(walk) if len(moment.people) >= 4]
    report: dict[str, Any] = {"people": round(float(np.mean([len(moment.people) for moment in moments])), 2)}
    pictures = [moment.image for moment in moments]
    tracked: list[People] = []
    for cue, options in CUES.items():
        tracker = Tracker(skeleton, **options)
        given = [(moment.people, moment.time_s, image if options else None) for moment, image in zip(moments, pictures, strict=True)]
        report[f"tracker, {cue}"], tracked = _timed(tracker.update, given)
    for name, has_image in (("follow", False), ("follow, with pictures", True)):
        follow = Follow(skeleton, camera_of(walk))
        follow.choose("largest")
        given = [(people, moment.time_s, moment.image if has_image else None) for people, moment in zip(tracked, moments, strict=True)]
        report[name], _ = _timed(follow.update, given)
    return report


def _timed(call: Callable[..., Any], given: Iterable[tuple[Any, ...]]) -> tuple[float, list[Any]]:
    """Median of a call in ms, and what the calls gave."""
    times, results = [], []
    for one in given:
        before = time.thread_time()
        results.append(call(*one))
        times.append(time.thread_time() - before)
    return round(1000 * float(np.median(times)), 3), results


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": round(float(np.mean(values)), 3)} | {
        f"p{share}": round(float(np.percentile(values, share)), 3) for share in (50, 90, 99)
    }


PARTS: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "switches": measure_switches,
    "follow": measure_follow,
    "recovery": measure_recovery,
    "cost": measure_cost,
}
