"""People who do things, as key points over time: raise a hand, wave, sit, lie down, fall, walk; with the truth of what they do when.

Bodies, axes and lengths are those of `body`: a body's height is 1, and its feet stand on the ground whatever it does.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.scenes.body import PELVIS, Build, Pose, joints, random_build, striding
from posetrt.runtime.people import People

LANES = 5
"""People side by side in a scene."""

SIZE_WH = (1920, 1080)
"""Of the picture, in pixels."""

LINE_X, ZONE_X = 0.28, 0.62
"""The line's place in a person's lane, and where the zone begins that goes on to the lane's end: shares of the lane's width."""


_TRUNK = 0.285
"""From the hips to the shoulders, in body heights."""


@dataclass(frozen=True)
class Truth:
    """Something that somebody does.

    Attributes:
        kind: of the event.
        person: the lane.
        start_s, end_s: from when to when it is there.
        passing: it is there on the way to something else, and may be told or not.
    """

    kind: str
    person: int
    start_s: float
    end_s: float
    passing: bool = False


@dataclass(frozen=True)
class Motion:
    """What one person does for a while.

    Attributes:
        lasts_s: seconds.
        pose: the body at a time since the motion began.
        kinds: event, from when to when in it.
        passing: the same, of what is there on the way to something else.
        walks: body heights to the right, in all.
    """

    lasts_s: float
    pose: Callable[[float], Pose]
    kinds: tuple[tuple[str, float, float], ...] = ()
    passing: tuple[tuple[str, float, float], ...] = ()
    walks: float = 0.0


@dataclass(frozen=True)
class Moment:
    """One frame of a scene.

    Attributes:
        time_s: since the first.
        people: coco18's parts as a network sees them, in any order.
        lanes: (N,) whose they are.
        feet_x: (5,) where each person's feet are without noise, as a share of the lane's width.
        trunks: (5,) length of each person's trunk, as a share of the lane's width.
    """

    time_s: float
    people: People
    lanes: NDArray[np.intp]
    feet_x: NDArray[np.float64]
    trunks: NDArray[np.float64]


def _blend(one: Pose, other: Pose, share: float) -> Pose:
    """Between two poses; `share` is smoothed, so that bodies begin and end slowly."""
    share = min(max(share, 0.0), 1.0)
    share = share * share * (3 - 2 * share)

    def mix(a: float | tuple[float, float], b: float | tuple[float, float]) -> float | tuple[float, float]:
        if isinstance(a, tuple) and isinstance(b, tuple):
            return (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]))
        assert isinstance(a, float | int)
        assert isinstance(b, float | int)
        return a + share * (b - a)

    return Pose(**{each.name: mix(getattr(one, each.name), getattr(other, each.name)) for each in dataclasses.fields(Pose)})  # type: ignore[arg-type]


def _through(*keys: tuple[float, Pose]) -> Callable[[float], Pose]:
    """From one pose to the next: (time, pose) in order."""

    def at(time_s: float) -> Pose:
        for (start, one), (end, other) in itertools.pairwise(keys):
            if time_s < end:
                return _blend(one, other, (time_s - start) / (end - start))
        return keys[-1][1]

    return at


def _one_side(random: np.random.Generator, moved: float, other: float) -> tuple[float, float]:
    return (moved, other) if random.random() < 0.5 else (other, moved)


def _raise(random: np.random.Generator, still: Pose) -> Motion:
    up = replace(still, arm_swing=_one_side(random, float(random.uniform(2.5, 3.0)), 0.0), elbow=(0.3, 0.3))
    hold = float(random.uniform(1.0, 3.0))
    return Motion(hold + 2.0, _through((0, still), (0.7, up), (0.7 + hold, up), (1.4 + hold, still)), (("raised-hand", 0.4, 1.0 + hold),))


def _wave(random: np.random.Generator, still: Pose) -> Motion:
    side, rate, lasts = int(random.integers(2)), float(random.uniform(1.0, 2.5)), float(random.uniform(2.5, 4.0))
    spread, twist = [0.15, 0.15], [0.3, 0.3]
    spread[side], twist[side] = float(random.uniform(1.4, 1.9)), -np.pi / 2
    up = replace(still, arm_spread=(spread[0], spread[1]), twist=(twist[0], twist[1]), yaw=float(np.clip(still.yaw, -0.6, 0.6)))

    def pose(time_s: float) -> Pose:
        bent = [0.2, 0.2]
        bent[side] = 1.15 + 0.55 * float(np.sin(2 * np.pi * rate * time_s))
        share = min(time_s / 0.5, (lasts + 1.0 - time_s) / 0.5)
        return _blend(replace(still, yaw=up.yaw), replace(up, elbow=(bent[0], bent[1])), share)

    return Motion(lasts + 1.0, pose, (("wave", 0.3, lasts + 0.7),), (("raised-hand", 0.0, lasts + 1.0),))


def _seated(random: np.random.Generator, still: Pose) -> Pose:
    legs = tuple(float(value) for value in random.uniform(1.35, 1.65, 2))
    bent = tuple(value + float(random.normal(0, 0.12)) for value in legs)
    return replace(still, leg_swing=(legs[0], legs[1]), knee=(bent[0], bent[1]), lean=float(random.uniform(-0.15, 0.25)))


def _sit(random: np.random.Generator, still: Pose) -> Motion:
    down, stays = _seated(random, still), float(random.uniform(2.0, 5.0))
    return Motion(
        stays + 2.5, _through((0, still), (1.0, down), (1.0 + stays, down), (2.0 + stays, still)), (("sitting", 0.7, 1.4 + stays),)
    )


def _flat(random: np.random.Generator, still: Pose) -> Pose:
    tilt = float(random.choice([-1, 1])) * float(random.uniform(1.35, 1.7))
    # On the back, the side or the face, with the body across the picture.
    return replace(still, roll=tilt, yaw=float(random.uniform(-1.2, 1.2)), arm_spread=(float(random.uniform(0.1, 0.9)), 0.3))


def _lie_down(random: np.random.Generator, still: Pose) -> Motion:
    seat, flat, stays = _seated(random, still), _flat(random, still), float(random.uniform(2.0, 5.0))
    ground = replace(seat, leg_swing=(1.55, 1.55), knee=(0.3, 0.4))
    keys = (
        (0, still),
        (1.2, seat),
        (2.2, ground),
        (3.0, ground),
        (4.2, flat),
        (4.2 + stays, flat),
        (5.6 + stays, ground),
        (7.2 + stays, still),
    )
    return Motion(
        stays + 7.7,
        _through(*keys),
        (("lying", 3.6, 5.0 + stays),),
        (("sitting", 0.6, 3.8), ("sitting", 4.6 + stays, 7.2 + stays)),
    )


def _fall(random: np.random.Generator, still: Pose) -> Motion:
    flat, quick, stays = _flat(random, still), float(random.uniform(0.45, 0.9)), float(random.uniform(2.0, 5.0))
    seat = _seated(random, still)
    keys = (
        (0, still),
        (0.6, still),
        (0.6 + quick, flat),
        (0.6 + quick + stays, flat),
        (2.2 + quick + stays, seat),
        (3.6 + quick + stays, still),
    )
    lies = 0.6 + quick * 0.5, 1.6 + quick + stays
    return Motion(
        stays + quick + 4.1,
        _through(*keys),
        (("fallen", *lies), ("lying", *lies)),
        (("sitting", 1.0 + quick + stays, 3.6 + quick + stays),),
    )


def _bend_over(random: np.random.Generator, still: Pose) -> Motion:
    down = replace(still, lean=float(random.uniform(1.2, 1.7)), arm_swing=(0.0, 0.0), knee=(0.35, 0.35), leg_swing=(0.2, 0.2))
    stays = float(random.uniform(0.3, 2.0))
    return Motion(stays + 2.0, _through((0, still), (0.8, down), (0.8 + stays, down), (1.6 + stays, still)))


def _hand_at_the_ear(random: np.random.Generator, still: Pose) -> Motion:
    there = replace(still, arm_spread=_one_side(random, 0.35, 0.15), elbow=_one_side(random, 2.5, 0.2))
    there = replace(there, elbow=(2.5, 0.2) if there.arm_spread[0] == 0.35 else (0.2, 2.5))
    stays = float(random.uniform(1.0, 3.0))
    return Motion(stays + 1.5, _through((0, still), (0.6, there), (0.6 + stays, there), (1.2 + stays, still)))


def _squat(random: np.random.Generator, still: Pose) -> Motion:
    down = replace(still, leg_swing=(1.75, 1.75), knee=(2.35, 2.35), lean=0.5, arm_swing=(1.2, 1.2))
    stays = float(random.uniform(0.2, 2.5))
    return Motion(stays + 2.0, _through((0, still), (0.8, down), (0.8 + stays, down), (1.6 + stays, still)))


def _walk(random: np.random.Generator, still: Pose) -> Motion:
    lasts, way = float(random.uniform(2.0, 3.5)), 1.0 if still.yaw >= 0 else -1.0
    speed = float(random.uniform(0.4, 0.7))

    def pose(time_s: float) -> Pose:
        step = replace(striding(2 * np.pi * 0.95 * time_s, 0.42, 0.4), yaw=way * 1.4)
        return _blend(replace(still, yaw=way * 1.4), step, min(time_s, lasts - time_s) / 0.4)

    return Motion(lasts, pose, walks=way * speed * lasts)


def _stand(random: np.random.Generator, still: Pose) -> Motion:
    return Motion(float(random.uniform(0.8, 2.5)), lambda _: still)


_MOTIONS = (_raise, _wave, _sit, _lie_down, _fall, _bend_over, _hand_at_the_ear, _squat, _walk, _walk, _walk)


@dataclass
class _Actor:
    """A person with a place in the lane and a plan: motions with the times at which they begin."""

    build: Build
    height_px: float
    plan: list[tuple[float, float, Motion]]
    """Start, place at the start in body heights from the lane's left edge, motion."""


