"""A second family of drawn crowds, which judges the parser and chooses nothing: other bodies, other maps, other noise than `drawn`.

Never choose a setting, a weight or a threshold by these frames. A benchmark that one tunes on stops telling.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.scenes.drawn import Scene
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.model.skeleton import Skeleton

Vector = NDArray[np.float64]

# Lengths as shares of a standing body's height; widths from the middle to one side.
_TRUNK, _SHOULDER, _HIP, _HEAD = 0.29, 0.115, 0.075, 0.10
_UPPER_ARM, _FOREARM, _THIGH, _SHIN, _FOOT = 0.17, 0.15, 0.24, 0.24, 0.13

_HUBS = ("Neck", "MidHip")
_SEATED = 0.25
"""Share of the bodies that sit."""
_OUTSIDE = 0.1
"""Share of a body's box that may lie outside the frame, on each side."""
_PLACES = 3
"""Random places of which a body takes the one farthest from the others, for its size."""
_SIGMA = 7.0
"""Of the confidence maps, in network pixels, as OpenPose's training code has it: exp(-d² / 2 sigma²), where the paper has exp(-d² / sigma²)."""
_CUT_OFF = 0.01
"""OpenPose's training code leaves a confidence below this at 0."""
_WIDTH = 1.0
"""Half the width of a limb, in cells, as in OpenPose's training code."""
_STRENGTH = (0.6, 1.0)
"""A network is never as sure as its targets: each joint and each limb is as high as this, at random."""


def draw_held_back(people: int, layout: MapLayout, shape_hw: tuple[int, int], seed: int, *, noise: float = 0.02, stride: int = 8) -> Scene:
    """A frame of maps of `shape_hw` cells with bodies posed in space, seen from any side.

    What differs from `drawn.draw_scene`: bones of a body in three dimensions, which turns, sits, bends and lifts its arms; sizes that fall
    with the square root of the number, to 15-30 % of the frame's height at fifty; confidences that add up and are cut off at 1 and .01,
    and limbs one cell to either side whose ends are cut by the box around them, as OpenPose's training code draws them; joints and limbs
    of different strength; noise of which half is smooth over a few cells. Each joint but neck and mid-hip is hidden in one body of ten.

    Args:
        people: number of bodies.
        layout: of a skeleton with PAFs.
        shape_hw: of the maps, in cells.
        seed: a given seed gives the same frame on every machine.
        noise: standard deviation.
        stride: network pixels a cell.

    Raises:
        UsageError: the skeleton has parts that the body lacks.
    """
    rng = np.random.default_rng([seed, people, 24])
    skeleton = layout.skeleton
    cells, areas = _crowd(people, skeleton, shape_hw, rng)
    strength = rng.uniform(*_STRENGTH, cells.shape[:2])
    limbs = rng.uniform(*_STRENGTH, (people, len(skeleton.limbs)))
    heatmaps, pafs = _confidences(cells, strength, layout, shape_hw, _SIGMA / stride), _fields(cells, limbs, layout, shape_hw)
    return Scene(cells, areas, heatmaps + _noise(heatmaps.shape, noise, rng), pafs + _noise(pafs.shape, noise, rng))


def _crowd(people: int, skeleton: Skeleton, shape_hw: tuple[int, int], rng: np.random.Generator) -> tuple[Vector, Vector]:
    """Key points (N, K, 3) in cells, and areas (N,) in cells²."""
    height, width = shape_hw
    tallest = min(0.9, 2.1 / np.sqrt(people)) if people else 0.9
    spared = np.array([name in _HUBS for name in skeleton.parts])
    cells, areas, middles, sizes = np.zeros((people, len(skeleton.parts), 3)), np.zeros(people), np.zeros((people, 2)), np.zeros(people)
    for number in range(people):
        body = _body(rng)
        missing = set(skeleton.parts) - body.keys()
        if missing:
            raise UsageError(f"the drawn body has no parts {sorted(missing)}; use coco18 or body25, or recorded maps with --maps")
        sizes[number] = rng.uniform(0.5, 1) * tallest * height
        points = np.array([body[name] for name in skeleton.parts]) * sizes[number]
        half = np.minimum(np.ptp(points, axis=0) * (0.5 - _OUTSIDE), np.array([width - 1, height - 1]) / 2)
        places = rng.uniform(half, (width - 1, height - 1) - half, (_PLACES, 2))
        apart = np.linalg.norm(places[:, None] - middles[None, :number], axis=2) / (sizes[:number] + sizes[number])
        middles[number] = places[apart.min(axis=1, initial=np.inf).argmax()]
        points += middles[number] - (points.min(axis=0) + points.max(axis=0)) / 2
        inside = (points >= 0).all(axis=1) & (points <= (width - 1, height - 1)).all(axis=1)
        cells[number, :, :2] = points
        cells[number, :, 2] = inside & (spared | (rng.random(len(points)) >= 0.1))
        areas[number] = 0.53 * np.ptp(points, axis=0).prod()
    return cells, areas


