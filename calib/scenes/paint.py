"""Paint for drawn scenes: shaded, clothed limbs, and the clutter behind and before them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float32]


@dataclass(frozen=True)
class Light:
    """Where light comes from and how strong it is.

    Attributes:
        direction: unit vector towards the light; x right, y down, z to the viewer.
        ambient: share of the light that reaches everything, 0 to 1.
    """

    direction: tuple[float, float, float]
    ambient: float


@dataclass(frozen=True)
class Cloth:
    """How a surface looks.

    Attributes:
        colour, second: (3,) float32 BGR 0 to 255.
        pattern: "plain", "rings" (across the limb), "stripes" (along it), "checks" or "blotches".
        period: of the pattern, in body heights.
    """

    colour: Colour
    second: Colour
    pattern: str = "plain"
    period: float = 0.03


def random_light(rng: np.random.Generator) -> Light:
    """Mostly from above, sometimes harsh."""
    way = np.array([rng.normal(0, 0.7), rng.normal(-0.7, 0.4), abs(rng.normal(0.8, 0.4)) + 0.1])
    way /= np.linalg.norm(way)
    return Light((float(way[0]), float(way[1]), float(way[2])), float(rng.uniform(0.35, 0.8)))


def random_colour(rng: np.random.Generator) -> Colour:
    """Any colour, greys and dark ones more often, as clothes and walls are."""
    hue, value = rng.uniform(0, 180), rng.beta(1.3, 1.2) * 235 + 15
    saturation = rng.beta(0.9, 2.0) * 255
    pixel = np.array([[[hue, saturation, value]]], np.uint8)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0], np.float32)


def random_cloth(rng: np.random.Generator) -> Cloth:
    """A garment."""
    pattern = str(rng.choice(["plain", "rings", "stripes", "checks", "blotches"], p=[0.62, 0.12, 0.08, 0.08, 0.1]))
    return Cloth(random_colour(rng), random_colour(rng), pattern, float(rng.uniform(0.015, 0.06)))


def random_skin(rng: np.random.Generator) -> Cloth:
    """Skin from dark to fair."""
    tone = float(rng.beta(1.6, 1.1))
    dark, fair = np.array([35, 50, 80], np.float32), np.array([165, 190, 235], np.float32)
    colour = (dark + (fair - dark) * tone + rng.normal(0, 6, 3)).astype(np.float32)
    return Cloth(colour, colour)


def _patterned(cloth: Cloth, along: NDArray[np.float32], across: NDArray[np.float32], unit: float) -> NDArray[np.float32]:
    """(h, w, 3) colour by the place on the limb."""
    if cloth.pattern == "plain":
        return np.broadcast_to(cloth.colour, (*along.shape, 3))
    turns = np.float32(2 * np.pi / max(cloth.period * unit, 2.0))
    if cloth.pattern == "rings":
        wave = np.sin(along * turns)
    elif cloth.pattern == "stripes":
        wave = np.sin(across * turns)
    elif cloth.pattern == "checks":
        wave = np.sin(along * turns) * np.sin(across * turns)
    else:
        wave = np.sin(along * turns * 0.7 + np.sin(across * turns)) + np.sin(across * turns * 0.9 + 2 * np.sin(along * turns * 0.6)) - 0.6
    share = np.clip(wave * 3 + 0.5, 0, 1)[..., None].astype(np.float32)
    mixed: NDArray[np.float32] = cloth.colour * (1 - share) + cloth.second * share
    return mixed


def paint_limb(
    canvas: NDArray[np.float32],
    owners: NDArray[np.int16],
    owner: int,
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
    radii: tuple[float, float],
    cloth: Cloth,
    light: Light,
    unit: float,
    cap: tuple[NDArray[np.float64], Cloth, float] | None = None,
) -> None:
    """Paint a round limb, thicker at one end, over what is there.

    Args:
        canvas: (H, W, 3) float32 BGR, painted in place.
        owners: (H, W) int16: whose body covers each pixel, written in place.
        owner: number to write there.
        ends: two points (x, y, z) in pixels.
        radii: at the two ends, in pixels.
        cloth, light: its look.
        unit: pixels a body height, for patterns.
        cap: hair: the (3, 3) turn of the head, the hair's look, and how far it comes down the brow (-1 to 1).
    """
    (ax, ay), (bx, by) = ends[0][:2], ends[1][:2]
    reach = max(radii) + 1
    left, right = int(max(0, np.floor(min(ax, bx) - reach))), int(min(canvas.shape[1], np.ceil(max(ax, bx) + reach) + 1))
    top, bottom = int(max(0, np.floor(min(ay, by) - reach))), int(min(canvas.shape[0], np.ceil(max(ay, by) + reach) + 1))
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(ax)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(ay)
    way = np.array([bx - ax, by - ay], np.float32)
    length = float(np.hypot(*way))
    unit_way = way / np.float32(max(length, 1e-6))
    along = x * unit_way[0] + y * unit_way[1]
    inside = np.clip(along, 0, np.float32(length))
    off_x, off_y = x - inside * unit_way[0], y - inside * unit_way[1]
    radius = np.float32(radii[0]) + np.float32(radii[1] - radii[0]) * inside / np.float32(max(length, 1e-6))
    distance = np.sqrt(off_x * off_x + off_y * off_y)
    alpha = np.clip(radius - distance + 0.5, 0, 1)
    normal_x, normal_y = off_x / np.maximum(radius, 0.5), off_y / np.maximum(radius, 0.5)
    normal_z = np.sqrt(np.clip(1 - normal_x**2 - normal_y**2, 0, 1))
    lit = np.clip(normal_x * light.direction[0] + normal_y * light.direction[1] + normal_z * light.direction[2], 0, 1)
    shade = np.float32(light.ambient) + np.float32(1.15 - light.ambient) * lit
    colour = _patterned(cloth, along, -x * unit_way[1] + y * unit_way[0], unit)
    if cap is not None:
        turn, hair, brow = cap
        forward = normal_x * turn[0, 2] + normal_y * turn[1, 2] + normal_z * turn[2, 2]
        down = (along - np.float32(length / 2)) / np.float32(length / 2 + max(radii)) * -1
        haired = (forward < 0.25 - 0.9 * np.maximum(-down, 0)) | (down < brow)
        colour = np.where(haired[..., None], hair.colour, colour)
    patch = canvas[top:bottom, left:right]
    patch += alpha[..., None] * (np.clip(colour * shade[..., None], 0, 255) - patch)
    owners[top:bottom, left:right][alpha > 0.5] = owner


def paint_dot(canvas: NDArray[np.float32], centre: NDArray[np.float64], radius: float, colour: Colour) -> None:
    """Blend a small round spot, an eye or a mouth; it may be smaller than a pixel."""
    left, top = int(np.floor(centre[0] - radius - 1)), int(np.floor(centre[1] - radius - 1))
    right, bottom = int(np.ceil(centre[0] + radius + 2)), int(np.ceil(centre[1] + radius + 2))
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, canvas.shape[1]), min(bottom, canvas.shape[0])
    if left >= right or top >= bottom:
        return
    x, y = np.arange(left, right) - centre[0], np.arange(top, bottom) - centre[1]
    alpha = np.clip(radius - np.hypot(x[None, :], y[:, None]) + 0.5, 0, 1) * min(1.0, 2 * radius)
    patch = canvas[top:bottom, left:right]
    patch += alpha[..., None].astype(np.float32) * (colour - patch)


def _noise(rng: np.random.Generator, size_wh: tuple[int, int], cell: float) -> NDArray[np.float32]:
    """(H, W) smooth noise about 0 whose features are `cell` pixels large."""
    grid = rng.standard_normal((max(2, round(size_wh[1] / cell) + 1), max(2, round(size_wh[0] / cell) + 1)), np.float32)
    return np.asarray(cv2.resize(grid, size_wh, interpolation=cv2.INTER_CUBIC), np.float32)


def paint_background(rng: np.random.Generator, size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W, 3) float32 BGR: a place without people: sky or wall, ground, foliage, furniture and other clutter."""
    width, height = size_wh
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = random_colour(rng) * (1 - ramp) + random_colour(rng) * ramp
    if rng.random() < 0.7:
        horizon = int(height * rng.uniform(0.35, 0.9))
        canvas[horizon:] = random_colour(rng) * ramp[horizon:] + random_colour(rng) * (1 - ramp[horizon:])
    for _ in range(int(rng.integers(0, 4))):
        mask = np.clip(_noise(rng, size_wh, float(rng.uniform(10, 120))) * 4 - float(rng.uniform(0, 5)), 0, 1)[..., None]
        leaves = random_colour(rng) * (1 + 0.25 * _noise(rng, size_wh, float(rng.uniform(2, 12)))[..., None])
        canvas += mask * (leaves - canvas)
    for _ in range(int(rng.integers(2, 22))):
        paint_clutter(rng, canvas)
    for cell in (float(rng.uniform(40, 200)), float(rng.uniform(6, 30)), float(rng.uniform(1.5, 4))):
        canvas += _noise(rng, size_wh, cell)[..., None] * float(rng.uniform(0, 11))
    if rng.random() < 0.7:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.3, 3.0))), np.float32)
    return np.clip(canvas, 0, 255)