def scene(
    seed: int, lasts_s: float = 60.0, fps: float = 20.0, *, noise: float = 0.008, lose_part: float = 0.08
) -> tuple[list[Truth], Iterator[Moment]]:
    """Five people in their lanes who do one thing after the other.

    Args:
        seed: of everything.
        lasts_s: seconds.
        fps: frames a second.
        noise: standard deviation of each part's place, in body heights.
        lose_part: how often the network misses a part.

    Returns:
        What they do, but for lines and zones, whose truth are the moments' `feet_x`; and the frames.
    """
    random = np.random.default_rng(seed)
    lane_px = SIZE_WH[0] / LANES
    actors, truths = [], []
    for lane in range(LANES):
        build, height_px = random_build(random), float(random.uniform(180, 330))
        width = lane_px / height_px
        plan: list[tuple[float, float, Motion]] = []
        at, place = 0.0, width / 2
        while at < lasts_s:
            still = Pose(yaw=float(random.normal(0, 0.6)), lean=0.03, arm_spread=(0.12, 0.12))
            made = _MOTIONS[int(random.integers(len(_MOTIONS)))]
            for motion in (_stand(random, still), made(random, still)):
                if not 0.25 < place + motion.walks < width - 0.25 or (motion.kinds and at + motion.lasts_s > lasts_s):
                    continue
                truths += [Truth(kind, lane, at + start, at + end) for kind, start, end in motion.kinds]
                truths += [Truth(kind, lane, at + start, at + end, passing=True) for kind, start, end in motion.passing]
                plan.append((at, place, motion))
                at, place = at + motion.lasts_s, place + motion.walks
        actors.append(_Actor(build, height_px, plan))
    return truths, _moments(actors, np.random.default_rng(seed + 1_000_003), lasts_s, fps, noise, lose_part)


