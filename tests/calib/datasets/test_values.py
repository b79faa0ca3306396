"""Values of annotation files: mended where that is sure, refused by name where it is not, and never a way out of the folder of photographs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posetrt.calib.accuracy.coco import CocoPhotos, coco_accuracy, coco_photos, coco_rows
from posetrt.calib.datasets.base import locate
from posetrt.calib.datasets.choose import open_dataset
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People, nobody
from posetrt.runtime.sources import read_photo

SKELETON = load_skeleton("coco18")
POINTS = np.random.default_rng(3).uniform(12, 70, (2, 17, 2)).round()


def annotation(image: int, number: int) -> dict[str, Any]:
    points = np.concatenate([POINTS[image], np.full((17, 1), 2)], axis=1)
    low, high = POINTS[image].min(axis=0), POINTS[image].max(axis=0) + 1
    return {
        "id": number,
        "image_id": image + 1,
        "category_id": 1,
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "area": 1800.0,
        "iscrowd": 0,
        "num_keypoints": 17,
        "keypoints": points.ravel().tolist(),
    }


def truth() -> dict[str, Any]:
    """Two photographs of 120x80, one person each."""
    return {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 120, "height": 80},
            {"id": 2, "file_name": "b.jpg", "width": 120, "height": 80},
        ],
        "annotations": [annotation(0, 1), annotation(1, 2)],
        "categories": [{"id": 1, "name": "person"}],
    }


def opened(folder: Path, fields: dict[str, Any]) -> CocoPhotos:
    images = folder / "images"
    images.mkdir(exist_ok=True)
    for image in fields["images"]:
        path = images / image["file_name"]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            assert cv2.imwrite(str(path), np.zeros((80, 120, 3), np.uint8))
    (folder / "truth.json").write_text(json.dumps(fields))
    return coco_photos(folder / "truth.json", images)


def exact(points: np.ndarray) -> People:
    """A person whose key points are those of COCO's order."""
    whole = np.zeros((1, 18, 3), np.float32)
    whole[0, list(SKELETON.coco17)] = np.concatenate([points, np.ones((17, 1))], axis=1)
    return People(whole, np.ones(1, np.float32))


def ap(photos: CocoPhotos, points: np.ndarray = POINTS) -> float:
    return coco_accuracy(coco_rows([exact(one) for one in points], photos, SKELETON), photos).ap


