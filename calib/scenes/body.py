"""Bodies of drawn scenes: builds, poses, and where a posed body's joints lie in space.

Axes: x to the right of the picture, y down, z towards the viewer; lengths are in body heights. A body that is not turned faces
the viewer, so its left side lies at +x. Proportions after Winter, Biomechanics and Motor Control of Human Movement, table 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

NOSE, NECK, R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST, R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE = range(14)
R_EYE, L_EYE, R_EAR, L_EAR = range(14, 18)
CHIN, CROWN, R_HAND, L_HAND, R_TOE, L_TOE, PELVIS = range(18, 25)
POINTS = 25
KINDS = ("stand", "walk", "run", "sit", "crouch", "reach", "wave", "free")


@dataclass(frozen=True)
class Build:
    """A body's proportions.

    Attributes:
        shoulders, hips: half their breadth, in body heights.
        girth: thickness of trunk and limbs, 1 = average.
        legs: length of the legs, 1 = average.
        head: size of the head, 1 = an adult's; a child's is larger.
    """

    shoulders: float = 0.115
    hips: float = 0.056
    girth: float = 1.0
    legs: float = 1.0
    head: float = 1.0


@dataclass(frozen=True)
class Pose:
    """A body's joint angles, in radians; pairs are (right, left).

    Attributes:
        arm_swing, leg_swing: forward from hanging down.
        arm_spread, leg_spread: outward.
        elbow, knee: how far bent.
        twist: turn of the forearm inward about the upper arm.
        lean, bend: of the trunk, forward and to its left.
        look, nod: of the head, to its left and down.
        yaw, pitch, roll: of the whole body: turned to its left, tipped forward, tilted in the picture.
    """

    arm_swing: tuple[float, float] = (0.0, 0.0)
    arm_spread: tuple[float, float] = (0.15, 0.15)
    elbow: tuple[float, float] = (0.2, 0.2)
    twist: tuple[float, float] = (0.3, 0.3)
    leg_swing: tuple[float, float] = (0.0, 0.0)
    leg_spread: tuple[float, float] = (0.07, 0.07)
    knee: tuple[float, float] = (0.05, 0.05)
    lean: float = 0.0
    bend: float = 0.0
    look: float = 0.0
    nod: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


def random_build(rng: np.random.Generator) -> Build:
    """Anyone: slight to stout, child to adult."""
    child = rng.random() < 0.15
    return Build(
        shoulders=float(rng.normal(0.116, 0.009)),
        hips=float(rng.normal(0.057, 0.006)),
        girth=float(np.clip(rng.normal(1.05, 0.18), 0.7, 1.6)),
        legs=float(rng.normal(0.85 if child else 1.0, 0.04)),
        head=float(rng.normal(1.35 if child else 1.05, 0.07)),
    )


def _pair(rng: np.random.Generator, mean: float, spread: float) -> tuple[float, float]:
    right, left = rng.normal(mean, spread, 2)
    return float(right), float(left)


def _between(rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    right, left = rng.uniform(low, high, 2)
    return float(right), float(left)


def striding(phase: float, reach: float, bent: float) -> Pose:
    """A moment of a walk or a run.

    Args:
        phase: in radians; a full turn is two steps.
        reach: how far the legs swing, in radians: 0.45 walks, 0.9 runs.
        bent: bend of the elbows.
    """
    swing, other = reach * float(np.sin(phase)), reach * float(np.sin(phase + np.pi))
    lifted = [reach * (0.35 + 1.1 * max(0.0, float(np.cos(phase + turn)))) for turn in (0.0, np.pi)]
    return Pose(
        arm_swing=(other * 0.9, swing * 0.9),
        elbow=(bent, bent),
        leg_swing=(swing, other),
        knee=(lifted[0], lifted[1]),
        lean=0.08 + 0.15 * max(0.0, reach - 0.4),
    )


def random_pose(rng: np.random.Generator) -> Pose:
    """Someone who stands, walks, runs, sits, crouches, reaches, waves or does gymnastics, seen from anywhere around."""
    kind = KINDS[int(rng.choice(len(KINDS), p=[0.24, 0.16, 0.1, 0.12, 0.07, 0.12, 0.09, 0.1]))]
    pose = Pose(
        arm_swing=_pair(rng, 0.1, 0.3),
        arm_spread=_between(rng, 0.05, 0.4),
        elbow=_between(rng, 0.0, 1.2),
        twist=_pair(rng, 0.5, 0.5),
        leg_swing=_pair(rng, 0.0, 0.12),
        leg_spread=_between(rng, 0.02, 0.2),
        knee=_between(rng, 0.0, 0.25),
        lean=float(rng.normal(0.03, 0.08)),
        bend=float(rng.normal(0, 0.06)),
    )
    if kind in ("walk", "run"):
        reach = float(rng.uniform(0.25, 0.6) if kind == "walk" else rng.uniform(0.6, 1.1))
        pose = striding(float(rng.uniform(0, 2 * np.pi)), reach, float(rng.uniform(0, 0.7) + (kind == "run")))
        pose = replace(pose, arm_spread=_between(rng, 0.05, 0.35), twist=_pair(rng, 0.3, 0.3))
    elif kind == "sit":
        pose = replace(pose, leg_swing=_between(rng, 1.2, 1.7), knee=_between(rng, 1.0, 1.8), leg_spread=_between(rng, 0.05, 0.5))
    elif kind == "crouch":
        pose = replace(pose, leg_swing=_between(rng, 0.8, 1.9), knee=_between(rng, 1.2, 2.3), lean=float(rng.uniform(0.1, 0.8)))
    elif kind == "reach":
        pose = replace(pose, arm_swing=_between(rng, -0.4, 3.0), arm_spread=_between(rng, 0.1, 1.6), elbow=_between(rng, 0.0, 1.0))
    elif kind == "wave":
        up = (float(rng.uniform(1.6, 2.9)), float(rng.uniform(0.1, 0.4)))
        pose = replace(pose, arm_spread=up if rng.random() < 0.5 else up[::-1], elbow=_between(rng, 0.1, 1.8))
    elif kind == "free":
        pose = replace(
            pose,
            arm_swing=_between(rng, -0.9, 3.0),
            arm_spread=_between(rng, 0.0, 2.4),
            elbow=_between(rng, 0.0, 2.2),
            leg_swing=_between(rng, -0.6, 1.7),
            leg_spread=_between(rng, 0.0, 0.9),
            knee=_between(rng, 0.0, 2.0),
            lean=float(rng.normal(0.1, 0.35)),
        )
    facing = float(rng.normal(0, 0.9) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi))
    tilt = float(rng.normal(0, 0.08) if rng.random() < 0.88 else rng.uniform(-np.pi, np.pi))
    return replace(
        pose, look=float(rng.normal(0, 0.35)), nod=float(rng.normal(0.1, 0.2)), yaw=facing, pitch=float(rng.normal(0.05, 0.1)), roll=tilt
    )


def _about_x(angle: float) -> NDArray[np.float64]:
    """Turns down towards the viewer."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _about_y(angle: float) -> NDArray[np.float64]:
    """Turns the viewer's direction to the right of the picture."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _about_z(angle: float) -> NDArray[np.float64]:
    """Turns right to down: clockwise in the picture."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def head_turn(pose: Pose) -> NDArray[np.float64]:
    """(3, 3) rotation of the head in the picture."""
    return body_turn(pose) @ _trunk_turn(pose) @ _about_y(pose.look) @ _about_x(pose.nod)


