"""What a checkpoint of nano finds: AP on photographs and on drawn scenes, by the project's own parser and pycocotools."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from network import HEATMAPS, Nano

from posetrt.calib.accuracy import Accuracy, CocoPhotos, coco_accuracy, coco_photos
from posetrt.calib.scene_truth import write_scenes
from posetrt.calib.scenes import draw_scene
from posetrt.runtime.letterbox import cells_to_frame, letterbox_for, place
from posetrt.runtime.parser import PafParser
from posetrt.runtime.people import People, to_coco_results
from posetrt.runtime.skeleton import load_skeleton
from posetrt.runtime.sources import read_photo

SIZE_WH = (456, 256)
SCENE_SEEDS = range(1000, 1060)


def accuracy(net: Nano, photos: CocoPhotos, gain: float = 1.0) -> Accuracy:
    """AP of a network in evaluation mode at 456x256; `gain` multiplies heat maps and PAFs before they are parsed."""
    skeleton = load_skeleton("coco18")
    parser = PafParser(skeleton)
    results = []
    for image_id, path in photos.paths.items():
        frame = read_photo(path)
        box = letterbox_for((frame.shape[1], frame.shape[0]), SIZE_WH)
        canvas = (place(frame, box).transpose(2, 0, 1)[None].astype(np.float32) - 128) / 256
        with torch.inference_mode():
            maps = net(torch.from_numpy(canvas))[0][-1][0].numpy() * gain
        found = parser.parse(maps[:HEATMAPS], maps[HEATMAPS:])
        results += to_coco_results(People(cells_to_frame(found.keypoints, 8, box), found.scores), skeleton, image_id)
    return coco_accuracy(results, photos)


def load_checkpoint(path: Path, which: str = "smooth") -> Nano:
    """The averaged weights of a checkpoint, ready to evaluate."""
    net, stored = Nano(), torch.load(path, weights_only=True)
    net.load_state_dict(stored[which])
    net.grown = stored["grown"]
    return net.eval()


def main() -> None:
    """Print a line of CSV for each checkpoint: step, AP and AP50 on the photographs, AP and AP50 on drawn scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--gain", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    photos = coco_photos(arguments.data / "person_keypoints.json", arguments.data / "images")
    with tempfile.TemporaryDirectory() as folder:
        scenes = write_scenes((draw_scene(seed, SIZE_WH) for seed in SCENE_SEEDS), Path(folder))
        for path in arguments.checkpoints:
            net = load_checkpoint(path)
            step = torch.load(path, weights_only=True)["step"]
            real, drawn = accuracy(net, photos, arguments.gain), accuracy(net, scenes, arguments.gain)
            figures = (real.ap, real.ap50, drawn.ap, drawn.ap50)
            sys.stdout.write(",".join([str(step), *(f"{figure:.4f}" for figure in figures)]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
