"""Drawn people: articulated random poses with known key points, and the maps that a network would give for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.scenes.targets import draw_targets
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.model.skeleton import Skeleton

# A figure of height 1, standing, seen from the front: x to the right of the image, y down, origin at the neck. The person's right is left.
_STANDING = {
    "Nose": (0.0, -0.09), "Neck": (0.0, 0.0), "REye": (-0.025, -0.115), "LEye": (0.025, -0.115), "REar": (-0.055, -0.10), "LEar": (0.055, -0.10),
    "RShoulder": (-0.11, 0.01), "RElbow": (-0.14, 0.18), "RWrist": (-0.15, 0.33), "LShoulder": (0.11, 0.01), "LElbow": (0.14, 0.18),
    "LWrist": (0.15, 0.33), "MidHip": (0.0, 0.32), "RHip": (-0.07, 0.32), "RKnee": (-0.08, 0.56), "RAnkle": (-0.08, 0.80),
    "LHip": (0.07, 0.32), "LKnee": (0.08, 0.56), "LAnkle": (0.08, 0.80), "LBigToe": (0.13, 0.85), "LSmallToe": (0.15, 0.84), "LHeel": (0.075, 0.83),
    "RBigToe": (-0.13, 0.85), "RSmallToe": (-0.15, 0.84), "RHeel": (-0.075, 0.83),
}  # fmt: skip

# What turns about what, and by how many radians (standard deviation): everything in the second entry turns about the first.
_TURNS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("Neck", ("Nose", "REye", "LEye", "REar", "LEar"), 0.25),
    ("RShoulder", ("RElbow", "RWrist"), 0.9),
    ("RElbow", ("RWrist",), 0.9),
    ("LShoulder", ("LElbow", "LWrist"), 0.9),
    ("LElbow", ("LWrist",), 0.9),
    ("RHip", ("RKnee", "RAnkle", "RBigToe", "RSmallToe", "RHeel"), 0.35),
    ("RKnee", ("RAnkle", "RBigToe", "RSmallToe", "RHeel"), 0.35),
    ("LHip", ("LKnee", "LAnkle", "LBigToe", "LSmallToe", "LHeel"), 0.35),
    ("LKnee", ("LAnkle", "LBigToe", "LSmallToe", "LHeel"), 0.35),
)

_HUBS = ("Neck", "MidHip")

_TRUNK = 0.15
"""Standard deviation of the whole figure's lean, in radians."""


@dataclass(frozen=True)
class Scene:
    """A drawn frame and the truth of it.

    Attributes:
        keypoints: (N, K, 3) float64: x, y in heat-map cells, score 1 or, for a hidden joint, 0.
        areas: (N,) float64, cells²: of the box of each whole figure, as COCO's segment areas go (0.53 of the box).
        heatmaps, pafs: float32, in the layout asked for, with noise.
    """

    keypoints: NDArray[np.float64]
    areas: NDArray[np.float64]
    heatmaps: NDArray[np.float32]
    pafs: NDArray[np.float32]


def draw_figures(
    people: int,
    skeleton: Skeleton,
    size_wh: tuple[int, int],
    rng: np.random.Generator,
    *,
    hidden: float = 0.1,
    hide_hubs: bool = False,
    tries: int = 10,
) -> NDArray[np.float64]:
    """(N, K, 3): random figures in network pixels, score 1 or 0 (hidden, or outside the frame).

    One figure is 60-95 % of the frame's height; the range falls with the logarithm of their number to 14-30 % at fifty, and stays there.
    Each figure stands where, of `tries` random places, its box overlaps those of the others least: people keep out of one another's
    way. With one try they stand anywhere, even inside each other.

    Each joint is hidden with the probability `hidden`; neck and mid-hip only with `hide_hubs`, since without them no chain of limbs
    joins a figure's halves, and no decoder that goes by limbs can find the whole of it.

    Raises:
        UsageError: the skeleton has parts that the figure has not.
    """
    missing = set(skeleton.parts) - _STANDING.keys()
    if missing:
        raise UsageError(f"the drawn figure has no parts {sorted(missing)}; use coco18 or body25, or recorded maps with --maps")
    width, height = size_wh
    crowd = min(np.log(people) / np.log(50), 1.0) if people > 1 else 0.0
    low, high = 0.60 + crowd * (0.14 - 0.60), 0.95 + crowd * (0.30 - 0.95)
    figures = np.zeros((people, len(skeleton.parts), 3))
    boxes = np.zeros((0, 4))
    hub = np.array([name in _HUBS and not hide_hubs for name in skeleton.parts])
    for figure in figures:
        pose = {name: np.array(place) for name, place in _STANDING.items()}
        for joint, turned, spread in _TURNS:
            rotation = _rotation(rng.normal(0, spread))
            for name in turned:
                pose[name] = pose[joint] + rotation @ (pose[name] - pose[joint])
        narrow = np.array([rng.uniform(0.5, 1) * rng.choice([-1, 1]), 1])
        lean = _rotation(rng.normal(0, _TRUNK))
        points = np.array([lean @ (narrow * pose[name]) for name in skeleton.parts])
        extent = np.ptp(points, axis=0)
        size = rng.uniform(low, high) * height / extent[1]
        points = (points - points.min(axis=0)) * size
        room = np.array(size_wh) - 1 - extent * size
        places = rng.uniform(np.minimum(0, room), np.maximum(0, room), (tries, 2))
        corners = np.concatenate([places, places + extent * size], axis=1)
        best = _overlap(corners, boxes).argmin()
        boxes = np.concatenate([boxes, corners[best : best + 1]])
        figure[:, :2] = points + places[best]
        inside = (figure[:, :2] >= 0).all(axis=1) & (figure[:, 0] <= width - 1) & (figure[:, 1] <= height - 1)
        figure[:, 2] = inside & ((rng.random(len(points)) >= hidden) | hub)
    return figures


def draw_scene(
    people: int,
    layout: MapLayout,
    shape_hw: tuple[int, int],
    seed: int,
    *,
    noise: float = 0.02,
    stride: int = 8,
    hidden: float = 0.1,
    hide_hubs: bool = False,
    tries: int = 10,
) -> Scene:
    """A frame of maps of `shape_hw` cells with random figures and Gaussian noise on every map.

    A given seed gives the same frame on every machine.
    """
    rng = np.random.default_rng([seed, people])
    size_wh = (shape_hw[1] * stride, shape_hw[0] * stride)
    figures = draw_figures(people, layout.skeleton, size_wh, rng, hidden=hidden, hide_hubs=hide_hubs, tries=tries)
    targets = draw_targets(figures, layout, size_wh, stride)
    boxes = np.ptp(figures[..., :2], axis=1) / stride
    cells = figures.copy()
    cells[..., :2] = (figures[..., :2] + 0.5) / stride - 0.5
    return Scene(
        keypoints=cells,
        areas=0.53 * boxes[:, 0] * boxes[:, 1],
        heatmaps=targets.heatmaps + rng.normal(0, noise, targets.heatmaps.shape).astype(np.float32),
        pafs=targets.pafs + rng.normal(0, noise, targets.pafs.shape).astype(np.float32),
    )


def _overlap(corners: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,): for each of (T, 4) boxes the greatest intersection over union with one of (B, 4) boxes; 0 where there are none."""
    low = np.maximum(corners[:, None, :2], boxes[None, :, :2])
    high = np.minimum(corners[:, None, 2:], boxes[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    area, areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    greatest: NDArray[np.float64] = (shared / (area[:, None] + areas - shared)).max(axis=1, initial=0)
    return greatest


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
