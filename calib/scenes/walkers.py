"""People who walk about in front of a camera, in metres: what a tracker is given, with the truth beside it, and pictures where asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrt.calib.scenes import body, paint
from posetrt.runtime.camera import Camera, FieldOfView
from posetrt.runtime.people import People

PARTS = 18
_LIMBS = (
    *((body.R_ELBOW, body.R_WRIST, 0.04, "forearm"), (body.L_ELBOW, body.L_WRIST, 0.04, "forearm")),
    *((body.R_HIP, body.R_KNEE, 0.085, "thigh"), (body.L_HIP, body.L_KNEE, 0.085, "thigh")),
    *((body.R_KNEE, body.R_ANKLE, 0.058, "shin"), (body.L_KNEE, body.L_ANKLE, 0.058, "shin")),
    *((body.R_SHOULDER, body.R_ELBOW, 0.052, "upper_arm"), (body.L_SHOULDER, body.L_ELBOW, 0.052, "upper_arm")),
)  # fmt: skip


@dataclass(frozen=True)
class Walk:
    """What happens in a sequence.

    Attributes:
        count: people.
        frames: how many.
        seed: decides everything.
        fps: frames a second.
        size_wh: of the camera's pictures.
        fov_deg: horizontal field of view.
        near_m, far_m: how near and far people come.
        camera_height_m: above the ground.
        moves: "still"; "turns": the camera looks to and fro by some 25 degrees, as on a robot that steers; "shakes": faster and less far, as on
            a drone in wind or a robot with legs.
        standing: people stand where they are and sway; else they walk.
        obstacle: a wall 2 m ahead of everybody hides who passes it; as wide as the first person needs 2 s for.
        noise_px: standard deviation of a key point.
        lose_part: how often a part is missed.
        pictures: draw them; else they are black.
    """

    count: int = 5
    frames: int = 300
    seed: int = 0
    fps: float = 30.0
    size_wh: tuple[int, int] = (960, 540)
    fov_deg: float = 70.0
    near_m: float = 3.0
    far_m: float = 12.0
    camera_height_m: float = 1.2
    moves: str = "still"
    standing: bool = False
    obstacle: bool = False
    noise_px: float = 1.5
    lose_part: float = 0.08
    pictures: bool = False


@dataclass(frozen=True)
class Moment:
    """One frame of a sequence.

    Attributes:
        time_s: since the first.
        people: (N,) those who are seen, in pixels, shuffled; key points in the order of coco18.
        who: (N,) int64 true identity of each.
        places: (count, 3) float64: the middle of everybody's hips in the camera's optical frame, in metres, seen or not.
        image: (H, W, 3) uint8 BGR.
    """

    time_s: float
    people: People
    who: NDArray[np.int64]
    places: NDArray[np.float64]
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class _Walker:
    build: body.Build
    height_m: float
    phase: float
    looks: dict[str, NDArray[np.float32]]


def camera_of(walk: Walk) -> Camera:
    """The camera that sees a sequence."""
    return FieldOfView(walk.fov_deg).camera(walk.size_wh)


def walkers(walk: Walk) -> Iterator[Moment]:
    """The moments of a sequence, in order."""
    rng = np.random.default_rng(walk.seed)
    camera = camera_of(walk)
    crowd = [_walker(rng) for _ in range(walk.count)]
    paths = _paths(walk, rng, camera)
    turns = _turns(walk, rng)
    wall = _wall(walk, paths)
    scenery = _scenery(rng, camera) if walk.pictures else None
    black = np.zeros((walk.size_wh[1], walk.size_wh[0], 3), np.uint8)
    gain = rng.uniform(0, 6, 2)
    for frame in range(walk.frames):
        time_s = frame / walk.fps
        turn = turns[frame]
        bodies = np.stack([_body(one, paths[index, frame], time_s, walk) for index, one in enumerate(crowd)])
        seen_from = bodies @ turn.T
        pixels = _project(seen_from, camera)
        shown = _shown(bodies, seen_from, pixels, wall, walk, rng)
        image = black
        if scenery is not None:
            light = 1 + 0.06 * np.sin(0.7 * time_s + gain[0]) + 0.04 * np.sin(2.1 * time_s + gain[1])
            image = _picture(scenery, camera, turn, crowd, seen_from, pixels, light, rng, wall)
        points = pixels[:, :PARTS].copy()
        points += rng.normal(0, walk.noise_px, points.shape)
        keypoints = np.concatenate([points, shown[..., None] * 0.8], axis=2).astype(np.float32)
        keypoints[~shown] = 0
        there = rng.permutation(np.flatnonzero(shown.sum(axis=1) >= 6))
        hips = seen_from[:, [body.R_HIP, body.L_HIP]].mean(axis=1)
        yield Moment(time_s, People(keypoints[there], np.full(len(there), 0.7, np.float32)), there, hips, image)


def _walker(rng: np.random.Generator) -> _Walker:
    skin, shirt, trousers = paint.random_skin(rng).colour, paint.random_colour(rng), paint.random_colour(rng)
    sleeves, legs = rng.random() < 0.5, rng.random() < 0.8
    looks = {"shirt": shirt, "thigh": trousers, "upper_arm": shirt, "skin": skin}
    looks |= {"forearm": shirt if sleeves else skin, "shin": trousers if legs else skin}
    # Adults' statures, men and women together: NCD-RisC, A century of trends in adult human height (eLife 2016), the mean of Europe's.
    height = float(np.clip(rng.normal(1.72, 0.09), 1.50, 1.98))
    adult = body.Build(shoulders=float(rng.normal(0.116, 0.007)), hips=float(rng.normal(0.057, 0.005)), legs=float(rng.normal(1.0, 0.03)))
    return _Walker(adult, height, float(rng.uniform(0, 6.28)), looks)


def _paths(walk: Walk, rng: np.random.Generator, camera: Camera) -> NDArray[np.float64]:
    """(count, frames, 3): x and z on the ground in metres and heading in radians, of people who turn back where the room ends."""
    half = walk.size_wh[0] / 2 / camera.focal[0]
    paths = np.zeros((walk.count, walk.frames, 3))
    for index in range(walk.count):
        z = float(rng.uniform(walk.near_m, walk.far_m))
        x = float(rng.uniform(-0.8, 0.8) * half * z)
        heading, speed = float(rng.uniform(-np.pi, np.pi)), 0.0 if walk.standing else float(rng.uniform(0.7, 1.5))
        if not walk.standing and rng.random() < 0.7:
            # Most cross the view, so that they cross each other.
            heading = float(rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.3))
        if walk.obstacle and index == 0:
            z, x, heading, speed = float(rng.uniform(4, 8)), 0.0, float(rng.choice([-1, 1]) * np.pi / 2), float(rng.uniform(0.7, 1.2))
            x = -np.sign(heading) * speed * (walk.frames / walk.fps * 0.5)
        turning = 0.0
        for frame in range(walk.frames):
            paths[index, frame] = x, z, heading
            if walk.obstacle and index == 0:
                x += np.sin(heading) * speed / walk.fps
                continue
            turning = 0.97 * turning + float(rng.normal(0, 0.004)) * (not walk.standing)
            heading += turning
            x, z = x + np.sin(heading) * speed / walk.fps, z - np.cos(heading) * speed / walk.fps
            if abs(x) > 0.95 * half * z and np.sin(heading) * x > 0:
                heading, turning = -heading, 0.0
            if (z < walk.near_m and np.cos(heading) > 0) or (z > walk.far_m and np.cos(heading) < 0):
                heading, turning = np.pi - heading, 0.0
    return paths


def _turns(walk: Walk, rng: np.random.Generator) -> NDArray[np.float64]:
    """(frames, 3, 3): from the world's axes to the camera's."""
    times = np.arange(walk.frames) / walk.fps
    phase = rng.uniform(0, 2 * np.pi, 6)
    # Amplitudes in radians and frequencies in Hz of yaw, pitch and roll, two waves each.
    waves = {
        "still": ((0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)),
        "turns": ((0.30, 0.45), (0.10, 1.1), (0.02, 0.8), (0.01, 1.9), (0.01, 0.7), (0.0, 0)),
        "shakes": ((0.10, 1.3), (0.04, 2.7), (0.05, 1.7), (0.02, 3.1), (0.03, 1.1), (0.01, 2.3)),
    }[walk.moves]
    angles = np.zeros((3, walk.frames))
    for number, (wide, often) in enumerate(waves):
        angles[number // 2] += wide * np.sin(2 * np.pi * often * times + phase[number])
    turns = np.zeros((walk.frames, 3, 3))
    for frame, (yaw, pitch, roll) in enumerate(angles.T):
        turns[frame] = (
            cv2.Rodrigues(np.array([0, 0, roll]))[0] @ cv2.Rodrigues(np.array([pitch, 0, 0]))[0] @ cv2.Rodrigues(np.array([0, yaw, 0]))[0]
        )
    return turns


def _body(one: _Walker, path: NDArray[np.float64], time_s: float, walk: Walk) -> NDArray[np.float64]:
    """(25, 3): a body's points in the world, in metres from the camera."""
    x, z, heading = path
    if walk.standing:
        sway = 0.05 * np.sin(1.3 * time_s + one.phase)
        pose = body.Pose(arm_swing=(sway, -sway), yaw=float(heading), lean=float(sway / 3))
    else:
        pose = body.striding(one.phase + 4.6 * time_s, 0.45, 0.4)
        pose = body.Pose(
            pose.arm_swing, (0.15, 0.15), pose.elbow, (0.3, 0.3), pose.leg_swing, knee=pose.knee, lean=pose.lean, yaw=float(heading)
        )
    points = body.joints(one.build, pose) * (1, 1, -1) * one.height_m
    points += (x, 0, z)
    lowest = points[[body.R_ANKLE, body.L_ANKLE], 1].max() + 0.039 * one.height_m
    points[:, 1] += walk.camera_height_m - lowest
    return np.asarray(points, np.float64)


