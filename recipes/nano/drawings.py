"""Drawn training canvases: scenes with the paper's own targets, stored as the photographs' canvases are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from canvases import CANVAS, CELLS, CHUNK, MAP_SCALE, MAPS

from posetrt.calib.scenes import draw_scene
from posetrt.calib.targets import draw_targets
from posetrt.runtime.skeleton import load_skeleton

SIGMA = 9.0
TRAIN_SEEDS = 10_000_000


def draw_chunk(chunk: int, store: Path) -> Path:
    """Draw and label `CHUNK` scenes; a chunk that is there already is kept. Layout as in `canvases.label_chunk`, without hints.

    sigma is 9 px, as wide as the teacher's peaks. Tests and figures use seeds below `TRAIN_SEEDS`.
    """
    target = store / f"{chunk:03d}.npz"
    if target.is_file():
        return target
    store.mkdir(parents=True, exist_ok=True)
    skeleton = load_skeleton("coco18")
    images = np.empty((CHUNK, CANVAS, CANVAS, 3), np.uint8)
    maps = np.empty((CHUNK, MAPS, CELLS, CELLS), np.int8)
    for index in range(CHUNK):
        scene = draw_scene(TRAIN_SEEDS + chunk * CHUNK + index, (CANVAS, CANVAS))
        targets = draw_targets(scene.keypoints, skeleton, (CANVAS, CANVAS), sigma=SIGMA)
        images[index] = scene.image
        maps[index] = np.clip(np.round(np.concatenate([targets.heatmaps, targets.pafs]) * MAP_SCALE), -127, 127)
    temporary = store / f".{chunk:03d}.npz"
    np.savez(temporary, images=images, maps=maps)
    temporary.replace(target)
    return target
