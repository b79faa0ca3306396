"""The 38 photographs, the people annotated in them, crops of them, and COCO's AP of what was found: with no part of the pipeline."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Photographs:
    """Those of a folder with `person_keypoints.json` and `images/`."""

    folder: Path

    @cached_property
    def truth(self) -> dict[str, Any]:
        """COCO's annotations."""
        return json.loads((self.folder / "person_keypoints.json").read_text())

    @cached_property
    def images(self) -> dict[int, np.ndarray]:
        """By id, BGR."""
        import cv2

        return {each["id"]: cv2.imread(str(self.folder / "images" / each["file_name"])) for each in self.truth["images"]}

    @property
    def people(self) -> list[dict[str, Any]]:
        """Annotations with key points."""
        return [each for each in self.truth["annotations"] if each["num_keypoints"] and not each["iscrowd"]]

    def crops(self, size_wh: tuple[int, int], grow: float) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
        """Of each person the annotation, the crop's 2 x 3 matrix to the photograph, and the crop, BGR."""
        for person in self.people:
            x, y, box_width, box_height = person["bbox"]
            ratio = size_wh[0] / size_wh[1]
            region = (max(box_width, box_height * ratio) * grow, max(box_height, box_width / ratio) * grow)
            matrix = crop_matrix((x + box_width / 2, y + box_height / 2), region, size_wh)
            yield person, matrix, warp(self.images[person["image_id"]], matrix, size_wh)

    def ap(self, rows: list[dict[str, Any]], tmp_path: Path) -> float:
        """COCO's AP of result rows."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        path = tmp_path / "rows.json"
        path.write_text(json.dumps(rows))
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(self.folder / "person_keypoints.json"))
            judged = COCOeval(truth, truth.loadRes(str(path)), "keypoints")
            judged.evaluate()
            judged.accumulate()
            judged.summarize()
        return float(judged.stats[0])


def crop_matrix(middle: tuple[float, float], region_wh: tuple[float, float], size_wh: tuple[int, int], turned: float = 0.0) -> np.ndarray:
    """2 x 3: pixels of a crop (centres at integers) to those of the picture; `middle` counts from the picture's edge."""
    scale = np.array(region_wh) / size_wh
    cosine, sine = np.cos(turned), np.sin(turned)
    turn = np.array([[cosine, -sine], [sine, cosine]]) * scale
    return np.c_[turn, np.array(middle) - turn @ (np.array(size_wh) / 2 - 0.5) - 0.5]


def warp(picture: np.ndarray, matrix: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """The crop that a matrix tells of."""
    import cv2

    return cv2.warpAffine(picture, matrix, size_wh, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def back(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Key points (K, 3) of a crop in the picture."""
    return np.c_[points[:, :2] @ matrix[:, :2].T + matrix[:, 2], points[:, 2]]


def row(image_id: int, points: np.ndarray, score: float) -> dict[str, Any]:
    """One of COCO's results."""
    flat = np.c_[points[:, :2], points[:, 2] > 0].astype(float)
    return {"image_id": image_id, "category_id": 1, "keypoints": flat.ravel().tolist(), "score": float(score)}


def resized(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """By half-pixel interpolation."""
    import cv2

    return cv2.resize(picture, size_wh)


def unresized(points: np.ndarray, from_wh: tuple[int, int], to_wh: tuple[int, int]) -> np.ndarray:
    """Key points (K, 3) of a resized picture in the original."""
    scale = np.array(to_wh) / from_wh
    return np.c_[(points[:, :2] + 0.5) * scale - 0.5, points[:, 2]]
