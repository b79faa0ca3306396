"""A network for one person finds each person in a box, wherever the boxes come from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.export.networks.cpm import centre_map
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.find.box_file import BoxFile, Given, whole
from posetrt.runtime.find.cropped import Cropped
from posetrt.runtime.find.detected import Detected
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.model.format1 import CPM_GROW
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.placement import Fit
from posetrt.runtime.pose import Pose
from posetrt.runtime.sources import Frame
from tests.drawn_hands import Sees, draw, in_box
from tests.stand_in import StandIn

# Fourteen parts spread over a box, for mpi14.
STANDING = np.array([(0.2 + 0.6 * (k % 4) / 3, 0.05 + 0.9 * k / 13) for k in range(14)])
BOXES = np.array([[60.3, 40.8, 90, 230], [330.7, 100.2, 120, 300]], np.float32)


def picture(*boxes: NDArray[np.floating], spread: float = 2.0) -> tuple[NDArray[np.uint8], list[NDArray[np.float64]]]:
    image = np.zeros((480, 640, 3), np.uint8)
    truth = [in_box(STANDING, box) for box in boxes]
    for points in truth:
        draw(image, points, spread)
    return image, truth


def network(size_wh: tuple[int, int] = (368, 368), skeleton: str | Skeleton = "mpi14", **given: object) -> TopDown:
    return TopDown(Sees(skeleton, size_wh), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("size_wh", [(368, 368), (288, 384), (192, 256)])
def test_each_person_is_found_in_the_box_that_shows_them(size_wh: tuple[int, int]) -> None:
    image, truth = picture(*BOXES)
    with network(size_wh) as person:
        people = person(image, BOXES, ids=np.array([7, 3]))
        crop_px = size_wh[1] / (BOXES[:, 3] * person.fit.grow)
    assert people.ids is not None
    assert people.ids.tolist() == [7, 3]
    for index, points in enumerate(truth):
        assert (people.keypoints[index, :, 2] > 0.5).all()
        assert np.abs(people.keypoints[index, :, :2] - points).max() * crop_px[index] < 0.5


def test_somebody_who_is_not_there_has_scores_of_zero_and_keeps_their_place() -> None:
    image, _ = picture(BOXES[1])
    people = network()(image, BOXES)
    assert people.scores[0] == 0
    assert not people.keypoints[0].any()
    assert people.scores[1] > 0.5


def test_no_boxes_are_nobody_and_no_call() -> None:
    person = network()
    people = person(np.zeros((480, 640, 3), np.uint8), np.zeros((0, 4)))
    assert people.keypoints.shape == (0, 14, 3)
    assert person.calls == 0


def test_the_whole_frame_is_a_box_as_it_is() -> None:
    box = np.array([200, 20, 240, 440], np.float32)
    image, truth = picture(box, spread=2.5)
    people = network()(image)
    assert np.abs(people.keypoints[0, :, :2] - truth[0]).max() * 368 / 640 < 0.5


@pytest.mark.parametrize("scales", [(0.5, 1.0, 1.5), (0.8, 1.25)])
def test_the_mean_of_several_scales_lies_where_each_alone_does(scales: tuple[float, ...]) -> None:
    image, truth = picture(*BOXES, spread=2.5)
    person = network(scales=scales, fit=Fit("crop", grow=1.3))
    people = person(image, BOXES)
    assert person.looked == 2 * len(scales)
    assert person.calls == 1
    for index, points in enumerate(truth):
        assert (people.keypoints[index, :, 2] > 0.3).all()
        far = np.abs(people.keypoints[index, :, :2] - points).max() * 368 / (BOXES[index, 3] * 1.3)
        assert far < 1.0, f"{far:.2f} px of the crop at scale 1"


@pytest.mark.parametrize("max_batch", [1, 2, 4])
def test_scales_of_a_box_meet_again_where_the_network_takes_fewer_crops_at_once(max_batch: int) -> None:
    image, _ = picture(*BOXES, spread=2.5)
    scales = (0.8, 1.0, 1.25)
    wide, narrow = (TopDown(Sees("mpi14", max_batch=size), scales=scales) for size in (8, max_batch))
    assert np.array_equal(wide(image, BOXES).keypoints, narrow(image, BOXES).keypoints)
    assert narrow.engine.batches == {1: [1] * 6, 2: [2, 1, 2, 1], 4: [3, 3]}[max_batch]  # type: ignore[attr-defined]


def test_a_person_s_middle_lies_where_cpm_s_centre_map_is() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    middle = BOXES[0, :2] + BOXES[0, 2:] / 2 - 0.5
    draw(image, middle[None])
    seen = {}

    class Notes(Sees):
        def infer(self, inputs):  # type: ignore[no-untyped-def]
            seen.update(self.points(inputs[0]))
            return super().infer(inputs)

    engine = Notes("mpi14")
    person = TopDown(engine, fit=Fit("crop", grow=CPM_GROW))
    person(image, BOXES[:1])
    assert pytest.approx(1.571, abs=1e-3) == CPM_GROW
    cells = centre_map((368, 368))[0, 0]
    row, column = np.unravel_index(cells.argmax(), cells.shape)
    assert np.abs(seen[0] - 183.5).max() < 0.5
    assert abs(seen[0][0] - (column * 8 + 3.5)) <= 4.5
    assert abs(seen[0][1] - (row * 8 + 3.5)) <= 4.5


def test_networks_that_look_at_whole_pictures_are_refused() -> None:
    with pytest.raises(UsageError, match=r"coco18.*finds everybody in a whole picture.*no network for one person"):
        TopDown(StandIn())


@pytest.mark.parametrize("scales", [(), (0.0, 1.0), (1.0, 40.0)])
def test_scales_that_are_none_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=r"scales lie between 0\.1 and 10"):
        network(scales=scales)


def frame(image: NDArray[np.uint8], name: str = "clip_000000000000", index: int = 0) -> Frame:
    return Frame(image, name, index, index / 25)


def test_a_tracker_s_rows_give_boxes_and_ids_by_frame(tmp_path: Path) -> None:
    path = tmp_path / "tracks.txt"
    path.write_text(
        "1,7,60.3,40.8,90,230,0.9,-1,-1,-1\n\n2,7,61,41,90,230,1,-1,-1,-1\n2,9,330.7,100.2,120,300,1,-1,-1,-1\n2,4,1,1,5,5,0,1,1\n"
    )
    boxes = BoxFile(path)
    image = np.zeros((480, 640, 3), np.uint8)
    first, second, third = (boxes(frame(image, index=index)) for index in range(3))
    assert first.ids is not None
    assert first.ids.tolist() == [7]
    assert first.boxes == pytest.approx(BOXES[:1])
    assert second.ids is not None
    assert second.ids.tolist() == [7, 9]  # confidence 0 marks a row that MOTChallenge does not count
    assert third.boxes is not None
    assert third.boxes.shape == (0, 4)


def test_coco_s_detections_give_boxes_by_the_photograph_s_number(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    rows = [{"image_id": 785, "bbox": box.tolist(), "category_id": 1, "score": 0.9} for box in BOXES]
    path.write_text(json.dumps([*rows, {"image_id": 785, "bbox": [1, 1, 5, 5], "category_id": 18, "score": 0.9}]))
    boxes = BoxFile(path)
    image = np.zeros((480, 640, 3), np.uint8)
    assert boxes(frame(image, "000000000785")).boxes == pytest.approx(BOXES)
    assert boxes(frame(image, "000000000786")).boxes.shape == (0, 4)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "1,7,60,40,90\n", "line 1 is no box"),
        ("a.txt", "1,7,60,40,90,nan,1\n", "line 1 is no box"),
        ("a.csv", "frame,id,x,y,w,h\n", "line 1 is no box"),
        ("a.txt", "0,7,60,40,90,20,1\n", "counted from 1"),
        ("a.json", '{"images": [], "annotations": []}', "where a list of boxes was expected"),
        ("a.json", '[{"image_id": 1, "keypoints": [1, 2, 3]}]', "entry 0 is no box.*bbox"),
        ("a.json", '[{"image_id": 1, "bbox": [1, 2, 3]}]', "entry 0 is no box.*3 values"),
        ("a.json", '[{"image_id": 1, "bbox": [1, 2, NaN, 4]}]', "entry 0 is no box.*out of range"),
        ("a.json", '[{"image_id": 1, "bbox": [1, 2, null, 4]}]', "entry 0 is no box"),
        ("a.json", '[{"image_id": 1, "bbox": [1, 2, 1e30, 4]}]', "entry 0 is no box.*out of range"),
        ("a.json", '[{"image_id": 1.5, "bbox": [1, 2, 3, 4]}]', "no whole number"),
        ("a.json", '[{"image_id": 1e300, "bbox": [1, 2, 3, 4]}]', "out of range"),
        ("a.txt", "1,1e300,60,40,90,20,1\n", "out of range"),
        ("a.txt", "1.5,7,60,40,90,20,1\n", "no whole number"),
    ],
)
def test_a_file_that_holds_no_boxes_says_where_and_what_is_wanted(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(PosetrtError, match=said):
        BoxFile(path)


@pytest.mark.parametrize("name", ["tracks.txt", "found.json"])
def test_a_row_outside_the_frame_or_without_area_is_not_in_view_and_counted(tmp_path: Path, name: str) -> None:
    """A tracker goes on predicting somebody who has left the picture."""
    path = tmp_path / name
    boxes = [BOXES[0].tolist(), [700, 40, 90, 230], [60, 40, 0, 230], [60, 40, 90, -3], [-90, 40, 90, 230], BOXES[1].tolist()]
    if name.endswith(".txt"):
        path.write_text("".join(f"1,{person},{','.join(map(str, box))},1\n" for person, box in enumerate(boxes)))
    else:
        path.write_text(json.dumps([{"image_id": 0, "bbox": box, "category_id": 1, "score": 0.9} for box in boxes]))
    given = BoxFile(path)(frame(np.zeros((480, 640, 3), np.uint8)))
    assert given.boxes == pytest.approx(BOXES)
    assert given.unseen == 4
    if given.ids is not None:
        assert given.ids.tolist() == [0, 5]


def test_boxes_of_a_file_run_through_the_pipeline_without_a_network_before_them() -> None:
    image, truth = picture(*BOXES)
    given = Given(BOXES, np.array([7, 3]))
    with Pose(None, [Cropped(network(), lambda _: given)]) as pose:
        results = list(pipeline.results(pose, [frame(image, index=index) for index in range(3)], options=pipeline.Options(track=True)))
    assert len(results) == 3
    for result in results:
        assert result.manifest.skeleton.name == "mpi14"
        assert result.people.ids is not None
        assert result.people.ids.tolist() == [7, 3]
        assert np.abs(result.people.keypoints[:, :, :2] - np.stack(truth)).max() < 1


def test_the_whole_frame_runs_through_the_pipeline_too() -> None:
    image, truth = picture(np.array([200, 20, 240, 440]), spread=2.5)
    with Pose(None, [Cropped(network(), whole)]) as pose:
        (result,) = pipeline.results(pose, [frame(image)])
    assert len(result.people) == 1
    assert np.abs(result.people.keypoints[0, :, :2] - truth[0]).max() < 1


def test_people_of_another_network_keep_ids_and_those_out_of_view_are_left_out() -> None:
    image, truth = picture(*BOXES)
    body = load_skeleton("coco18")
    rough = np.zeros((3, len(body.parts), 3), np.float32)
    for index, box in enumerate([BOXES[1], BOXES[0], np.array([900, 10, 50, 100])]):
        x, y, width, height = box
        rough[index, :2] = [(x - 0.5, y - 0.5, 0.8), (x + width - 0.5, y + height - 0.5, 0.8)]
    people = People(rough, np.array([0.9, 0.8, 0.7], np.float32), np.array([11, 12, 13]))
    closer = Detected(network())
    found = closer(frame(image), people)
    assert found.ids is not None
    assert found.ids.tolist() == [11, 12]
    assert found.scores == pytest.approx(np.array([0.9, 0.8]) * found.keypoints[..., 2].mean(axis=1), abs=1e-5)
    assert np.abs(found.keypoints[:, :, :2] - np.stack(truth[::-1])).max() < 0.7
    assert (closer.looks["people"].looked, closer.looks["people"].unseen) == (2, 1)
