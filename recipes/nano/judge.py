"""What a checkpoint of nano finds: AP on photographs and on drawn scenes, by the project's own parser and pycocotools."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from drawings import SIGMA
from network import HEATMAPS, Nano
from numpy.typing import NDArray
from to_npz import trained_state

from posetrt.calib.accuracy import Accuracy, CocoPhotos, coco_accuracy, coco_photos
from posetrt.calib.scene_truth import write_scenes
from posetrt.calib.scenes import Scene, draw_scene
from posetrt.calib.targets import draw_targets
from posetrt.runtime.letterbox import cells_to_frame, letterbox_for, place
from posetrt.runtime.parser import PafParser
from posetrt.runtime.people import People, to_coco_results
from posetrt.runtime.skeleton import load_skeleton
from posetrt.runtime.sources import read_photo

SIZE_WH = (456, 256)
SCENE_SEEDS = range(1000, 1060)


def accuracy(
    net: Nano, photos: CocoPhotos, gain: float = 1.0, exact: Mapping[int, tuple[slice, NDArray[np.float32]]] | None = None
) -> Accuracy:
    """AP of a network in evaluation mode at 456x256.

    Args:
        gain: multiplies heat maps and PAFs before they are parsed.
        exact: by photograph, channels and the maps that go in their place.
    """
    skeleton = load_skeleton("coco18")
    parser = PafParser(skeleton)
    results = []
    for image_id, path in photos.paths.items():
        frame = read_photo(path)
        box = letterbox_for((frame.shape[1], frame.shape[0]), SIZE_WH)
        canvas = (place(frame, box).transpose(2, 0, 1)[None].astype(np.float32) - 128) / 256
        with torch.inference_mode():
            maps = net(torch.from_numpy(canvas))[0][-1][0].numpy() * gain
        if exact is not None:
            channels, given = exact[image_id]
            maps[channels] = given
        found = parser.parse(maps[:HEATMAPS], maps[HEATMAPS:])
        results += to_coco_results(People(cells_to_frame(found.keypoints, 8, box), found.scores), skeleton, image_id)
    return coco_accuracy(results, photos)


def load_checkpoint(path: Path) -> tuple[int, Nano]:
    """The step and the averaged weights of a checkpoint, or of exported weights (`to_npz.py`, step 0), ready to evaluate."""
    net = Nano()
    if path.suffix == ".npz":
        net.grow()
        with np.load(path) as arrays:
            net.load_state_dict(trained_state(dict(arrays)), strict=False)
        return 0, net.eval()
    stored = torch.load(path, weights_only=True, map_location="cpu")
    net.load_state_dict(stored["smooth"])
    net.grown = stored["grown"]
    return stored["step"], net.eval()


def exact_maps(scenes: Sequence[Scene], which: str) -> dict[int, tuple[slice, NDArray[np.float32]]]:
    """The paper's targets of scenes, numbered as `write_scenes` does: "heatmaps" or "pafs"."""
    channels = slice(0, HEATMAPS) if which == "heatmaps" else slice(HEATMAPS, None)
    skeleton = load_skeleton("coco18")
    drawn = [draw_targets(scene.keypoints, skeleton, SIZE_WH, sigma=SIGMA) for scene in scenes]
    return {number: (channels, one.heatmaps if which == "heatmaps" else one.pafs) for number, one in enumerate(drawn, 1)}


def main() -> None:
    """Print a line of CSV for each checkpoint: step, AP and AP50 on the photographs, AP and AP50 on drawn scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="run.pt, stepNNNNNN.pt, or exported weights (.npz)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--gain", type=float, default=1.0)
    parser.add_argument(
        "--exact", choices=("heatmaps", "pafs"), help="put the drawn scenes' targets in the place of these maps: what the others cost"
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    photos = coco_photos(arguments.data / "person_keypoints.json", arguments.data / "images")
    with tempfile.TemporaryDirectory() as folder:
        scenes = [draw_scene(seed, SIZE_WH) for seed in SCENE_SEEDS]
        exact = exact_maps(scenes, arguments.exact) if arguments.exact is not None else None
        drawings = write_scenes(scenes, Path(folder))
        for path in arguments.checkpoints:
            step, net = load_checkpoint(path)
            real, drawn = accuracy(net, photos, arguments.gain), accuracy(net, drawings, arguments.gain, exact)
            figures = (real.ap, real.ap50, drawn.ap, drawn.ap50)
            sys.stdout.write(",".join([str(step), *(f"{figure:.4f}" for figure in figures)]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
