"""The accuracy report: its AP is pycocotools', its interval comes from the same photographs for both, its page needs no other file."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posetrt.calib.accuracy.coco import CocoPhotos, coco_accuracy, coco_photos, coco_rows
from posetrt.calib.accuracy.report import compare_precisions, write_report
from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.layout import load_layout
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People, nobody
from tests.heads import maps_head

COCO18 = load_skeleton("coco18")
MANIFEST = Manifest("x", COCO18, InputSpec("x", "NCHW", (456, 256), (456, 256), (456, 256)), maps_head(load_layout("coco18"), "h", "p"))


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> CocoPhotos:
    return coco_photos(shared_data / "person_keypoints.json", shared_data / "images")


@pytest.fixture(scope="module")
def exact(photos: CocoPhotos) -> list[People]:
    """The annotated people themselves, each part that is labelled."""
    truth = json.loads(photos.annotations.read_text())
    found = []
    random = np.random.default_rng(0)
    for image_id in photos.paths:
        annotations = [one for one in truth["annotations"] if one["image_id"] == image_id and one["num_keypoints"]]
        points = np.zeros((len(annotations), 18, 3), np.float32)
        for index, annotation in enumerate(annotations):
            points[index, list(COCO18.coco17)] = np.array(annotation["keypoints"], np.float32).reshape(17, 3)
        found.append(People(points, random.random(len(points)).astype(np.float32)))
    return found


def shaken(people: list[People], pixels: float, seed: int = 0) -> list[People]:
    random = np.random.default_rng(seed)
    moved = []
    for one in people:
        points = one.keypoints.copy()
        points[..., :2] += random.normal(0, pixels, points[..., :2].shape).astype(np.float32) * (points[..., 2:] > 0)
        moved.append(People(points, one.scores))
    return moved


def test_the_ap_of_any_draw_is_that_of_a_data_set_with_those_photographs(photos: CocoPhotos, exact: list[People], tmp_path: Path) -> None:
    people, paths = shaken(exact, 9), list(photos.paths.values())
    rows = coco_rows(people, photos, COCO18)
    judged = photos.judge(people, COCO18)
    assert judged.main(np.arange(len(paths))) == pytest.approx(coco_accuracy(rows, photos).ap, abs=1e-9)
    draw = np.random.default_rng(1).integers(0, len(paths), len(paths))
    truth = json.loads(photos.annotations.read_text())
    ids = list(photos.paths)
    drawn: dict[str, list] = {"images": [], "annotations": [], "categories": truth["categories"]}
    copied_rows = []
    for copy, index in enumerate(draw.tolist()):
        drawn["images"].append({"id": copy + 1})
        for one in truth["annotations"]:
            if one["image_id"] == ids[index]:
                drawn["annotations"].append({**one, "image_id": copy + 1, "id": len(drawn["annotations"]) + 1})
        copied_rows += [{**row, "image_id": copy + 1} for row in rows if row["image_id"] == ids[index]]
    (tmp_path / "drawn.json").write_text(json.dumps(drawn))
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(tmp_path / "drawn.json"))
        evaluation = COCOeval(gt, gt.loadRes(copied_rows), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert judged.main(draw) == pytest.approx(evaluation.stats[0], abs=1e-6)


def test_the_interval_holds_the_difference_and_a_worse_precision_lies_below_zero(photos: CocoPhotos, exact: list[People]) -> None:
    found = {"fp32": exact, "fp16": shaken(exact, 0.01), "int8": shaken(exact, 8)}
    fp32, fp16, int8 = compare_precisions(found, list(photos.paths.values()), COCO18, photos)
    assert fp32.delta is None
    assert fp32.oks == 1
    assert fp16.delta is not None
    assert fp16.delta.low <= 0 <= fp16.delta.high
    assert int8.delta is not None
    assert int8.delta.low <= int8.delta.delta <= int8.delta.high < 0
    assert int8.oks < fp16.oks
    assert not fp32.worst
    assert [oks for _, oks in int8.worst] == sorted(oks for _, oks in int8.worst)


def test_photographs_of_one_name_in_several_folders_are_told_apart(photos: CocoPhotos, exact: list[People]) -> None:
    paths = [Path("clips/a/000000.jpg"), Path("clips/b/000000.jpg"), Path("clips/b/000001.jpg")]
    people = [one for one in exact if len(one.scores)][:3]
    fp32, int8 = compare_precisions({"fp32": people, "int8": [shaken(people, 8)[0], *people[1:]]}, paths, COCO18)
    assert not fp32.worst
    assert [name for name, _ in int8.worst] == ["a/000000.jpg"]


def test_without_annotations_agreement_is_still_told(photos: CocoPhotos, exact: list[People], tmp_path: Path) -> None:
    found = {"fp32": exact, "int8": [nobody(18) for _ in exact]}
    reports = write_report(tmp_path, found, list(photos.paths.values()), MANIFEST)
    assert (reports[1].figures["ap"], reports[1].delta, reports[1].oks) == (None, None, 0)


def test_the_page_holds_its_pictures_and_the_json_says_the_same(photos: CocoPhotos, exact: list[People], tmp_path: Path) -> None:
    write_report(tmp_path, {"fp32": exact, "int8": shaken(exact, 6)}, list(photos.paths.values()), MANIFEST, photos, title="a <b> c")
    page, fields = (tmp_path / "report.html").read_text(), json.loads((tmp_path / "report.json").read_text())
    assert page.count("data:image/jpeg;base64,") == 2 * len(fields["precisions"][1]["worst"]) > 0
    assert "http" not in page
    assert "a &lt;b&gt; c" in page
    assert f"{fields['precisions'][1]['ap']:.3f}" in page
    assert page.partition("<p")[2].startswith(f" class='choice'>{fields['choice']}</p>")


def test_precisions_of_different_photographs_are_refused(photos: CocoPhotos, exact: list[People]) -> None:
    with pytest.raises(UsageError, match="same 38 photographs"):
        compare_precisions({"fp32": exact, "int8": exact[1:]}, list(photos.paths.values()), COCO18)
