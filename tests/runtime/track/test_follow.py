"""Bearing and distance against drawn people whose truth is known; lost, and found again as the right person."""

from __future__ import annotations

import math

import numpy as np
import pytest

from posetrt.bench.track_benchmark import measure_follow
from posetrt.calib.scenes.walkers import Moment, Walk, camera_of, walkers
from posetrt.runtime.camera import FieldOfView
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People, nobody
from posetrt.runtime.track.follow import Follow, FollowOptions, Target
from posetrt.runtime.track.tracker import Tracker

SKELETON = load_skeleton("coco18")


def test_standing_people_are_within_half_a_degree_and_a_tenth_of_the_distance() -> None:
    report = measure_follow(2)
    assert report["frames"] > 300
    assert report["bearing_error_deg"]["p90"] <= 0.5
    assert report["distance_error_percent"]["mean"] <= 10


def test_a_known_height_makes_the_distance_better_and_depth_better_still() -> None:
    walk = Walk(count=1, frames=20, seed=5, standing=True, near_m=6, far_m=7)
    errors = {}
    for name, height_m in (("usual", 1.70), ("tall", 2.2)):
        follow = Follow(SKELETON, camera_of(walk), FollowOptions(height_m=height_m))
        errors[name] = _last(follow, walk).distance_m
    assert errors["tall"] / errors["usual"] == pytest.approx(2.2 / 1.7, rel=1e-3)  # type: ignore[operator]
    follow = Follow(SKELETON, camera_of(walk))
    depth = np.full((walk.size_wh[1], walk.size_wh[0]), 4000, np.uint16)
    target = _last(follow, walk, depth)
    assert target.distance_from == "depth"
    x = math.tan(math.radians(target.bearing_deg or 0))
    assert target.distance_m == pytest.approx(4.0 * math.hypot(x, 1), rel=0.02)


def _last(follow: Follow, walk: Walk, depth: np.ndarray | None = None) -> Target:
    tracker = Tracker(SKELETON)
    follow.choose("largest")
    for moment in walkers(walk):
        follow.update(tracker.update(moment.people, moment.time_s), moment.time_s, depth=depth)
    return follow.target


def _two(time_s: float, ids: tuple[int, ...], at: tuple[int, ...]) -> Moment:
    """People side by side, each at one of three places."""
    one = next(iter(walkers(Walk(count=1, frames=1, seed=2, standing=True, lose_part=0, noise_px=0)))).people.keypoints[0]
    points = np.stack([one + np.float32([220 * place - one[:, 0].mean(), 0, 0]) for place in at]) if at else np.zeros((0, 18, 3))
    people = People(points.astype(np.float32), np.ones(len(ids), np.float32), ids=np.array(ids, np.int64))
    return Moment(time_s, people, np.array(at), np.zeros((0, 3)), np.zeros((540, 960, 3), np.uint8))


def _dressed(moment: Moment, colours: dict[int, int]) -> Moment:
    """People in plain clothes of a grey each."""
    for points, identity in zip(moment.people.keypoints, moment.people.ids.tolist(), strict=True):  # type: ignore[union-attr]
        low, high = points[:, :2].min(axis=0).astype(int), points[:, :2].max(axis=0).astype(int)
        moment.image[low[1] : high[1], low[0] : high[0]] = colours[identity]
    return moment


def test_the_one_who_wears_the_same_is_found_again_under_a_new_id_and_another_is_not() -> None:
    follow = Follow(SKELETON, FieldOfView(70))
    follow.choose("3")
    states = []
    for step in range(90):
        if step < 30:
            moment = _dressed(_two(step / 30, (3,), (2,)), {3: 220})
        elif step < 60:
            moment = _dressed(_two(step / 30, (8,), (2,)), {8: 20})
        else:
            moment = _dressed(_two(step / 30, (8, 9), (1, 2)), {8: 20, 9: 220})
        target = follow.update(moment.people, moment.time_s, moment.image)
        states.append((target.state, target.person_id))
    assert states[29] == ("following", 3)
    assert set(states[30:62]) == {("lost", None)}
    assert states[70] == ("again", 9)


def test_somebody_who_was_in_view_all_the_time_is_never_taken_for_the_lost_one() -> None:
    follow = Follow(SKELETON, FieldOfView(70))
    follow.choose("3")
    for step in range(60):
        moment = _two(step / 30, (3, 4) if step < 30 else (4,), (2, 1) if step < 30 else (2,))
        target = follow.update(moment.people, moment.time_s, moment.image)
    assert target.state == "lost"
    assert target.lost_s == pytest.approx(1.0, abs=0.04)
    assert target.bearing_deg is not None


def test_a_lost_person_is_forgotten_and_the_rule_chooses_anew() -> None:
    follow = Follow(SKELETON, FieldOfView(70), FollowOptions(forget_s=1.0))
    follow.choose("largest")
    seen = []
    for step in range(90):
        moment = _two(step / 30, (3, 4) if step < 10 else (4,), (2, 1) if step < 10 else (1,))
        target = follow.update(moment.people, moment.time_s, moment.image)
        seen.append((target.state, target.person_id))
    assert seen[5][1] == 3
    assert seen[30][0] == "lost"
    assert seen[-1] == ("following", 4)


def test_whom_to_follow_is_a_rule_an_id_or_a_place() -> None:
    for whom in ("nobody", "-1", "2,2", "0.5", ""):
        with pytest.raises(UsageError, match=r"largest, centre, a tracker's id"):
            Follow(SKELETON, FieldOfView(70)).choose(whom)
    moment = _two(0.0, (3, 4), (2, 1))
    for whom, expected in (("4", 4), ("centre", 3), ("0.23,0.52", 4)):
        follow = Follow(SKELETON, FieldOfView(70))
        follow.choose(whom)
        assert follow.update(moment.people, 0.0, moment.image).person_id == expected


def test_what_does_not_fit_is_refused() -> None:
    follow = Follow(SKELETON, FieldOfView(70).camera((640, 480)))
    moment = _two(0.0, (3,), (1,))
    with pytest.raises(UsageError, match="640x480 and the picture is 960x540"):
        follow.update(moment.people, 0.0, moment.image)
    with pytest.raises(UsageError, match="640x480 and the picture is 320x240"):
        follow.update(moment.people, 0.0, depth=np.zeros((240, 320), np.uint16))
    with pytest.raises(UsageError, match="tracker's ids"):
        follow.update(People(moment.people.keypoints, moment.people.scores), 0.0)
    with pytest.raises(UsageError, match="needs each picture"):
        Follow(SKELETON, FieldOfView(70)).update(nobody(18), 0.0)
    with pytest.raises(UsageError, match="between 0 and 180"):
        FieldOfView(190)


@pytest.mark.slow
def test_the_right_person_is_followed_again_after_two_seconds_behind_a_wall() -> None:
    from posetrt.bench.track_benchmark import measure_recovery

    assert measure_recovery(4)["with pictures"]["right_percent"] >= 90
