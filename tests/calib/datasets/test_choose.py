"""Which data set a file is of, what is said of one that is another, and that the tables of parts are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from posetrt.calib.accuracy.coco import CocoPhotos
from posetrt.calib.datasets.choose import DATASETS, open_dataset
from posetrt.calib.datasets.parts import correspondence, parts_of
from posetrt.commands.eval import _DATASETS
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from tests.calib.datasets.miniature import photographs

COCO = {"id": 1, "name": "person", "keypoints": ["nose"], "skeleton": []}
OF = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 9.0, "bbox": [0, 0, 3, 3], "num_keypoints": 1}
IMAGES = [{"id": 1, "file_name": "a.jpg"}]


def coco_file(numbers: int | None, **others: Any) -> dict[str, Any]:
    keypoints = {} if numbers is None else {"keypoints": [1] * numbers}
    return {"images": IMAGES, "annotations": [{**OF, **keypoints, **others}], "categories": [COCO]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (coco_file(None), "looks like COCO's instances or captions"),
        (coco_file(51, foot_kpts=[0] * 18), "looks like COCO-WholeBody"),
        ({"annolist": []}, "looks like PoseTrack 2017"),
        ([{"image_id": 1, "keypoints": [0] * 51, "score": 0.5}], "looks like results of a network"),
        ({"licence": "x"}, "of no data set known here .* it holds licence"),
        ([], "it holds a list of 0"),
        ("text", "it holds str"),
    ],
)
def test_a_file_of_another_kind_is_told_for_what_it_is(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(PosetrtError, match=message):
        open_dataset(tmp_path / "a.json", tmp_path)


def test_a_file_of_another_data_set_than_asked_for_is_refused(tmp_path: Path) -> None:
    images = photographs(tmp_path / "images", "a.jpg")
    (tmp_path / "coco.json").write_text(json.dumps(coco_file(51)))
    assert isinstance(open_dataset(tmp_path / "coco.json", images), CocoPhotos)
    assert isinstance(open_dataset(tmp_path / "coco.json", images, "coco"), CocoPhotos)
    with pytest.raises(PosetrtError, match="looks like COCO's key points, not PoseTrack 2018"):
        open_dataset(tmp_path / "coco.json", images, "posetrack")
    savemat(str(tmp_path / "joints.mat"), {"joints": np.zeros((3, 14, 2))})
    with pytest.raises(PosetrtError, match="looks like LSP, not MPII"):
        open_dataset(tmp_path / "joints.mat", images, "mpii")
    with pytest.raises(UsageError, match="'cocoa' is not one of coco, mpii"):
        open_dataset(tmp_path / "coco.json", images, "cocoa")


def test_what_is_no_annotation_file_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no annotation file"):
        open_dataset(tmp_path / "absent.json", tmp_path)
    (tmp_path / "half.json").write_text('{"images": [')
    with pytest.raises(PosetrtError, match="cannot be read as the JSON"):
        open_dataset(tmp_path / "half.json", tmp_path)
    (tmp_path / "half.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(PosetrtError, match="cannot be read as a MATLAB file"):
        open_dataset(tmp_path / "half.mat", tmp_path)
    savemat(str(tmp_path / "other.mat"), {"weights": np.zeros(3)})
    with pytest.raises(PosetrtError, match="it holds weights"):
        open_dataset(tmp_path / "other.mat", tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(PosetrtError, match="it holds no JSON file"):
        open_dataset(tmp_path / "folder", tmp_path)


@pytest.mark.parametrize("name", ["coco18", "body25", "trtpose18", "mpi15", "mpi14"])
@pytest.mark.parametrize("dataset", [one for one in DATASETS if one != "coco"])
def test_each_part_is_given_to_its_own_side(name: str, dataset: str) -> None:
    skeleton = load_skeleton(name)
    try:
        matched = correspondence(dataset, skeleton)
    except UsageError:
        assert dataset == "feet"
        assert name != "body25"
        return
    for part, place in zip(matched.parts, matched.places, strict=True):
        if place < 0:
            assert part in ("head_top", "upper_neck", "head_bottom", "nose", "pelvis", "thorax")
            continue
        side = {"left": "L", "right": "R"}.get(part.split("_")[0], "")
        title = part.removeprefix("left_").removeprefix("right_").replace("_", " ").title().replace(" ", "")
        joint = {"HeadTop": "Head", "UpperNeck": "Neck", "HeadBottom": "Neck", "Thorax": "Neck", "Pelvis": "MidHip"}.get(title, title)
        assert skeleton.parts[place] == side + joint


def test_a_skeleton_of_ones_own_is_matched_by_its_coco17_field() -> None:
    names = tuple(f"part{index}" for index in range(17))
    own = Skeleton("mine", names, ((0, 1),), coco17=tuple(reversed(range(17))))
    matched = correspondence("lsp", own)
    assert dict(zip(matched.parts, matched.places, strict=True))["right_ankle"] == 0
    assert matched.left_out == ("neck", "head_top")
    with pytest.raises(UsageError, match="none of the parts that mpii annotates"):
        correspondence("mpii", load_skeleton("hand21"))


def test_the_command_offers_the_data_sets_that_there_are() -> None:
    assert _DATASETS == DATASETS
    assert len(parts_of("mpii")) == 16