def _body(rng: np.random.Generator) -> dict[str, Vector]:
    """Places of all parts of a body of height 1, x to the right, y down; seen from a random side."""
    bend, turn, seated = rng.normal(0, 0.2), rng.uniform(0, 2 * np.pi), rng.random() < _SEATED
    up = np.array([0, -np.cos(bend), np.sin(bend)])
    places: dict[str, Vector] = {"MidHip": np.zeros(3), "Neck": _TRUNK * up}
    head = places["Neck"] + _HEAD * up
    nod = rng.normal(0, 0.2)
    places["Nose"] = head + _swing(nod + np.pi / 2, 0.05)
    for side, sign in (("R", -1.0), ("L", 1.0)):
        across = np.array([sign, 0, 0])
        places[f"{side}Eye"] = head + 0.025 * across + _swing(nod + np.pi / 2, 0.04) + 0.025 * up
        places[f"{side}Ear"] = head + 0.055 * across + 0.01 * up
        shoulder = places["Neck"] + _SHOULDER * across
        lift, raised, elbow = rng.uniform(-0.7, 2.4), rng.uniform(0, 1), rng.uniform(0, 1.8)
        out = np.array([sign * np.sin(raised), 0, 0])
        places[f"{side}Shoulder"] = shoulder
        places[f"{side}Elbow"] = shoulder + _UPPER_ARM * (np.cos(raised) * _swing(lift) + out)
        places[f"{side}Wrist"] = places[f"{side}Elbow"] + _FOREARM * (np.cos(raised) * _swing(lift + elbow) + out)
        thigh = rng.normal(1.4, 0.15) if seated else rng.normal(0, 0.35)
        shin = thigh - abs(rng.normal(1.3 if seated else 0, 0.35))
        places[f"{side}Hip"] = _HIP * across
        places[f"{side}Knee"] = places[f"{side}Hip"] + _swing(thigh, _THIGH)
        places[f"{side}Ankle"] = ankle = places[f"{side}Knee"] + _swing(shin, _SHIN)
        places[f"{side}Heel"] = ankle + _swing(shin - 0.8, 0.04)
        places[f"{side}BigToe"] = ankle + _swing(shin + 1.25, _FOOT) - 0.01 * across
        places[f"{side}SmallToe"] = ankle + _swing(shin + 1.25, 0.85 * _FOOT) + 0.03 * across
    seen = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0]])
    return {name: seen @ place for name, place in places.items()}


def _swing(angle: float, length: float = 1.0) -> Vector:
    """A bone that hangs down at angle 0 and points to the front at a quarter turn."""
    return length * np.array([0, np.cos(angle), np.sin(angle)])


def _confidences(cells: Vector, strength: Vector, layout: MapLayout, shape_hw: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    """Sums of Gaussians, cut off at `_CUT_OFF` and at 1; the background is 1 less the greatest."""
    rows, columns = np.indices(shape_hw)
    maps = np.zeros((layout.heatmap_channels, *shape_hw), np.float32)
    for points, heights in zip(cells, strength, strict=True):
        for part, (x, y, there) in enumerate(points):
            if there:
                bell = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
                maps[part] += heights[part] * bell * (bell > _CUT_OFF)
    np.minimum(maps, 1, out=maps)
    if layout.background:
        maps[-1] = 1 - maps[:-1].max(axis=0)
    return maps


def _fields(cells: Vector, strength: Vector, layout: MapLayout, shape_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Unit vectors, `_WIDTH` cells to either side of each limb, inside the limb's box grown by as much; the mean where limbs cross."""
    rows, columns = np.indices(shape_hw)
    pafs = np.zeros((layout.paf_channel_count, *shape_hw), np.float32)
    for limb, ((first, second), channels) in enumerate(zip(layout.skeleton.limbs, layout.paf_channels, strict=True)):
        covering = np.zeros(shape_hw)
        for number, (start, end) in enumerate(cells[:, (first, second)]):
            way = end[:2] - start[:2]
            length = float(np.hypot(*way))
            if not (start[2] and end[2] and length):
                continue
            unit = way / length
            low = np.round(np.minimum(start, end)[:2] - _WIDTH)
            high = np.round(np.maximum(start, end)[:2] + _WIDTH)
            boxed = (columns >= low[0]) & (columns < high[0]) & (rows >= low[1]) & (rows < high[1])
            covered = boxed & (np.abs(unit[0] * (rows - start[1]) - unit[1] * (columns - start[0])) <= _WIDTH)
            covering += covered
            for channel, component in zip(channels, unit, strict=True):
                pafs[channel] += covered * (component * strength[number, limb])
        pafs[list(channels)] /= np.maximum(covering, 1)
    return pafs


def _noise(shape: tuple[Any, ...], deviation: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise whose power is half white and half smooth: means over three by three cells."""
    white, wide = rng.normal(0, 1, shape), rng.normal(0, 1, (shape[0], shape[1] + 2, shape[2] + 2))
    smooth = sum(wide[:, row : row + shape[1], column : column + shape[2]] for row in range(3) for column in range(3)) / 3
    noise: NDArray[np.float32] = (deviation * (white + smooth) / np.sqrt(2)).astype(np.float32)
    return noise
