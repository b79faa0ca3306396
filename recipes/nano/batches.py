"""Batches for training: crops of labelled canvases, flipped and recoloured, each decided by (seed, step) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from drawings import SIGMA
from numpy.typing import NDArray
from scales import FEATURE_SCALE, MAP_SCALE, MAPS, WEIGHT_SCALE

from posetrt.runtime.heads.paf.layout import MapLayout

STRIDE = 8
FEATURES = 128
# Of coco18: what is seen of a person from every side, and from the front alone.
SHOULDERS, EYES = [2, 5], [14, 15]
PEAK_CELLS = SIGMA / STRIDE
# The sum of one peak of the maps, times MAP_SCALE.
PEAK_MASS = 2 * np.pi * PEAK_CELLS**2 * MAP_SCALE


@dataclass(frozen=True)
class Canvases:
    """Labelled pictures, all of one size.

    Attributes:
        images: (n, H, W, 3) uint8 BGR.
        maps: (n, 57, H/8, W/8) int8, times MAP_SCALE.
        weights: as maps, uint8, times WEIGHT_SCALE: W of the loss; None for drawn scenes, of which everything is known.
        features: (n, 128, H/8, W/8) uint8 of the teacher, times FEATURE_SCALE; None for drawn scenes, which have no teacher.
    """

    images: NDArray[np.uint8]
    maps: NDArray[np.int8]
    weights: NDArray[np.uint8] | None = None
    features: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        inputs: (B, 3, S, S) float32 normalised.
        maps, weights: (B, 57, s, s).
        features: (B, 128, s, s).
        hinted: (B,) 1 where features are known, else 0.
    """

    inputs: NDArray[np.float32]
    maps: NDArray[np.float32]
    weights: NDArray[np.float32]
    features: NDArray[np.float32]
    hinted: NDArray[np.float32]


def load_canvases(paths: Sequence[Path]) -> Canvases:
    """Join stored chunks in the order given; beside the whole, one chunk at a time is in memory."""
    whole: dict[str, NDArray[np.generic]] = {}
    for place, path in enumerate(paths):
        with np.load(path) as stored:
            for name in stored.files:
                part = stored[name]
                if place == 0:
                    whole[name] = np.empty((len(paths) * len(part), *part.shape[1:]), part.dtype)
                whole[name][place * len(part) : (place + 1) * len(part)] = part
    return Canvases(**whole)  # type: ignore[arg-type]


def facelessness(maps: NDArray[np.int8]) -> NDArray[np.int32]:
    """(..., h, w) of maps (..., 57, h, w): positive where shoulders are, negative where eyes are; in sum, how many people are seen from behind."""
    return maps[..., SHOULDERS, :, :].sum(axis=-3, dtype=np.int32) - maps[..., EYES, :, :].sum(axis=-3, dtype=np.int32)


def turned_away(canvases: Canvases) -> NDArray[np.intp]:
    """Which pictures have someone who is seen from behind or from the side."""
    return np.flatnonzero([facelessness(maps).sum() > 0.8 * PEAK_MASS for maps in canvases.maps])


def mirrored_channels(layout: MapLayout) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Which channel each of the 57 comes from in a mirrored picture, and its sign: parts and PAFs swap sides, x turns around."""
    skeleton = layout.skeleton
    source = np.arange(layout.heatmap_channels + layout.paf_channel_count)
    sign = np.ones(len(source), np.float32)
    source[: len(skeleton.parts)] = skeleton.mirror
    first = layout.heatmap_channels
    channels = dict(zip(skeleton.limbs, layout.paf_channels, strict=True))
    for (start, end), (x, y) in channels.items():
        partner_x, partner_y = channels[skeleton.mirror[start], skeleton.mirror[end]]
        source[first + x], source[first + y] = first + partner_x, first + partner_y
        sign[first + x] = -1
    return source, sign


def recoloured(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Light, contrast, colour, blur and noise as cameras vary them; normalised to (x - 128) / 256."""
    if rng.random() < 0.2:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), float(rng.uniform(0.4, 1.3))), np.uint8)
    picture = crop.astype(np.float32)
    if rng.random() < 0.1:
        picture[:] = picture.mean(axis=2, keepdims=True)
    gain = float(rng.uniform(0.7, 1.3)) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    picture = (picture - 128) * gain + float(rng.uniform(-28, 28))
    if rng.random() < 0.2:
        picture += rng.standard_normal(picture.shape, np.float32) * float(rng.uniform(2, 9))
    return np.clip(picture, -128, 127) / np.float32(256)


def busiest(weights: NDArray[np.int64], size: int, rng: np.random.Generator, tries: int) -> tuple[int, int]:
    """Row and column (in cells) of the one of `tries` random squares of `size` cells with the greatest sum of weights."""
    best, place = -(10**9), (0, 0)
    for _ in range(tries):
        row, column = (int(rng.integers(side - size + 1)) for side in weights.shape)
        total = int(weights[row : row + size, column : column + size].sum())
        if total > best:
            best, place = total, (row, column)
    return place


