"""The pictures that nano's shipped calibration saw: `python recipes/nano/calibration_images.py FOLDER --data ../shared/data`.

60 everyday photographs and 40 of sport that were kept out of training, and 50 drawn scenes.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import cv2
from judge import SIZE_WH
from photographs import everyday_photographs, split_photographs

from posetrt.calib.scenes.scenes import draw_scene

EVERYDAY, SPORT = 60, 40
SCENE_SEEDS = range(7000, 7050)


def main() -> None:
    """Fill the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    everyday, sport = everyday_photographs(arguments.data).choosing, split_photographs(arguments.data).calibration
    for path in (*everyday[:EVERYDAY], *sport[:SPORT]):
        shutil.copyfile(path, arguments.folder / path.name)
    for seed in SCENE_SEEDS:
        cv2.imwrite(str(arguments.folder / f"scene{seed}.png"), draw_scene(seed, SIZE_WH).image)


if __name__ == "__main__":
    main()