def _moments(
    actors: list[_Actor], random: np.random.Generator, lasts_s: float, fps: float, noise: float, lose_part: float
) -> Iterator[Moment]:
    lane_px, ground_px = SIZE_WH[0] / LANES, SIZE_WH[1] * 0.9
    trunks = np.array([_TRUNK * actor.height_px / lane_px for actor in actors])
    for frame in range(int(lasts_s * fps)):
        time_s = frame / fps
        points = np.zeros((len(actors), 18, 3), np.float32)
        feet = np.zeros(len(actors))
        for lane, actor in enumerate(actors):
            start, place, motion = next(each for each in reversed(actor.plan) if each[0] <= time_s)
            since = time_s - start
            body = joints(actor.build, motion.pose(since))
            x = place + motion.walks * since / motion.lasts_s
            spots = np.stack([body[:, 0] - body[PELVIS, 0] + x, body[:, 1] - body[:, 1].max()], axis=1) * actor.height_px
            ankles = spots[[10, 13]].mean(axis=0)
            feet[lane] = ankles[0] / lane_px
            corner = np.array([lane * lane_px, ground_px])
            points[lane, :, :2] = spots[:18] + corner + random.normal(0, noise * actor.height_px, (18, 2))
        points[..., 2] = np.where(random.random(points.shape[:2]) < lose_part, 0, random.uniform(0.5, 1.0, points.shape[:2]))
        points[points[..., 2] == 0] = 0
        order = random.permutation(len(actors))
        yield Moment(time_s, People(points[order], np.full(len(actors), 0.7, np.float32)), order, feet, trunks)
