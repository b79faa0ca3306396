"""Drawn training canvases: scenes with the paper's own targets, stored as the photographs' canvases are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scales import CANVAS, CHUNK, MAP_SCALE, MAPS

from posetrt.calib.scenes.scenes import draw_scene
from posetrt.calib.scenes.targets import draw_targets
from posetrt.runtime.heads.paf.layout import load_layout

SIGMA = 9.0
SQUARE = (CANVAS, CANVAS)
WIDE = (456, 256)
# Of the network that ships.
NETWORK = (416, 280)
# Seeds of the scenes of each size, and the folder that holds them; tests and figures use seeds below all of them.
TRAIN_SEEDS = {SQUARE: 10_000_000, WIDE: 20_000_000, NETWORK: 30_000_000}
FOLDERS = {SQUARE: "scenes", WIDE: "wide", NETWORK: "network"}


def draw_chunk(chunk: int, store: Path, size_wh: tuple[int, int] = SQUARE) -> Path:
    """Draw and label `CHUNK` scenes; a chunk that is there already is kept. Layout as in `canvases.label_chunk`, without hints.

    sigma is 9 px, as wide as the teacher's peaks.
    """
    target = store / f"{chunk:03d}.npz"
    if target.is_file():
        return target
    store.mkdir(parents=True, exist_ok=True)
    layout = load_layout("coco18")
    width, height = size_wh
    images = np.empty((CHUNK, height, width, 3), np.uint8)
    maps = np.empty((CHUNK, MAPS, height // 8, width // 8), np.int8)
    for index in range(CHUNK):
        scene = draw_scene(TRAIN_SEEDS[size_wh] + chunk * CHUNK + index, size_wh)
        targets = draw_targets(scene.keypoints, layout, size_wh, sigma=SIGMA)
        images[index] = scene.image
        maps[index] = np.clip(np.round(np.concatenate([targets.heatmaps, targets.pafs]) * MAP_SCALE), -127, 127)
    temporary = store / f".{chunk:03d}.npz"
    np.savez(temporary, images=images, maps=maps)
    temporary.replace(target)
    return target