def body_turn(pose: Pose) -> NDArray[np.float64]:
    """(3, 3) rotation of the whole body in the picture."""
    return _about_z(pose.roll) @ _about_x(pose.pitch) @ _about_y(pose.yaw)


def _trunk_turn(pose: Pose) -> NDArray[np.float64]:
    return _about_z(pose.bend) @ _about_x(-pose.lean)


def joints(build: Build, pose: Pose) -> NDArray[np.float64]:
    """(25, 3): coco18's parts and then chin, crown, hands, toes and pelvis, in body heights about the pelvis."""
    points = np.zeros((POINTS, 3))
    trunk = _trunk_turn(pose)
    points[NECK] = trunk @ (0, -0.285, 0)
    for shoulder, side in ((R_SHOULDER, -1.0), (L_SHOULDER, 1.0)):
        points[shoulder] = trunk @ (side * build.shoulders, -0.285, 0)
    head = trunk @ _about_y(pose.look) @ _about_x(pose.nod)
    size = build.head
    for part, place in (
        (NOSE, (0, -0.095, 0.066)),
        (R_EYE, (-0.019, -0.115, 0.054)),
        (L_EYE, (0.019, -0.115, 0.054)),
        (R_EAR, (-0.044, -0.105, -0.004)),
        (L_EAR, (0.044, -0.105, -0.004)),
        (CHIN, (0, -0.08, 0.012)),
        (CROWN, (0, -0.133, -0.004)),
    ):
        points[part] = points[NECK] + head @ (np.array(place) * size + (0, -0.004, 0))
    arms = ((R_SHOULDER, R_ELBOW, R_WRIST, R_HAND), (L_SHOULDER, L_ELBOW, L_WRIST, L_HAND))
    legs = ((R_HIP, R_KNEE, R_ANKLE, R_TOE), (L_HIP, L_KNEE, L_ANKLE, L_TOE))
    for side, ((shoulder, elbow, wrist, hand), (hip, knee, ankle, toe)) in enumerate(zip(arms, legs, strict=True)):
        out = (-1.0, 1.0)[side]
        turn = trunk @ _about_z(-out * pose.arm_spread[side])
        upper = np.array([0, np.cos(pose.arm_swing[side]), np.sin(pose.arm_swing[side])])
        across = np.array([0, -upper[2], upper[1]]) * np.cos(pose.twist[side]) + np.array([-out, 0, 0]) * np.sin(pose.twist[side])
        lower = np.cos(pose.elbow[side]) * upper + np.sin(pose.elbow[side]) * across
        points[elbow] = points[shoulder] + turn @ upper * 0.172
        points[wrist] = points[elbow] + turn @ lower * 0.148
        points[hand] = points[wrist] + turn @ lower * 0.045
        turn = _about_z(-out * pose.leg_spread[side])
        thigh = np.array([0, np.cos(pose.leg_swing[side]), np.sin(pose.leg_swing[side])])
        ahead = np.array([0, -thigh[2], thigh[1]])
        shin = np.cos(pose.knee[side]) * thigh - np.sin(pose.knee[side]) * ahead
        foot = np.array([0, -shin[2], shin[1]]) * 0.95 + shin * 0.3
        points[hip] = (out * build.hips, 0, 0)
        points[knee] = points[hip] + turn @ thigh * 0.243 * build.legs
        points[ankle] = points[knee] + turn @ shin * 0.244 * build.legs
        points[toe] = points[ankle] + turn @ foot * 0.085
    turned: NDArray[np.float64] = points @ body_turn(pose).T
    return turned
