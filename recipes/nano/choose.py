"""Which checkpoint is better, by photographs that neither trained it nor judge it.

The teachers' labels of 160 everyday photographs stand for the truth: AP against them, people found where no teacher saw any, and people
found in parts without anyone, enlarged to the network's size; and AP on drawn scenes of seeds that nothing else uses. None of it is a
figure to compare with other networks'.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from judge import LEAST, SIZE_WH, accuracy, load_checkpoint, people_in
from labels import Labels, covered, outline
from network import Nano
from numpy.typing import NDArray
from photographs import everyday_photographs
from prepare import labels_of

from posetrt.arguments import size_wh
from posetrt.calib.accuracy.coco import coco_accuracy, coco_photos
from posetrt.calib.scenes.scenes import draw_scene
from posetrt.calib.scenes.truth import write_scenes
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import to_coco_results

# Share of a found person's box that must lie in known boxes; below it the person is false.
KNOWN = 0.3
SMALL = 64
SCENE_SEEDS = range(3000, 3030)


@dataclass(frozen=True)
class Choice:
    """AP against the teachers' labels; false people a photograph; people found a part where nobody is."""

    ap: float
    false: float
    empty: float


def annotations(photographs: list[Path], labels: dict[str, Labels]) -> dict[str, object]:
    """Labels in COCO's format; what is doubtful is ignored, and so is a part that nobody can say."""
    skeleton = load_skeleton("coco18")
    assert skeleton.coco17 is not None
    rows, images = [], []
    for number, path in enumerate(photographs, 1):
        height, width = cv2.imread(str(path)).shape[:2]
        images.append({"id": number, "file_name": path.name, "width": width, "height": height})
        one = labels[path.name]
        for person in one.people:
            points = person[list(skeleton.coco17)].astype(np.float64)
            points[:, 2] = np.where(points[:, 2] > 0, 2, 0)
            points[points[:, 2] == 0, :2] = 0
            box = outline(person).astype(float)
            rows.append(row(len(rows) + 1, number, box, np.round(points, 2).ravel().tolist(), int((points[:, 2] > 0).sum())))
        rows += [row(len(rows) + 1 + place, number, box.astype(float), [0.0] * 51, 0) for place, box in enumerate(one.doubtful)]
    categories = [{"id": 1, "name": "person", "keypoints": [], "skeleton": []}]
    return {"images": images, "annotations": rows, "categories": categories}


def row(identity: int, image: int, box: NDArray[np.float64], points: list[float], parts: int) -> dict[str, object]:
    """One person, or one box to ignore."""
    width, height = float(box[2] - box[0]), float(box[3] - box[1])
    return {
        "id": identity, "image_id": image, "category_id": 1, "iscrowd": 0, "num_keypoints": parts, "keypoints": points,
        "bbox": [float(box[0]), float(box[1]), width, height], "area": 0.6 * width * height,
    }  # fmt: skip


def choice(net: Nano, photographs: list[Path], labels: dict[str, Labels], parser: PafParser, shown_wh: tuple[int, int] = SIZE_WH) -> Choice:
    """How a network in evaluation mode does, shown pictures of a size."""
    skeleton = load_skeleton("coco18")
    results, false, empties, found_empty = [], 0, 0, 0
    for number, path in enumerate(photographs, 1):
        photo, one = cv2.imread(str(path)), labels[path.name]
        people = people_in(net, photo, parser, shown_wh)
        results += to_coco_results(people, skeleton, number)
        known = [outline(person) for person in one.people] + list(one.doubtful)
        false += sum(all(covered(outline(person), box) < KNOWN for box in known) for person in people.keypoints)
        for x0, y0, x1, y1 in one.empty.astype(int):
            if min(x1 - x0, y1 - y0) >= SMALL:
                part = cv2.resize(photo[y0:y1, x0:x1], shown_wh, interpolation=cv2.INTER_CUBIC)
                found_empty += len(people_in(net, np.asarray(part, np.uint8), parser, shown_wh).keypoints)
                empties += 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.json"
        file.write_text(json.dumps(annotations(photographs, labels)))
        accuracy = coco_accuracy(results, coco_photos(file, photographs[0].parent))
    return Choice(accuracy.ap, false / len(photographs), found_empty / max(1, empties))


def main() -> None:
    """Print a line of CSV for each checkpoint: name, step, AP, false people a photograph, people a part without anyone, AP of drawn scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="run.pt, stepNNNNNN.pt, or exported weights (.npz)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--store", type=Path, required=True, help="folder of the run, where the labels are")
    parser.add_argument("--photographs", type=int, default=160)
    parser.add_argument("--least", type=float, default=LEAST, help="least score of a person (default: the network's, %(default)s)")
    parser.add_argument("--size", type=size_wh, default=SIZE_WH, metavar="WxH", help="of the network's input, multiples of 8")
    parser.add_argument("--scene-size", type=size_wh, default=SIZE_WH, metavar="WxH", help="of the drawn scenes")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if any(side % 8 for side in (*arguments.size, *arguments.scene_size)):
        parser.error("--size and --scene-size take multiples of 8, as 416x280")
    torch.set_num_threads(arguments.threads)
    photographs = list(everyday_photographs(arguments.data).choosing)
    labels = labels_of(arguments.data, arguments.store, "choosing", 0, photographs)
    paf = PafParser(load_layout("coco18"), min_score=arguments.least)
    with tempfile.TemporaryDirectory() as folder:
        scenes = write_scenes((draw_scene(seed, arguments.scene_size) for seed in SCENE_SEEDS), Path(folder))
        for path in arguments.checkpoints:
            step, net = load_checkpoint(path)
            one = choice(net, photographs[: arguments.photographs], labels, paf, arguments.size)
            drawn = accuracy(net, scenes, size_wh=arguments.size).ap
            sys.stdout.write(f"{path.name},{step},{one.ap:.4f},{one.false:.3f},{one.empty:.3f},{drawn:.4f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