def _project(points: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """(..., 2) pixels of points in the optical frame."""
    return np.asarray(points[..., :2] / np.maximum(points[..., 2:], 0.05) * np.array(camera.focal) + np.array(camera.centre), np.float64)


def _wall(walk: Walk, paths: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Left and right x/z and z of the obstacle, which hides the first person for 2 s in the middle of the sequence; None without."""
    if not walk.obstacle:
        return None
    middle, half = walk.frames // 2, round(walk.fps)
    ends = sorted(paths[0, [middle - half, middle + half], 0] / paths[0, middle, 1])
    # All of a body is hidden for 2 s: the wall is wider by half a body on each side.
    margin = 0.22 / paths[0, middle, 1]
    return ends[0] - margin, ends[1] + margin, 2.0


def _shown(
    bodies: NDArray[np.float64],
    seen_from: NDArray[np.float64],
    pixels: NDArray[np.float64],
    wall: tuple[float, float, float] | None,
    walk: Walk,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """(count, 18): parts in the picture, before the camera, not behind nearer people or the wall, and not missed."""
    width, height = walk.size_wh
    at = pixels[:, :PARTS]
    shown = (seen_from[:, :PARTS, 2] > 0.3) & (at >= 0).all(axis=2) & (at[..., 0] < width) & (at[..., 1] < height)
    depth = seen_from[:, body.PELVIS, 2]
    for near in range(len(pixels)):
        points = pixels[near, [body.R_SHOULDER, body.L_SHOULDER, body.R_HIP, body.L_HIP, body.R_ANKLE, body.L_ANKLE, body.CROWN]]
        left, right, top, bottom = points[:, 0].min(), points[:, 0].max(), points[:, 1].min(), points[:, 1].max()
        for far in np.flatnonzero(depth > depth[near] + 0.2):
            behind = (at[far, :, 0] > left) & (at[far, :, 0] < right) & (at[far, :, 1] > top) & (at[far, :, 1] < bottom)
            shown[far] &= ~behind
    if wall is not None:
        aside = bodies[:, :PARTS, 0] / np.maximum(bodies[:, :PARTS, 2], 0.05)
        shown &= ~((aside > wall[0]) & (aside < wall[1]) & (bodies[:, :PARTS, 2] > wall[2]))
    shown &= rng.random(shown.shape) >= walk.lose_part
    return shown


def _scenery(rng: np.random.Generator, camera: Camera) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Walls and ground far away, twice as wide as the picture each way, and the camera's matrix of it."""
    width, height = (2 * side for side in camera.size_wh)
    canvas = paint.paint_background(rng, (width, height))
    for _ in range(60):
        left, top = rng.uniform(0, width), rng.uniform(0, height)
        corner = (int(left + rng.uniform(10, 160)), int(top + rng.uniform(10, 160)))
        cv2.rectangle(canvas, (int(left), int(top)), corner, paint.random_colour(rng).tolist(), -1)
    matrix = np.array([[camera.focal[0], 0, (width - 1) / 2], [0, camera.focal[1], (height - 1) / 2], [0, 0, 1]])
    return np.clip(canvas, 0, 255).astype(np.uint8), matrix


def _picture(
    scenery: tuple[NDArray[np.uint8], NDArray[np.float64]],
    camera: Camera,
    turn: NDArray[np.float64],
    crowd: list[_Walker],
    seen_from: NDArray[np.float64],
    pixels: NDArray[np.float64],
    light: float,
    rng: np.random.Generator,
    wall: tuple[float, float, float] | None,
) -> NDArray[np.uint8]:
    """The picture of a moment, far people first, with noise and a light that wavers."""
    far, matrix = scenery
    own = np.array([[camera.focal[0], 0, camera.centre[0]], [0, camera.focal[1], camera.centre[1]], [0, 0, 1]])
    image = np.asarray(
        cv2.warpPerspective(far, own @ turn @ np.linalg.inv(matrix), camera.size_wh, borderMode=cv2.BORDER_REFLECT), np.uint8
    )
    for index in np.argsort(-seen_from[:, body.PELVIS, 2]):
        if seen_from[index, body.PELVIS, 2] > 0.5:
            _paint(image, crowd[index], pixels[index], camera.focal[0] * crowd[index].height_m / seen_from[index, body.PELVIS, 2])
    if wall is not None:
        corners = np.array([[wall[0], -1], [wall[1], -1], [wall[1], 1], [wall[0], 1]]) * wall[2]
        turned = np.concatenate([corners, np.full((4, 1), wall[2])], axis=1) @ turn.T
        cv2.fillConvexPoly(image, np.round(_project(turned, camera)).astype(np.int32), (96, 104, 110))
    noisy = image * np.float32(light) + rng.standard_normal(image.shape, np.float32) * np.float32(4)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def _paint(image: NDArray[np.uint8], one: _Walker, points: NDArray[np.float64], unit: float) -> None:
    """Someone in flat colours; `unit` is the body height in pixels."""

    def pixel(part: int) -> tuple[int, int]:
        x, y = np.clip(np.round(points[part]), -20000, 20000).astype(int).tolist()
        return x, y

    for start, end, thick, cloth in _LIMBS:
        cv2.line(image, pixel(start), pixel(end), one.looks[cloth].tolist(), max(1, round(thick * unit)), cv2.LINE_AA)
    trunk = np.array([pixel(part) for part in (body.R_SHOULDER, body.L_SHOULDER, body.L_HIP, body.R_HIP)], np.int32)
    cv2.fillConvexPoly(image, trunk, one.looks["shirt"].tolist(), cv2.LINE_AA)
    cv2.polylines(image, [trunk], True, one.looks["shirt"].tolist(), max(1, round(0.06 * unit)), cv2.LINE_AA)
    head = ((points[body.CHIN] + points[body.CROWN]) / 2).round().astype(int)
    cv2.circle(image, (int(head[0]), int(head[1])), max(1, round(0.055 * unit)), one.looks["skin"].tolist(), -1, cv2.LINE_AA)
