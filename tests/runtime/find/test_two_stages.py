"""A detector finds people, a network for crops their parts; between detections people are followed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from posetrt.cli import main
from posetrt.runtime.engines.base import Engine
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.cropped import boxes_from
from posetrt.runtime.find.detected import Detected
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.heads.coordinates import CoordinatesHead
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.pose import Pose
from posetrt.runtime.sources import Frame
from tests.drawn_hands import Sees, draw, in_box
from tests.drawn_people_detector import SCORE, Boxes
from tests.stand_in import Listed

STANDING = np.array([(0.2 + 0.6 * (k % 4) / 3, 0.05 + 0.9 * k / 13) for k in range(14)])
FIRST, SECOND = np.array([60.0, 80, 90, 230]), np.array([330.0, 90, 110, 280])


def scene(*boxes: NDArray[np.floating]) -> tuple[NDArray[np.uint8], list[NDArray[np.float64]]]:
    image = np.zeros((480, 1000, 3), np.uint8)
    truth = [in_box(STANDING, box) for box in boxes]
    for points in truth:
        draw(image, points, 2.0)
    return image, truth


def walked(box: NDArray[np.float64], far: float) -> NDArray[np.float64]:
    return np.array([box[0] + far, *box[1:]])


def moving(count: int, people: int = 2, gone_from: int | None = None, new_from: int | None = None) -> Listed:
    """Two people walk to the right; the first may go away, and a third may come."""
    frames = []
    for index in range(count):
        here = [walked(FIRST, 2 * index), walked(SECOND, 3 * index)][:people]
        if gone_from is not None and index >= gone_from:
            here = here[1:]
        if new_from is not None and index >= new_from:
            here.append(np.array([800.0, 100, 100, 250]))
        frames.append(Frame(scene(*here)[0], f"f{index}", index, index / 30))
    return Listed(frames)


def followed(source: Listed, every: int, detector: Boxes, **options: bool) -> tuple[list[People], pipeline.RunStats]:
    stats = pipeline.RunStats()
    given = pipeline.Options(track=True, **options) if "track" not in options else pipeline.Options(**options)
    with Pose(WholeFrame(detector), [Detected(TopDown(Sees("mpi14")))], detect_every=every) as pose:
        return [result.people for result in pipeline.results(pose, source, stats, options=given)], stats


def test_people_in_detected_boxes_score_as_the_detector_times_their_parts() -> None:
    image, truth = scene(FIRST, SECOND)
    with Pose(WholeFrame(Boxes()), [Detected(TopDown(Sees("mpi14")))]) as pose:
        people = pose(image)
    order = np.argsort(people.keypoints[:, 0, 0])
    assert np.abs(people.keypoints[order][..., :2] - np.stack(truth)).max() < 1
    assert people.scores == pytest.approx(SCORE * people.keypoints[..., 2].mean(axis=1), abs=1e-5)
    assert (np.diff(people.scores) <= 0).all()


def test_between_detections_people_are_found_where_they_walk_and_the_detector_rests() -> None:
    detector = Boxes()
    found, stats = followed(moving(20), 5, detector)
    assert stats.detections == len(detector.batches) == 4
    assert "detector: looked at 4 of 20 frames" in stats.summary()
    ids = [sorted(people.ids.tolist()) for people in found if people.ids is not None]
    assert ids == [[0, 1]] * 20
    for index, people in enumerate(found):
        truth = [in_box(STANDING, walked(box, step * index)) for box, step in ((FIRST, 2), (SECOND, 3))]
        order = np.argsort(people.keypoints[:, 0, 0])
        assert np.abs(people.keypoints[order][..., :2] - np.stack(truth)).max() < 1.5


def test_somebody_lost_is_looked_for_again_in_the_same_frame_with_whoever_is_new() -> None:
    detector = Boxes()
    found, _ = followed(moving(9, gone_from=7, new_from=7), 5, detector)
    assert [len(people) for people in found] == [2] * 9
    # Frames 0 and 5 by number, and 7, in which somebody is lost.
    assert len(detector.batches) == 3
    assert found[7].ids is not None
    assert sorted(found[7].ids.tolist()) == [1, 2]


def test_somebody_whom_the_detector_misses_once_stays() -> None:
    found, _ = followed(moving(13), 4, Boxes(blind=lambda call: call == 2))
    assert [len(people) for people in found] == [2] * 13


def test_somebody_whom_the_detector_misses_twice_is_gone() -> None:
    found, _ = followed(moving(13), 4, Boxes(blind=lambda call: call > 1))
    assert [len(people) for people in found] == [2] * 12 + [0]


def test_somebody_whom_the_detector_saw_only_once_must_be_seen_again() -> None:
    found, _ = followed(moving(9), 4, Boxes(blind=lambda call: call == 1))
    assert [len(people) for people in found] == [2] * 4 + [0] * 4 + [2]


def test_a_detection_after_somebody_was_lost_counts_for_everybody() -> None:
    detector = Boxes(blind=lambda call: call == 1)
    found, _ = followed(moving(7, gone_from=3), 5, detector)
    # In frame 3 one is lost; the detector, asked again, does not see the other, whom it saw only once.
    assert [len(people) for people in found[:4]] == [2, 2, 2, 0]
    assert len(detector.batches) == 2


def test_without_ids_asked_for_there_are_none() -> None:
    found, _ = followed(moving(3), 2, Boxes(), track=False)
    assert all(people.ids is None for people in found)


def test_frames_of_several_sources_are_detected_in_one_call() -> None:
    detector, stats = Boxes(frames_in_flight=2), pipeline.RunStats()
    with Pose(WholeFrame(detector), [Detected(TopDown(Sees("mpi14")))], detect_every=3) as pose:
        pipeline.run(pose, [moving(12), moving(12, people=1)], [], pipeline.Options(batch=2), stats=stats)
    assert [source.delivered for source in stats.sources] == [12, 12]
    assert sum(detector.batches) == stats.detections == 8
    assert stats.people == 36


def test_photographs_are_no_scene_and_each_is_detected_in() -> None:
    detector = Boxes()
    with Pose(WholeFrame(detector), [Detected(TopDown(Sees("mpi14")))], detect_every=5) as pose:
        photographs = [Frame(scene(FIRST)[0], f"p{index}", index, 0.0) for index in range(4)]
        assert [len(result.people) for result in pipeline.results(pose, photographs)] == [1] * 4
    assert len(detector.batches) == 4


def test_boxes_without_area_or_outside_the_frame_are_counted() -> None:
    image, _ = scene(FIRST)
    stage = Detected(TopDown(Sees("mpi14")))
    boxes = np.array([FIRST, [10, 10, 0, 50], [1100, 10, 50, 50], [np.nan, 0, 5, 5]], np.float32)
    people, rows = stage.look(image, boxes, np.ones(4, np.float32))
    assert rows.tolist() == [0]
    assert len(people) == 1
    assert str(stage.looks["people"]) == "1 looked at, 0 too small, 3 not in view"


def test_two_boxes_of_one_person_give_one_person() -> None:
    image, _ = scene(FIRST)
    boxes = np.array([FIRST, [40, 60, 130, 270]], np.float32)
    both = np.array([0.9, 0.6], np.float32)
    assert len(Detected(TopDown(Sees("mpi14"))).look(image, boxes, both)[0]) == 1
    assert len(Detected(TopDown(Sees("mpi14")), distinct=False).look(image, boxes, both)[0]) == 2


def test_a_detector_is_refused_as_a_pose_network_with_what_it_is() -> None:
    with pytest.raises(UsageError, match=r"is a detector.*--detector"):
        TopDown(Boxes())


def test_following_needs_a_detector() -> None:
    with pytest.raises(UsageError, match="how often a detector looks"):
        Pose(WholeFrame(Boxes()), detect_every=5)


def test_a_network_given_as_boxes_is_told_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--detector"):
        boxes_from(tmp_path)


class Coordinates(Engine):
    """Finds the dots of `draw` as places, as MoveNet and BlazePose give them; two rows more say where the next crop is."""

    backend = "stand-in"
    precision = "fp32"

    def __init__(self, scope: str, *, turned_up: bool = False) -> None:
        spec = InputSpec("image", "NCHW", (256, 256), (256, 256), (256, 256), in_graph=True)
        more = {"next_crop_rows": (14, 15)} if turned_up else {}
        head = CoordinatesHead(
            outputs={"points": "points"},
            scope=scope,  # type: ignore[arg-type]
            columns=("x", "y", "score"),
            rows=16,
            origin="centre",
            **more,  # type: ignore[arg-type]
        )
        self.manifest = Manifest("places", load_skeleton("mpi14"), spec, head)
        self.calls = 0

    def infer(self, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> Tensors:
        self.calls += 1
        table = np.zeros((len(inputs), 16, 3), np.float32)
        for rows, crop in zip(table, inputs, strict=True):
            found = Sees.points(crop)
            for part, place in found.items():
                rows[part] = (*place, 0.9)
            if found:
                # The middle of the body, and the point to its right: the next crop is turned by a quarter.
                middle = np.mean(list(found.values()), axis=0)
                rows[14], rows[15] = (*middle, 1), (middle[0] + 80, middle[1], 1)
        return {"points": table}

    def close(self) -> None:
        pass


def test_a_network_for_the_one_person_of_a_frame_may_be_shown_crops() -> None:
    image, truth = scene(FIRST, SECOND)
    people = TopDown(Coordinates("frame"))(image, np.array([FIRST, SECOND, [500, 10, 100, 200]], np.float32))
    assert np.abs(people.keypoints[:2, :, :2] - np.stack(truth)).max() < 1
    assert people.scores[2] == 0


def test_a_network_that_asks_for_another_crop_is_shown_it() -> None:
    image, truth = scene(FIRST)
    engine = Coordinates("crop", turned_up=True)
    people = TopDown(engine)(image, FIRST[None])
    assert engine.calls == 2
    assert np.abs(people.keypoints[0, :, :2] - truth[0]).max() < 1


@pytest.mark.slow
def test_pp_tinypose_in_the_boxes_of_rtmdet_is_as_good_as_its_reference(shared_data: Path, tmp_path: Path) -> None:
    from posetrt.calib.accuracy.coco import coco_photos
    from posetrt.calib.accuracy.people_of import people_of
    from posetrt.export.engine.build import build
    from posetrt.runtime.engines.choose import open_engine
    from posetrt.runtime.find.whole_frame import open_detector
    from posetrt.runtime.heads.base import DecodeOptions
    from posetrt.runtime.model.folder import open_folder

    for name, file, more in (
        ("pose", "pp-tinypose/pp_tinypose_256x192.onnx", ["--normalise", "tinypose"]),
        ("det", "rtmdet-nano-person/rtmdet_nano_person_320.onnx", []),
    ):
        weights = shared_data / "weights" / "heads" / file
        assert main(["export", "onnx", "--weights", str(weights), *more, "-o", str(tmp_path / name)]) == 0
        build(open_folder(tmp_path / name), "fp32", "onnxruntime")
    photos = coco_photos(shared_data / "person_keypoints.json", shared_data / "images")
    for least, reference in ((0.05, 0.591), (0.3, 0.583)):
        options = DecodeOptions("evaluate", least)
        with open_engine(tmp_path / "pose") as pose, open_detector(tmp_path / "det", decoding=options) as detector:
            found = people_of(pose, photos.photographs, photos, detector=detector)
            assert (photos.judge(found, pose.manifest.skeleton).figures["ap"] or 0) >= reference
