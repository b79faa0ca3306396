"""Which data set an annotation file is of, told by what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from posetrt.calib.accuracy.coco import coco_photos
from posetrt.calib.datasets.ai_challenger import challenge_photos
from posetrt.calib.datasets.base import AnnotatedPhotos, read_mat
from posetrt.calib.datasets.feet import foot_photos
from posetrt.calib.datasets.lsp import lsp_photos
from posetrt.calib.datasets.mpii import mpii_json_photos, mpii_photos
from posetrt.calib.datasets.posetrack import posetrack_photos
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import read_json

TITLES = {
    "coco": "COCO's key points",
    "mpii": "MPII",
    "lsp": "LSP",
    "ai-challenger": "AI Challenger",
    "posetrack": "PoseTrack 2018",
    "feet": "CMU's foot data set",
}
DATASETS = tuple(TITLES)

# Files that people take for one of these, and what to give instead.
_OTHERS = {
    "COCO's instances or captions, without key points": "give person_keypoints_*.json",
    "results of a network (score, no annotation)": "give the annotations that they are judged by",
    "PoseTrack 2017 (annolist)": "give PoseTrack 2018's format; poseval's convert.py makes it of the older one",
    "COCO-WholeBody (foot_kpts)": "give COCO's person_keypoints file for the body, CMU's foot file for the feet",
}


def open_dataset(annotations: Path, images: Path, dataset: str | None = None, limit: int | None = None) -> AnnotatedPhotos:
    """Open the annotations of any data set that is known here.

    Args:
        annotations: the file; for PoseTrack also the folder with a file a sequence.
        images: the folder with the photographs.
        dataset: one of `DATASETS`, for a file that must be of that one; None takes it for what it looks like.
        limit: the first so many photographs.

    Raises:
        UsageError: no such data set or path.
        PosetrtError: the file is of another data set, or of none: says what it looks like.
    """
    if dataset is not None and dataset not in DATASETS:
        raise UsageError(f"data set {dataset!r} is not one of {', '.join(DATASETS)}")
    if not annotations.exists():
        raise UsageError(f"there is no annotation file {annotations}")
    if annotations.is_dir():
        first = next(iter(sorted(annotations.glob("*.json"))), None)
        content: Any = read_json(first, "annotation file") if first else None
    elif annotations.suffix.lower() == ".mat":
        content = read_mat(annotations)
    else:
        content = read_json(annotations, "annotation file")
    kind = looks_like(content)
    if kind is None:
        raise PosetrtError(f"{annotations} is of no data set known here ({', '.join(TITLES.values())}); it holds {_contents(content)}")
    if kind not in TITLES:
        raise PosetrtError(f"{annotations} looks like {kind}; {_OTHERS[kind]}")
    if dataset not in (None, kind):
        raise PosetrtError(
            f"{annotations} looks like {TITLES[kind]}, not {TITLES[str(dataset)]}; leave --dataset out, or give the other file"
        )
    if annotations.is_dir() and kind != "posetrack":
        raise PosetrtError(f"{annotations} is a folder with {TITLES[kind]} in it; give one file (only PoseTrack has one a sequence)")
    return _open(kind, annotations, content, images, limit)


def _open(kind: str, annotations: Path, content: Any, images: Path, limit: int | None) -> AnnotatedPhotos:
    if kind == "mpii":
        reader = mpii_photos if isinstance(content, Mapping) else mpii_json_photos
        return reader(annotations, content, images, limit)
    if kind == "lsp":
        return lsp_photos(annotations, content, images, limit)
    if kind == "ai-challenger":
        return challenge_photos(annotations, content, images, limit)
    if kind == "posetrack":
        return posetrack_photos(annotations, images, limit)
    if kind == "feet":
        return foot_photos(annotations, content, images, limit)
    return coco_photos(annotations, images, limit)


def looks_like(content: Any) -> str | None:
    """The data set that a file's content looks like: one of `DATASETS`, the name of another kind, or None."""
    if isinstance(content, list):
        first = content[0] if content and isinstance(content[0], Mapping) else {}
        if "keypoint_annotations" in first or "human_annotations" in first:
            return "ai-challenger"
        if "joints" in first or {"image", "center", "scale"} <= first.keys():
            return "mpii"
        return "results of a network (score, no annotation)" if {"keypoints", "score"} <= first.keys() else None
    if not isinstance(content, Mapping):
        return None
    if "RELEASE" in content:
        return "mpii"
    if "joints" in content:
        return "lsp"
    if "annolist" in content:
        return "PoseTrack 2017 (annolist)"
    if "images" in content and "annotations" in content:
        return _coco_like(content)
    return None


def _coco_like(content: Mapping[str, Any]) -> str | None:
    """Which of the data sets in COCO's own form."""
    categories = content.get("categories") or []
    category = categories if isinstance(categories, Mapping) else categories[0] if categories else {}
    if "head_bottom" in category.get("keypoints", []):
        return "posetrack"
    annotations = [one for one in content["annotations"] if isinstance(one, Mapping)]
    if any("foot_kpts" in one for one in annotations):
        return "COCO-WholeBody (foot_kpts)"
    sizes = {len(one["keypoints"]) for one in annotations if "keypoints" in one}
    if not sizes:
        return "COCO's instances or captions, without key points" if annotations else None
    if any("bbox_head" in one for one in annotations):
        return "posetrack"
    return "feet" if sizes & {18, 69} else "coco"


def _contents(content: Any) -> str:
    if isinstance(content, Mapping):
        return ", ".join(list(map(str, content))[:6]) or "nothing"
    if isinstance(content, list):
        first = content[0] if content else None
        return f"a list of {len(content)}" + (f" with {', '.join(list(first)[:6])}" if isinstance(first, Mapping) else "")
    return "no JSON file" if content is None else type(content).__name__