def changed(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        for one in fields["annotations"]:
            one.update(values)

    return change


def without(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        for one in fields["annotations"]:
            for name in names:
                del one[name]

    return change


def string_ids(fields: dict[str, Any]) -> None:
    for image in fields["images"]:
        image["id"] = f"cam/{image['id']}"
    for one in fields["annotations"]:
        one["image_id"] = f"cam/{one['image_id']}"


def id_zero(fields: dict[str, Any]) -> None:
    for number, one in enumerate(fields["annotations"]):
        one["id"] = number


def folders(fields: dict[str, Any]) -> None:
    fields["images"][0]["file_name"], fields["images"][1]["file_name"] = "cam1/0001.jpg", "cam2/0001.jpg"


def zero_category(fields: dict[str, Any]) -> None:
    fields["categories"][0]["id"] = 0
    changed(category_id=0)(fields)


@pytest.mark.parametrize(
    "change",
    [
        id_zero,
        changed(id=7),
        without("id"),
        string_ids,
        folders,
        zero_category,
        changed(area=0),
        without("area"),
        without("iscrowd"),
        without("num_keypoints"),
        changed(num_keypoints=0),
        without("bbox", "area"),
        changed(bbox=[5, 5, 0, 0]),
    ],
)
def test_what_can_be_mended_for_sure_gives_the_same_ap(change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    fields = truth()
    change(fields)
    assert ap(opened(tmp_path, fields)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (changed(keypoints=[None] + [1] * 50), r"annotations\[0\]\.keypoints\[0\] is null"),
        (changed(keypoints=None), r"no annotation with keypoints|annotations\[0\]\.keypoints is null"),
        (changed(keypoints=[float("nan")] * 51), r"annotations\[0\]\.keypoints\[0\] is nan"),
        (changed(keypoints=[1, 1, 7] * 17), r"annotations\[0\]\.keypoints\[2\] is 7.*visibility 0, 1 or 2"),
        (changed(bbox=[1, 2, -3, 4]), r"annotations\[0\]\.bbox"),
        (changed(bbox="x"), r"annotations\[0\]\.bbox is 'x'"),
        (changed(area=-1), r"annotations\[0\]\.area is -1"),
        (changed(iscrowd=5), r"annotations\[0\]\.iscrowd is 5"),
        (without("image_id"), "lacks image_id"),
        (lambda fields: fields["images"][1].update(id=1), "two images have the id 1"),
        (lambda fields: fields["images"][0].update(id=None), r"images\[0\]\.id is null"),
        (lambda fields: fields["images"][0].update(width="wide"), r"images\[0\]\.width is 'wide'"),
        (lambda fields: fields["images"][0].update(width=120, height=240), "a.jpg is 120x80, and the file says 120x240"),
    ],
)
def test_what_cannot_be_mended_is_named(change: Callable[[dict[str, Any]], None], named: str, tmp_path: Path) -> None:
    fields = truth()
    change(fields)
    with pytest.raises(PosetrtError, match=named):
        opened(tmp_path, fields)


def test_nobody_labelled_is_undefined_and_not_0(tmp_path: Path) -> None:
    fields = truth()
    changed(keypoints=[0] * 51)(fields)
    photos = opened(tmp_path, fields)
    for found in ([exact(one) for one in POINTS], [nobody(18)] * 2):
        judged = photos.judge(found, SKELETON)
        assert set(judged.figures.values()) == {None}
        assert np.isnan(judged.main(np.arange(2)))


def test_a_halved_photograph_is_judged_by_annotations_halved_with_it(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((40, 60, 3), np.uint8))
    photos = opened(tmp_path, truth())
    assert ap(photos, (POINTS + 0.5) / 2 - 0.5) == pytest.approx(1.0)
    assert "2 photographs are of another size" in photos.notes[0]


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_annotations_made_before_exif_turned_the_photograph_are_turned_with_it(orientation: int, tmp_path: Path) -> None:
    """A white cell at an annotated point is looked for where the photograph is read with its EXIF orientation."""
    from PIL import Image

    (tmp_path / "images").mkdir()
    for index, name in enumerate(("a.jpg", "b.jpg")):
        x, y = POINTS[index, 0].astype(int)
        pixels = np.zeros((80, 120, 3), np.uint8)
        pixels[y - 3 : y + 4, x - 3 : x + 4] = 255
        picture = Image.fromarray(pixels)
        exif = picture.getexif()
        exif[0x0112] = orientation
        picture.save(tmp_path / "images" / name, exif=exif, quality=95)
    fields = truth()
    photos = opened(tmp_path, fields)
    shown = read_photo(tmp_path / "images" / "a.jpg")
    x, y, _ = photos.truth["annotations"][0]["keypoints"][:3]
    if orientation >= 5:
        assert shown.shape == (120, 80, 3)
        seen = np.argwhere(shown[..., 0] > 128).mean(axis=0)[::-1]
        assert np.abs(seen - (x, y)).max() < 1


def test_a_photograph_of_another_folder_with_the_same_last_name_is_never_taken(tmp_path: Path) -> None:
    for name in ("0001.jpg", "cam1/0001.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert locate(["cam1/0001.jpg"], tmp_path, tmp_path / "a.json") == [tmp_path / "cam1" / "0001.jpg"]
    with pytest.raises(PosetrtError, match=r"lacks 1 of the 2.*cam2/0001\.jpg"):
        locate(["cam1/0001.jpg", "cam2/0001.jpg"], tmp_path, tmp_path / "a.json")
    assert locate(["train/0001.jpg"], tmp_path, tmp_path / "a.json") == [tmp_path / "0001.jpg"]


@pytest.mark.parametrize("name", ["../secret.jpg", "a/../../secret.jpg", "..\\secret.jpg", "", "a\x1b[2J.jpg"])
@pytest.mark.parametrize("kind", ["coco", "ai-challenger", "posetrack"])
def test_a_name_never_leads_out_of_the_folder_of_photographs(name: str, kind: str, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"x")
    if kind == "coco":
        content: Any = truth()
        content["images"][0]["file_name"] = name
    elif kind == "ai-challenger":
        content = [{"image_id": name, "keypoint_annotations": {"p": [1, 1, 1] * 14}, "human_annotations": {"p": [0, 0, 9, 9]}}]
    else:
        from posetrt.calib.datasets.parts import parts_of

        parts = [*parts_of("posetrack"), "left_ear", "right_ear"]
        person = {"image_id": 1, "keypoints": [1, 1, 1] * 17, "bbox_head": [0, 0, 9, 9], "track_id": 0, "bbox": [0, 0, 9, 9]}
        content = {"images": [{"id": 1, "file_name": name}], "annotations": [person], "categories": [{"keypoints": parts}]}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    with pytest.raises(PosetrtError) as refused:
        open_dataset(tmp_path / "truth.json", images, kind)
    assert "\x1b" not in str(refused.value)


def test_an_absolute_name_is_looked_for_below_the_folder_alone(tmp_path: Path) -> None:
    images, outside = tmp_path / "images", tmp_path / "outside.jpg"
    images.mkdir()
    outside.write_bytes(b"x")
    with pytest.raises(PosetrtError, match="lacks 1 of the 1"):
        locate([str(outside)], images, tmp_path / "a.json")
    (images / "outside.jpg").write_bytes(b"y")
    assert locate([str(outside)], images, tmp_path / "a.json") == [images / "outside.jpg"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("keypoint_annotations", {"p": [None] * 42}),
        ("keypoint_annotations", {"p": [1, 1, 9] * 14}),
        ("human_annotations", {"p": [9, 9, 0, 0]}),
        ("human_annotations", [1]),
    ],
)
def test_ai_challengers_values_are_checked(field: str, value: Any, tmp_path: Path) -> None:
    entry = {"image_id": "a", "keypoint_annotations": {"p": [1, 1, 1] * 14}, "human_annotations": {"p": [0, 0, 9, 9]}, field: value}
    (tmp_path / "truth.json").write_text(json.dumps([entry]))
    with pytest.raises(PosetrtError, match="entry 0"):
        open_dataset(tmp_path / "truth.json", tmp_path)
