"""Events: what begins and what is over, by people drawn as key points."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from posetrt.bench.events_benchmark import bench_drawn
from posetrt.calib.scenes.body import Build, Pose, joints
from posetrt.runtime.errors import UsageError
from posetrt.runtime.events.base import Event, Rule
from posetrt.runtime.events.motions import Fallen, Wave
from posetrt.runtime.events.places import Line, Zone
from posetrt.runtime.events.postures import Angle, Lying, RaisedHand, Sitting
from posetrt.runtime.events.rules import Rules
from posetrt.runtime.events.watcher import Watcher
from posetrt.runtime.find.boxes import find_part
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People
from tests.runtime.events.test_rules import BODIES

SIZE_WH, HEIGHT_PX, FPS = (1280, 720), 300.0, 20.0
COCO18 = load_skeleton("coco18")
STILL = Pose(arm_spread=(0.12, 0.12))
UP = replace(STILL, arm_swing=(2.9, 0.0))
FLAT = replace(STILL, roll=1.57)
SEAT = replace(STILL, leg_swing=(1.5, 1.5), knee=(1.5, 1.5))
BENT = replace(STILL, lean=1.55, leg_swing=(0.2, 0.2), knee=(0.3, 0.3))


def body(pose: Pose, x: float = 640.0, skeleton: Skeleton = COCO18, lost: Iterable[str] = ()) -> People:
    """One person whose feet stand at x on the ground, in any skeleton; parts that coco18 lacks are not found."""
    spots = joints(Build(), pose)
    spots = (spots[:, :2] - [0, spots[:, 1].max()]) * HEIGHT_PX + [x, 600]
    points = np.zeros((1, len(skeleton.parts), 3), np.float32)
    for number, part in enumerate(COCO18.parts):
        place = find_part(skeleton, part)
        if place is not None and part not in lost:
            points[0, place] = [*spots[number], 0.9]
    return People(points, np.float32([0.9]), np.array([7]), skeleton=skeleton)


def watch(rule: Rule, frames: Iterable[People], skeleton: Skeleton = COCO18) -> list[Event]:
    watcher = Watcher(Rules((replace(rule, name=rule.name or rule.kind),)), skeleton)
    return [event for number, people in enumerate(frames) for event in watcher.update(people, number / FPS, SIZE_WH)]


def lasting(seconds: float, pose: Pose | Callable[[float], Pose], **given) -> list[People]:  # type: ignore[no-untyped-def]
    count = round(seconds * FPS)
    return [body(pose(number / FPS) if callable(pose) else pose, **given) for number in range(count)]


def waving(rate: float) -> Callable[[float], Pose]:
    return lambda time_s: replace(
        STILL, arm_spread=(1.6, 0.1), twist=(-1.57, 0.3), elbow=(1.1 + 0.6 * np.sin(2 * np.pi * rate * time_s), 0.2)
    )


CASES: dict[str, tuple[Rule, list[People]]] = {
    "raised-hand": (RaisedHand(), lasting(1, UP)),
    "raised-hand right": (RaisedHand(side="right"), lasting(1, UP)),
    "wave": (Wave(), lasting(3, waving(1.5))),
    "lying": (Lying(), lasting(2, FLAT)),
    "fallen": (Fallen(), lasting(2, FLAT)),
    "sitting": (Sitting(), lasting(2, SEAT)),
    "angle": (Angle(joint="hip", below=110), lasting(1, BENT)),
}


@pytest.mark.parametrize("name", CASES)
def test_each_event_starts_and_ends_once_between_standing_before_and_after(name: str) -> None:
    rule, does = CASES[name]
    events = watch(rule, lasting(1, STILL) + does + lasting(3, STILL))
    assert [event.state for event in events] == ["start", "end"]
    start, end = events
    assert start.person_id == 7
    assert 1.0 <= start.began_s < 1.0 + len(does) / FPS
    assert start.time_s >= start.began_s + rule.min_s - 1e-9
    # It is over with what was done, told when that is sure.
    assert end.began_s == start.began_s
    assert end.more["lasted_s"] == pytest.approx(1.0 + len(does) / FPS - start.began_s, abs=rule.gap_s + 0.6)


@pytest.mark.parametrize(
    ("rule", "does"),
    [
        (RaisedHand(side="left"), UP),
        (RaisedHand(side="both"), UP),
        (Lying(), BENT),
        (Fallen(), BENT),
        (Sitting(), BENT),
        (Sitting(), FLAT),
        (Sitting(), replace(STILL, leg_swing=(1.75, 1.75), knee=(2.4, 2.4), lean=0.4)),
        (RaisedHand(), FLAT),
        (Wave(), UP),
        (Angle(joint="elbow", below=90), STILL),
    ],
)
def test_what_looks_alike_is_no_event(rule: Rule, does: Pose) -> None:
    assert watch(rule, lasting(1, STILL) + lasting(3, does) + lasting(1, STILL)) == []


def test_who_lies_down_over_a_seat_has_not_fallen() -> None:
    slowly = lasting(1, STILL) + lasting(3, SEAT) + lasting(3, FLAT)
    assert watch(Fallen(), slowly) == []
    assert [event.state for event in watch(Lying(), slowly)] == ["start"]


def test_less_than_the_least_time_is_no_event_and_a_gap_does_not_end_one() -> None:
    assert watch(RaisedHand(min_s=0.5), lasting(1, STILL) + lasting(0.4, UP) + lasting(1, STILL)) == []
    with_gap = lasting(1, UP) + lasting(0.3, STILL) + lasting(1, UP)
    assert [event.state for event in watch(RaisedHand(gap_s=0.5), with_gap)] == ["start"]
    assert [event.state for event in watch(RaisedHand(gap_s=0.1), with_gap)] == ["start", "end", "start"]


def test_a_value_between_both_thresholds_neither_begins_nor_ends() -> None:
    half = next(
        replace(STILL, arm_swing=(swing, 0.0))
        for swing in np.linspace(1.4, 2.9, 60)
        if 0.35 < (-joints(Build(), replace(STILL, arm_swing=(swing, 0.0)))[4, 1] - 0.285) / 0.285 < 0.45
    )
    assert watch(RaisedHand(), lasting(2, half)) == []
    assert [event.state for event in watch(RaisedHand(), lasting(1, UP) + lasting(3, half))] == ["start"]


def test_parts_that_are_missing_neither_begin_nor_end_anything() -> None:
    hidden = lasting(5, UP, lost=("RWrist", "LWrist"))
    assert watch(RaisedHand(), hidden) == []
    assert [event.state for event in watch(RaisedHand(), lasting(1, UP) + hidden)] == ["start"]
    # One shoulder and one hip are enough of a trunk.
    profile = lasting(2, FLAT, lost=("LShoulder", "LHip", "LKnee", "LAnkle", "Neck"))
    assert [event.state for event in watch(Lying(), profile)] == ["start"]


def test_what_somebody_did_who_is_gone_is_over() -> None:
    gone = replace(body(UP), ids=np.array([8]))
    events = watch(RaisedHand(), lasting(1, UP) + [gone.chosen(np.zeros(0, np.intp))] * 60)
    assert [(event.state, event.more.get("lost")) for event in events] == [("start", None), ("end", True)]


@pytest.mark.parametrize("name", BODIES)
def test_rules_find_the_same_whatever_the_body_skeleton(name: str) -> None:
    skeleton = load_skeleton(name)
    for kind, (rule, _) in CASES.items():
        pose = {
            "raised-hand": UP,
            "raised-hand right": UP,
            "wave": waving(1.5),
            "lying": FLAT,
            "fallen": FLAT,
            "sitting": SEAT,
            "angle": BENT,
        }[kind]
        frames = lasting(1, STILL, skeleton=skeleton) + lasting(3, pose, skeleton=skeleton)  # type: ignore[arg-type]
        assert [event.state for event in watch(rule, frames, skeleton)][:1] == ["start"], kind


def walk(*places: float) -> list[People]:
    """Feet at each place for a quarter of a second, and 20 pixels a frame between them."""
    frames = [body(STILL, x=places[0])] * 5
    for start, end in itertools.pairwise(places):
        steps = max(1, int(abs(end - start) / 20))
        frames += [body(STILL, x=start + (end - start) * step / steps) for step in range(1, steps + 1)] + [body(STILL, x=end)] * 5
    return frames


DOWN = Line(start=(0.5, 0.0), end=(0.5, 1.0))
"""From top to bottom: who walks to the right of the picture comes to the left side of who goes down."""


def test_a_line_is_crossed_once_each_way_with_the_direction() -> None:
    events = watch(DOWN, walk(500, 800, 500))
    assert [(event.state, event.more["direction"]) for event in events] == [("once", "to-left"), ("once", "to-right")]
    assert len(watch(replace(DOWN, direction="to-right"), walk(500, 800, 500))) == 1


def test_who_dithers_on_the_line_or_walks_past_its_ends_does_not_cross_it() -> None:
    assert watch(DOWN, walk(500, 645, 630, 648, 632, 500)) == []
    assert watch(replace(DOWN, end=(0.5, 0.5)), walk(500, 800)) == []


def test_a_zone_is_entered_and_left() -> None:
    zone = Zone(polygon=((400, 500), (800, 500), (800, 700), (400, 700)), units="pixels")
    events = watch(zone, walk(300, 600, 1000))
    assert [event.state for event in events] == ["start", "end"]
    assert watch(zone, walk(100, 380)) == []
    assert watch(replace(zone, point="hips"), walk(300, 600, 1000)) == []


def test_a_detectors_boxes_cross_lines_and_enter_zones() -> None:
    boxes = load_skeleton("boxes")

    def at(x: float) -> People:
        box = np.float32([[x - 50, 300, 100, 300]])
        return People(np.zeros((1, 0, 3), np.float32), np.float32([0.9]), np.array([1]), boxes=box, skeleton=boxes)

    frames = [at(x) for x in range(400, 900, 10)]
    assert [event.more["direction"] for event in watch(DOWN, frames, boxes)] == ["to-left"]


def test_people_without_ids_are_told() -> None:
    with pytest.raises(UsageError, match="give people ids"):
        Watcher(Rules((RaisedHand(name="up"),)), COCO18).update(replace(body(UP), ids=None), 0.0, SIZE_WH)


def test_drawn_people_who_do_one_thing_after_the_other_are_understood() -> None:
    rows = {row["kind"]: row for row in bench_drawn([500], lasts_s=25.0, fps=15.0)}
    assert sum(row["truths"] for row in rows.values()) > 10
    for row in rows.values():
        assert row["recall"] is None or row["recall"] >= 0.6
    assert sum(row["events"] * (row["precision"] or 0) for row in rows.values()) >= 0.85 * sum(row["events"] for row in rows.values())
