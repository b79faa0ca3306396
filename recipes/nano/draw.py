"""Make drawn training canvases: `python recipes/nano/draw.py --store FOLDER/scenes --chunks 4`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from canvases import CANVAS, CELLS, CHUNK, MAP_SCALE, MAPS

from posetrt.calib.scenes import draw_scene
from posetrt.calib.targets import draw_targets
from posetrt.runtime.skeleton import load_skeleton

SIGMA = 9.0
TRAIN_SEEDS = 10_000_000


def make_chunk(chunk: int, store: Path) -> Path:
    """Draw and label `CHUNK` scenes; a chunk that is there already is kept. Layout as in `canvases.make_chunk`, without hints.

    sigma is 9 px, as wide as the teacher's peaks. Tests and figures use seeds below `TRAIN_SEEDS`.
    """
    target = store / f"{chunk:03d}.npz"
    if target.is_file():
        return target
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


def main() -> None:
    """Make chunks one after the other; a run that was stopped goes on where it was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=4)
    arguments = parser.parse_args()
    arguments.store.mkdir(parents=True, exist_ok=True)
    for chunk in range(arguments.chunks):
        started = time.perf_counter()
        make_chunk(chunk, arguments.store)
        print(f"chunk {chunk}: {CHUNK} scenes in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
