"""Drawn scenes: pictures of clothed, shaded, overlapping people whose key points are known exactly, from a seed alone.

They train and test a PAF network where no labelled photograph is at hand. Nothing in them comes from a photograph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrt.calib.scenes import body, paint
from posetrt.runtime.errors import UsageError

PARTS = 18
LEAST_SIDE, GREATEST_SIDE, MOST_PEOPLE = 64, 4096, 60
LEAST_LABELLED = 3
LIMBS = (
    (body.R_SHOULDER, body.R_ELBOW, 0.030, 0.024, "upper_arm"),
    (body.R_ELBOW, body.R_WRIST, 0.024, 0.017, "forearm"),
    (body.R_WRIST, body.R_HAND, 0.019, 0.016, "skin"),
    (body.L_SHOULDER, body.L_ELBOW, 0.030, 0.024, "upper_arm"),
    (body.L_ELBOW, body.L_WRIST, 0.024, 0.017, "forearm"),
    (body.L_WRIST, body.L_HAND, 0.019, 0.016, "skin"),
    (body.R_HIP, body.R_KNEE, 0.049, 0.035, "thigh"),
    (body.R_KNEE, body.R_ANKLE, 0.035, 0.023, "shin"),
    (body.R_ANKLE, body.R_TOE, 0.024, 0.017, "shoe"),
    (body.L_HIP, body.L_KNEE, 0.049, 0.035, "thigh"),
    (body.L_KNEE, body.L_ANKLE, 0.035, 0.023, "shin"),
    (body.L_ANKLE, body.L_TOE, 0.024, 0.017, "shoe"),
    (body.R_SHOULDER, body.R_HIP, 0.043, 0.052, "shirt"),
    (body.L_SHOULDER, body.L_HIP, 0.043, 0.052, "shirt"),
    (body.NECK, body.PELVIS, 0.066, 0.068, "shirt"),
    (body.R_SHOULDER, body.L_SHOULDER, 0.034, 0.034, "shirt"),
    (body.NECK, body.CHIN, 0.030, 0.030, "skin"),
)


@dataclass(frozen=True)
class Scene:
    """A drawn picture and what is in it.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        keypoints: (N, 18, 3) float32 in the order of coco18: x, y in pixels (centres at integers), score. Score 1: in the picture;
            0 (and x = y = 0): outside it, behind another person or thing, or a part of a face that looks away. A limb behind
            its own body is given, as annotators of photographs do. Nearest person last.
        areas: (N,) float32: how many pixels of each person can be seen, which COCO's measure needs.
    """

    image: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    areas: NDArray[np.float32]


@dataclass(frozen=True)
class _Person:
    """Someone to be painted: looks, and where they stand. `place` is the pelvis in pixels, `height` the body height in pixels."""

    build: body.Build
    pose: body.Pose
    looks: dict[str, paint.Cloth]
    brow: float
    place: tuple[float, float]
    height: float


def draw_scene(seed: int, size_wh: tuple[int, int] = (456, 256), people: int | None = None) -> Scene:
    """Draw a scene.

    Args:
        seed: decides everything; the same seed, size and count give the same picture on the same versions of NumPy and OpenCV.
        size_wh: width and height in pixels, 64 to 4096 each.
        people: how many stand there, 0 to 60; None leaves it to the seed (1 to 8, few more often). People whose parts all fall outside
            the picture or behind others are left out of the key points.

    Raises:
        UsageError: an impossible size or count.
    """
    _check(size_wh, people)
    rng = np.random.default_rng(np.random.SeedSequence([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, 1]))
    count = min(8, 1 + int(rng.geometric(0.4)) - int(rng.random() < 0.4)) if people is None else people
    background = paint.paint_background(rng, size_wh)
    crowd = [_random_person(rng, size_wh, count) for _ in range(count)]
    return _finished(_painted(background, crowd, paint.random_light(rng), rng, clutter=0.25), rng)


def draw_video(seed: int, size_wh: tuple[int, int] = (456, 256), people: int = 3, frames: int = 60, fps: float = 20.0) -> Iterator[Scene]:
    """Draw a video of people who walk, run and wave through a place.

    Args:
        seed: decides everything.
        size_wh: width and height in pixels, 64 to 4096 each.
        people: how many, 1 to 60.
        frames: how many, at least 1.
        fps: frames a second, for the pace of the walk.

    Yields:
        One `Scene` a frame. Row n of the key points is not always the same person: whoever is out of sight is left out.

    Raises:
        UsageError: an impossible size, count or rate, before the first frame.
    """
    _check(size_wh, people)
    if people < 1 or frames < 1 or not 0 < fps < 1000:
        raise UsageError(f"a drawn video needs at least 1 person and 1 frame, and 0 < fps < 1000; got {people}, {frames} and {fps}")
    return _video(seed, size_wh, people, frames, fps)


def _check(size_wh: tuple[int, int], people: int | None) -> None:
    if len(size_wh) != 2 or any(int(side) != side or not LEAST_SIDE <= side <= GREATEST_SIDE for side in size_wh):
        raise UsageError(
            f"a drawn scene has whole sides of {LEAST_SIDE} to {GREATEST_SIDE} pixels as (width, height); got {tuple(size_wh)}"
        )
    if people is not None and (int(people) != people or not 0 <= people <= MOST_PEOPLE):
        raise UsageError(f"a drawn scene holds 0 to {MOST_PEOPLE} people; got {people}")


def _random_looks(rng: np.random.Generator) -> dict[str, paint.Cloth]:
    """Garments: long or short sleeves and trousers, sometimes one suit for all."""
    skin, shirt, trousers, shoe = paint.random_skin(rng), paint.random_cloth(rng), paint.random_cloth(rng), paint.random_cloth(rng)
    if rng.random() < 0.12:
        trousers = shirt
    sleeve = rng.choice(["none", "short", "long"], p=[0.15, 0.45, 0.4])
    bare = rng.choice(["none", "shins", "legs"], p=[0.65, 0.25, 0.1])
    hair = paint.Cloth(np.array(rng.choice([[18, 18, 22], [30, 45, 70], [70, 120, 170], [120, 125, 130]]), np.float32), skin.colour)
    return {
        "skin": skin,
        "hair": hair,
        "shirt": shirt,
        "upper_arm": skin if sleeve == "none" else shirt,
        "forearm": shirt if sleeve == "long" else skin,
        "thigh": skin if bare == "legs" else trousers,
        "shin": trousers if bare == "none" else skin,
        "shoe": shoe,
    }


def _random_person(rng: np.random.Generator, size_wh: tuple[int, int], count: int) -> _Person:
    """Anyone, anywhere; the more people, the smaller they tend to be."""
    most = 1.5 if count <= 2 else 1.1
    height = float(np.exp(rng.uniform(np.log(0.22), np.log(most)))) * size_wh[1]
    margin = 0.1 * size_wh[0]
    place = (float(rng.uniform(margin, size_wh[0] - margin)), float(size_wh[1] * rng.normal(0.52, 0.13)))
    if height > size_wh[1]:
        place = (place[0], size_wh[1] * 0.5 + float(rng.uniform(-0.1, 0.6)) * height * 0.5)
    return _Person(body.random_build(rng), body.random_pose(rng), _random_looks(rng), float(rng.uniform(-0.5, -0.1)), place, height)


def _video(seed: int, size_wh: tuple[int, int], people: int, frames: int, fps: float) -> Iterator[Scene]:
    rng = np.random.default_rng(np.random.SeedSequence([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, 2]))
    width, height = size_wh
    background = paint.paint_background(rng, size_wh)
    light = paint.random_light(rng)
    crowd, motions = [], []
    for index in range(people):
        person = _random_person(rng, size_wh, people)
        tall = float(rng.uniform(0.45, 0.8)) * height
        person = replace(person, height=tall, place=(width * (index + 0.5) / people, height * float(rng.uniform(0.46, 0.56))))
        crowd.append(person)
        motions.append(
            (str(rng.choice(["walk", "run", "wave"], p=[0.5, 0.2, 0.3])), float(rng.uniform(0, 6.28)), float(rng.choice([-1, 1])))
        )
    for frame in range(frames):
        time_s = frame / fps
        moved = [_moved(person, *motion, time_s, width) for person, motion in zip(crowd, motions, strict=True)]
        yield _finished(_painted(background, moved, light, np.random.default_rng([seed & 0xFFFFFFFF, frame]), clutter=0.0), None)


def _moved(person: _Person, motion: str, start: float, way: float, time_s: float, width: int) -> _Person:
    """The person `time_s` seconds later; who walks out on one side comes in on the other."""
    if motion == "wave":
        up = 2.3 + 0.4 * np.sin(start + 5 * time_s)
        pose = body.Pose(arm_spread=(0.25, float(up)), elbow=(0.3, float(0.5 + 0.4 * np.sin(start + 5 * time_s))), yaw=0.3 * way)
        return replace(person, pose=pose)
    runs = motion == "run"
    pace = 7.5 if runs else 4.5
    pose = body.striding(start + pace * time_s, 0.85 if runs else 0.45, 1.3 if runs else 0.4)
    gone = person.place[0] + way * (0.9 if runs else 0.42) * person.height * time_s
    room = width + 0.6 * person.height
    place = ((gone + 0.3 * person.height) % room - 0.3 * person.height, person.place[1])
    return replace(person, pose=replace(pose, yaw=1.0 * way, arm_spread=(0.15, 0.15)), place=place)


def _painted(
    background: NDArray[np.float32], crowd: list[_Person], light: paint.Light, rng: np.random.Generator, clutter: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The picture with everyone in it, small (far) ones first, and the key points and areas that can be seen."""
    canvas = background.copy()
    owners: NDArray[np.int16] = np.full(canvas.shape[:2], -1, np.int16)
    points = []
    for owner, person in enumerate(sorted(crowd, key=lambda one: one.height)):
        points.append(_paint_person(canvas, owners, owner, person, light))
        if rng.random() < clutter / max(1, len(crowd)):
            owners[paint.paint_clutter(rng, canvas)] = -2
    return canvas, *_visible(points, owners)