def draw_trunk_batch(
    photographs: Canvases,
    scenes: Canvases,
    trunk: tuple[NDArray[np.float16], NDArray[np.float16]],
    seed: tuple[int, int],
    count: int,
    size: int,
    drawn: float,
) -> Batch:
    """One batch of what the trunk gives (`inputs` (B, 128, s, s)) in the place of pictures; neither mirrored nor recoloured.

    Args:
        trunk: of the photographs and of the scenes, (n, 128, H/8, W/8) each.
        photographs, scenes, seed, count, size, drawn: as for `draw_batch`.
    """
    rng = np.random.default_rng(seed)
    cells = size // STRIDE
    batch = Batch(
        np.empty((count, FEATURES, cells, cells), np.float32),
        np.empty((count, MAPS, cells, cells), np.float32),
        np.ones((count, MAPS, cells, cells), np.float32),
        np.zeros((count, FEATURES, cells, cells), np.float32),
        np.zeros(count, np.float32),
    )
    from_scenes = round(count * drawn)
    for slot in range(count):
        canvases, given = (scenes, trunk[1]) if slot < from_scenes else (photographs, trunk[0])
        index = int(rng.integers(len(canvases.images)))
        maps = canvases.maps[index]
        busy = np.maximum(maps[:18], 0).sum(axis=0, dtype=np.int64)
        row, column = busiest(busy, cells, rng, 1 if rng.random() < 0.3 else 3)
        part = (index, slice(None), slice(row, row + cells), slice(column, column + cells))
        batch.inputs[slot] = given[part]
        batch.maps[slot] = canvases.maps[part].astype(np.float32) / np.float32(MAP_SCALE)
        if canvases.weights is not None and canvases.features is not None:
            batch.weights[slot] = canvases.weights[part].astype(np.float32) / np.float32(WEIGHT_SCALE)
            batch.features[slot] = canvases.features[part].astype(np.float32) / np.float32(FEATURE_SCALE)
            batch.hinted[slot] = 1
    return batch


def draw_batch(
    photographs: Canvases,
    scenes: Canvases | None,
    layout: MapLayout,
    seed: tuple[int, int],
    count: int,
    size: int,
    drawn: float,
    flipped: float = 0.3,
    away: NDArray[np.intp] | None = None,
) -> Batch:
    """One batch.

    Args:
        photographs, scenes: where the crops come from.
        layout: for the mirror.
        seed: (run, step): decides everything.
        count, size: crops, and their side in pixels, a multiple of 8.
        drawn: share of the crops that are drawn scenes.
        flipped: share of the crops that are mirrored, of which the teacher's features are not known.
        away: the scenes in which someone turns away (`turned_away`): every other drawn crop is of one, about that person.
    """
    rng = np.random.default_rng(seed)
    source, sign = mirrored_channels(layout)
    cells = size // STRIDE
    batch = Batch(
        np.empty((count, 3, size, size), np.float32),
        np.empty((count, MAPS, cells, cells), np.float32),
        np.ones((count, MAPS, cells, cells), np.float32),
        np.zeros((count, FEATURES, cells, cells), np.float32),
        np.zeros(count, np.float32),
    )
    from_scenes = round(count * drawn) if scenes is not None else 0
    for slot in range(count):
        canvases = scenes if scenes is not None and slot < from_scenes else photographs
        from_away = away is not None and slot < from_scenes and slot % 2 == 0
        index = int(rng.choice(away) if from_away else rng.integers(len(canvases.images)))
        maps = canvases.maps[index]
        busy = facelessness(maps).astype(np.int64) if from_away else np.maximum(maps[:18], 0).sum(axis=0, dtype=np.int64)
        row, column = busiest(busy, cells, rng, 1 if rng.random() < 0.3 else 3)
        rows, columns = slice(row, row + cells), slice(column, column + cells)
        crop = canvases.images[index, row * STRIDE : row * STRIDE + size, column * STRIDE : column * STRIDE + size]
        flip = rng.random() < flipped
        labels = maps[:, rows, columns].astype(np.float32) / np.float32(MAP_SCALE)
        picture = recoloured(crop, rng).transpose(2, 0, 1)
        batch.inputs[slot] = picture[:, :, ::-1] if flip else picture
        batch.maps[slot] = labels[source, :, ::-1] * sign[:, None, None] if flip else labels
        if canvases.weights is not None:
            weight = canvases.weights[index][:, rows, columns].astype(np.float32) / np.float32(WEIGHT_SCALE)
            batch.weights[slot] = weight[source, :, ::-1] if flip else weight
        if canvases.features is not None and not flip:
            batch.features[slot] = canvases.features[index][:, rows, columns].astype(np.float32) / np.float32(FEATURE_SCALE)
            batch.hinted[slot] = 1
    return batch