def paint_clutter(rng: np.random.Generator, canvas: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Paint one thing that is no person: a box, a pillar, a disc, a bar, a grid; gives the (H, W) mask of what it covers."""
    height, width = canvas.shape[:2]
    mask: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
    centre = (int(rng.integers(width)), int(rng.integers(height)))
    reach = float(np.exp(rng.uniform(np.log(0.03), np.log(0.4)))) * min(height, width)
    kind = rng.choice(["box", "disc", "bar", "polygon", "grid"], p=[0.34, 0.14, 0.26, 0.16, 0.1])
    if kind in ("box", "grid"):
        corners = cv2.boxPoints((centre, (reach * rng.uniform(0.4, 3), reach * rng.uniform(0.4, 2)), float(rng.normal(0, 8))))
        cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 255)
        if kind == "grid":
            step = int(rng.integers(4, 20))
            mask[np.arange(height) % step >= max(1, step // 4)] &= np.where(np.arange(width) % step >= max(1, step // 4), 0, 255).astype(
                np.uint8
            )
    elif kind == "disc":
        cv2.ellipse(
            mask, centre, (max(1, round(reach * 0.6)), max(1, round(reach * rng.uniform(0.2, 0.9)))), rng.uniform(0, 180), 0, 360, 255, -1
        )
    elif kind == "bar":
        angle = rng.uniform(0, np.pi)
        end = (int(centre[0] + np.cos(angle) * reach * 4), int(centre[1] + np.sin(angle) * reach * 4))
        cv2.line(mask, centre, end, 255, max(1, round(reach * rng.uniform(0.03, 0.35))), cv2.LINE_AA)
    else:
        points = np.array(centre) + rng.normal(0, reach * 0.6, (int(rng.integers(3, 7)), 2))
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 255, cv2.LINE_AA)
    ramp = np.linspace(float(rng.uniform(0.7, 1)), float(rng.uniform(0.8, 1.2)), width, dtype=np.float32)[None, :, None]
    alpha = mask[..., None].astype(np.float32) / 255
    canvas += alpha * (random_colour(rng) * ramp - canvas)
    return mask > 127