def _paint_person(
    canvas: NDArray[np.float32], owners: NDArray[np.int16], owner: int, person: _Person, light: paint.Light
) -> NDArray[np.float32]:
    """Paint limb by limb, the far ones first; gives (18, 3) key points whose score says whether the body itself shows them."""
    unit = person.height
    space = body.joints(person.build, person.pose) * unit + (*person.place, 0.0)
    limbs = [(space[a], space[b], ra, rb, name) for a, b, ra, rb, name in LIMBS]
    limbs.sort(key=lambda limb: limb[0][2] + limb[1][2] + (0.05 * unit if limb[4] == "skin" else 0.0))
    head = (space[body.CHIN][2] + space[body.CROWN][2]) / 2
    before = [limb for limb in limbs if (limb[0][2] + limb[1][2]) / 2 <= head or limb[4] == "shirt"]
    after = [limb for limb in limbs if not ((limb[0][2] + limb[1][2]) / 2 <= head or limb[4] == "shirt")]
    for limb in before:
        _paint_limb(canvas, owners, owner, limb, person, light)
    turn = body.head_turn(person.pose)
    size = 0.052 * person.build.head * unit
    paint.paint_limb(
        canvas, owners, owner, (space[body.CHIN], space[body.CROWN]), (size * 0.88, size), person.looks["skin"], light, unit,
        cap=(turn, person.looks["hair"], person.brow),
    )  # fmt: skip
    shown = np.ones(PARTS, bool)
    centre = (space[body.CHIN] + space[body.CROWN]) / 2
    for part, least in ((body.NOSE, 0.0), (body.R_EYE, 0.1), (body.L_EYE, 0.1), (body.R_EAR, -0.3), (body.L_EAR, -0.3)):
        shown[part] = (space[part][2] - centre[2]) / size > least
    dark, mouth = np.array([25, 25, 30], np.float32), person.looks["skin"].colour * np.float32(0.6)
    for eye in (body.R_EYE, body.L_EYE):
        if shown[eye]:
            paint.paint_dot(canvas, space[eye], 0.008 * unit, dark)
    if shown[body.NOSE]:
        paint.paint_dot(canvas, space[body.NOSE], 0.009 * unit, person.looks["skin"].colour * np.float32(0.8))
        paint.paint_dot(canvas, (space[body.NOSE] * 0.55 + space[body.CHIN] * 0.45) + turn @ (0, 0.014, 0) * unit, 0.012 * unit, mouth)
    for limb in after:
        _paint_limb(canvas, owners, owner, limb, person, light)
    keypoints = np.concatenate([space[:PARTS, :2], shown[:, None]], axis=1)
    return keypoints.astype(np.float32)


