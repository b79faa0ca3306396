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
from network import HEATMAPS, Nano, size_of
from numpy.typing import NDArray
from to_npz import trained_state

from posetrt.calib.accuracy.coco import Accuracy, CocoPhotos, coco_accuracy, coco_photos
from posetrt.calib.scenes.scenes import Scene, draw_scene
from posetrt.calib.scenes.targets import draw_targets
from posetrt.calib.scenes.truth import write_scenes
from posetrt.export.weights.zoo import find_network
from posetrt.runtime.heads.cells import in_pixels
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.people import People, to_coco_results
from posetrt.runtime.picture import place
from posetrt.runtime.placement import letterbox
from posetrt.runtime.sources import read_photo

# Of the network that ships. Drawn scenes that judge are of this size too.
SIZE_WH = find_network("nano").size_wh
FIRST_SEED, SCENES = 1000, 60
# Least score of a person, as nano's manifest has it.
LEAST = find_network("nano").least or 0.5


def accuracy(
    net: Nano,
    photos: CocoPhotos,
    exact: Mapping[int, tuple[slice, NDArray[np.float32]]] | None = None,
    size_wh: tuple[int, int] = SIZE_WH,
) -> Accuracy:
    """AP of a network in evaluation mode.

    Args:
        exact: by photograph, channels and the maps that go in their place.
        size_wh: at which it is shown them.
    """
    layout = load_layout("coco18")
    skeleton = layout.skeleton
    parser = PafParser(layout, min_score=LEAST)
    results = []
    for image_id, path in photos.paths.items():
        frame = read_photo(path)
        box = letterbox((frame.shape[1], frame.shape[0]), size_wh)
        maps = maps_of(net, place(frame, box))
        if exact is not None:
            channels, given = exact[image_id]
            maps[channels] = given
        found = parser.parse(maps[:HEATMAPS], maps[HEATMAPS:])
        results += to_coco_results(box.people_to_frame(in_pixels(found, 8)), skeleton, image_id)
    return coco_accuracy(results, photos)


def people_in(net: Nano, frame: NDArray[np.uint8], parser: PafParser, size_wh: tuple[int, int] = SIZE_WH) -> People:
    """The people in a (H, W, 3) BGR frame, in its pixels."""
    box = letterbox((frame.shape[1], frame.shape[0]), size_wh)
    maps = maps_of(net, place(frame, box))
    return box.people_to_frame(in_pixels(parser.parse(maps[:HEATMAPS], maps[HEATMAPS:]), 8))


def maps_of(net: Nano, canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(57, h, w): the best guess for a (H, W, 3) BGR picture."""
    inputs = (canvas.transpose(2, 0, 1)[None].astype(np.float32) - 128) / 256
    with torch.inference_mode():
        maps: NDArray[np.float32] = net(torch.from_numpy(inputs))[0][0].numpy()
    return maps


def false_people(net: Nano, photographs: Sequence[Path]) -> float:
    """People found a photograph, by the default preset, in photographs without people."""
    parser = PafParser(load_layout("coco18"), min_score=LEAST)
    return float(np.mean([len(people_in(net, read_photo(path), parser).keypoints) for path in photographs])) if photographs else 0.0


def swapped(net: Nano, scenes: Sequence[Scene]) -> dict[str, float]:
    """How often the other side's heat map is the higher one where a limb's part lies, by how many eyes can be seen: 2 front, 1 side, 0 back.

    Counted are elbows, wrists, knees and ankles whose partner is at least 10 px away.
    """
    layout = load_layout("coco18")
    skeleton = layout.skeleton
    found: dict[str, list[bool]] = {"front": [], "side": [], "back": []}
    eyes = [skeleton.parts.index(name) for name in ("REye", "LEye")]
    limbs = [part for part, name in enumerate(skeleton.parts) if name[1:] in ("Elbow", "Wrist", "Knee", "Ankle")]
    for scene in scenes:
        maps = maps_of(net, scene.image)
        last = np.array(maps.shape[:0:-1]) - 1
        for person in scene.keypoints:
            view = ("back", "side", "front")[int((person[eyes, 2] > 0).sum())]
            for part in limbs:
                other = skeleton.mirror[part]
                apart = np.hypot(*(person[part, :2] - person[other, :2])) >= 10 or person[other, 2] == 0
                if person[part, 2] > 0 and apart:
                    x, y = np.clip(np.round((person[part, :2] + 0.5) / 8 - 0.5), 0, last).astype(int)
                    found[view].append(bool(maps[other, y, x] > maps[part, y, x]))
    return {view: float(np.mean(ones)) for view, ones in found.items()}


def load_checkpoint(path: Path) -> tuple[int, Nano]:
    """The step and the averaged weights of a checkpoint, of exported weights (`to_npz.py`), or of the beginning (step 0), to evaluate."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            state, step = trained_state(dict(arrays))
    else:
        stored = torch.load(path, weights_only=True, map_location="cpu")
        state, step = stored.get("smooth", stored), stored["step"] if "smooth" in stored else 0
    net = Nano(size_of(state))
    net.load_state_dict(state)
    return step, net.eval()


def exact_maps(scenes: Sequence[Scene], which: str) -> dict[int, tuple[slice, NDArray[np.float32]]]:
    """The paper's targets of scenes, numbered as `write_scenes` does: "heatmaps", "pafs" or "both"."""
    channels = {"heatmaps": slice(0, HEATMAPS), "pafs": slice(HEATMAPS, None), "both": slice(None)}[which]
    layout = load_layout("coco18")
    drawn = [draw_targets(scene.keypoints, layout, SIZE_WH, sigma=SIGMA) for scene in scenes]
    return {number: (channels, np.concatenate([one.heatmaps, one.pafs])[channels]) for number, one in enumerate(drawn, 1)}


def main() -> None:
    """Print a line of CSV for each checkpoint.

    Step, AP and AP50 on the photographs, AP and AP50 on drawn scenes, people found a photograph of `nobody/`.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="run.pt, stepNNNNNN.pt, or exported weights (.npz)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--exact",
        choices=("heatmaps", "pafs", "both"),
        help="put the drawn scenes' targets in the place of these maps: what the others cost; with both, the parser",
    )
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"of the {SCENES} drawn scenes (default {FIRST_SEED})")
    parser.add_argument("--sides", action="store_true", help="print how often left and right are confused, by view, in place of AP")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    nobody = sorted((arguments.data / "nobody").glob("*.jpg"))
    photos = coco_photos(arguments.data / "person_keypoints.json", arguments.data / "images")
    with tempfile.TemporaryDirectory() as folder:
        scenes = [draw_scene(seed, SIZE_WH) for seed in range(arguments.first_seed, arguments.first_seed + SCENES)]
        exact = exact_maps(scenes, arguments.exact) if arguments.exact is not None else None
        drawings = write_scenes(scenes, Path(folder))
        for path in arguments.checkpoints:
            step, net = load_checkpoint(path)
            if arguments.sides:
                sys.stdout.write(
                    ", ".join([f"step {step}", *(f"{view} {share:.3f}" for view, share in swapped(net, scenes).items())]) + "\n"
                )
                continue
            real, drawn = accuracy(net, photos), accuracy(net, drawings, exact)
            figures = (real.ap, real.ap50, drawn.ap, drawn.ap50, false_people(net, nobody))
            sys.stdout.write(",".join([str(step), *(f"{figure:.4f}" for figure in figures)]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
