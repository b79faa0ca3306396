"""Drawn scenes as a COCO data set, so that they are judged by the same measure as photographs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from posetrt.calib.accuracy.coco import CocoPhotos, coco_photos
from posetrt.calib.scenes.scenes import Scene
from posetrt.runtime.files import write_json, written_whole
from posetrt.runtime.model.skeleton import load_skeleton

# Names in COCO's order of key points: cocodataset.org, person_keypoints_val2017.json.
COCO_NAMES = ["nose"] + [
    f"{side}_{part}" for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
]


def write_scenes(scenes: Iterable[Scene], folder: Path) -> CocoPhotos:
    """Store scenes as `folder`/images/NNNNN.png and `folder`/person_keypoints.json.

    A person's area is the number of its pixels that can be seen, as a COCO segmentation's is. The neck, which COCO lacks, is left out;
    people of whom COCO's 17 key points show none are left out too.

    Raises:
        PosetrtError: the folder cannot be written.
    """
    import cv2

    order = list(load_skeleton("coco18").coco17)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    paths: dict[int, Path] = {}
    for image_id, scene in enumerate(scenes, 1):
        paths[image_id] = folder / "images" / f"{image_id:05d}.png"
        with written_whole(paths[image_id]) as temporary:
            temporary.write_bytes(cv2.imencode(".png", scene.image)[1].tobytes())
        height, width = scene.image.shape[:2]
        images.append({"id": image_id, "file_name": paths[image_id].name, "width": width, "height": height})
        for points, area in zip(scene.keypoints[:, order].astype(np.float64), scene.areas, strict=True):
            seen = points[:, 2] > 0
            if not seen.any():
                continue
            low, high = points[seen, :2].min(axis=0), points[seen, :2].max(axis=0)
            points[:, 2] = np.where(seen, 2, 0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "num_keypoints": int(seen.sum()),
                    "keypoints": np.round(points, 3).ravel().tolist(),
                    "bbox": np.round([*low, *(high - low)], 3).tolist(),
                    "area": float(area),
                }
            )
    category = {"id": 1, "name": "person", "keypoints": COCO_NAMES, "skeleton": []}
    target = folder / "person_keypoints.json"
    write_json(target, {"images": images, "annotations": annotations, "categories": [category]})
    return coco_photos(target, folder / "images")