def _paint_limb(
    canvas: NDArray[np.float32],
    owners: NDArray[np.int16],
    owner: int,
    limb: tuple[NDArray[np.float64], NDArray[np.float64], float, float, str],
    person: _Person,
    light: paint.Light,
) -> None:
    start, end, near, far, name = limb
    thickness = person.height * person.build.girth
    paint.paint_limb(canvas, owners, owner, (start, end), (near * thickness, far * thickness), person.looks[name], light, person.height)


def _visible(people: list[NDArray[np.float32]], owners: NDArray[np.int16]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, 18, 3) and (N,): parts outside the picture or behind someone or something get score 0; people with fewer than 3 parts go."""
    height, width = owners.shape
    kept, areas = [], []
    for owner, points in enumerate(people):
        column, row = np.floor(points[:, 0] + 0.5).astype(int), np.floor(points[:, 1] + 0.5).astype(int)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        above = owners[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        points[~(inside & ((above == owner) | (above == -1)) & (points[:, 2] > 0))] = 0
        if np.count_nonzero(points[:, 2]) >= LEAST_LABELLED:
            kept.append(points)
            areas.append(np.count_nonzero(owners == owner))
    return np.stack(kept) if kept else np.zeros((0, PARTS, 3), np.float32), np.array(areas, np.float32)


def _finished(drawn: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], rng: np.random.Generator | None) -> Scene:
    """As a camera gives it: exposure, colour cast, blur and noise by `rng`, or a little blur alone."""
    canvas, keypoints, areas = drawn
    if rng is None:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.5), np.float32)
    else:
        canvas = canvas * (rng.uniform(0.75, 1.2) * rng.uniform(0.92, 1.08, 3)).astype(np.float32) + np.float32(rng.uniform(-15, 15))
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.35, 1.2))), np.float32)
        canvas += rng.standard_normal(canvas.shape, np.float32) * np.float32(rng.uniform(0, 6))
    return Scene(np.clip(np.round(canvas), 0, 255).astype(np.uint8), keypoints, areas)
