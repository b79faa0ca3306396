"""One Pose, used as people use it: from several threads, on boxes, on networks that look at crops."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import posetrt
from posetrt.calib.scenes.scenes import draw_scene
from posetrt.export.engine.build import build
from posetrt.runtime.errors import UsageError
from posetrt.runtime.find.box_file import Given, whole
from posetrt.runtime.find.cropped import Cropped
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.pose import Pose
from posetrt.runtime.sources import Frame
from tests.drawn_hands import Sees, draw, in_box
from tests.runtime.find.test_top_down import BOXES, STANDING, picture

OLD = Path(__file__).parent / "model" / "format1"


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    import shutil

    from posetrt.runtime.model.shipped import shipped_model

    folder = ModelFolder(tmp_path_factory.mktemp("nano") / "nano")
    shutil.copytree(shipped_model(), folder.path)
    build(folder, "fp32", "onnxruntime")
    return folder


def test_threads_that_share_a_pose_each_get_the_people_of_their_own_frames(nano: ModelFolder) -> None:
    frames = [draw_scene(seed, (456, 256)).image for seed in range(4)]
    wrong: list[int] = []
    with posetrt.open(nano.path, backend="onnxruntime", threads=1) as pose:
        expected = [pose(frame) for frame in frames]
        assert sum(len(people) for people in expected) >= 4

        def look(own: int) -> None:
            for turn in range(6):
                number = (own + turn) % 4
                found = pose(frames[number])
                if found.keypoints.shape != expected[number].keypoints.shape or not np.array_equal(
                    found.keypoints, expected[number].keypoints
                ):
                    wrong.append(number)

        threads = [threading.Thread(target=look, args=(own,)) for own in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_network_for_crops_is_refused_on_a_whole_frame_with_the_way() -> None:
    with pytest.raises(UsageError, match=r'looks at one person in a crop.*boxes="whole"'):
        posetrt.open(OLD / "crop" / "model.onnx")


def test_an_option_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"no option precission.*precision"):
        posetrt.open(OLD / "paf" / "model.onnx", precission="int8")


def _walking(count: int, jitter: float) -> list[Frame]:
    """A person who stands still, drawn a little off in each frame."""
    rng, frames = np.random.default_rng(0), []
    for index in range(count):
        image = np.zeros((480, 640, 3), np.uint8)
        draw(image, in_box(STANDING, BOXES[0]) + rng.normal(0, jitter, 2), 2.0)
        frames.append(Frame(image, f"f{index}", index, index / 30))
    return frames


def _found(options: pipeline.Options, boxes=lambda _: Given(BOXES[:1])) -> list[posetrt.People]:  # type: ignore[no-untyped-def]
    with Pose(None, [Cropped(TopDown(Sees("mpi14")), boxes)]) as pose:
        return [result.people for result in pipeline.results(pose, _walking(20, 1.5), options=options)]


def test_smoothing_reaches_the_key_points_of_people_in_boxes() -> None:
    plain, smooth = (_found(pipeline.Options(track=True, smooth=one)) for one in (False, True))
    jitter = [np.abs(np.diff([people.keypoints[0, :, :2] for people in found[5:]], axis=0)).mean() for found in (plain, smooth)]
    assert jitter[1] < 0.6 * jitter[0]


@pytest.mark.parametrize("boxes", [whole, lambda _: Given(BOXES[:1])], ids=["whole", "file without ids"])
def test_people_in_boxes_without_ids_get_ids_that_stay(boxes) -> None:  # type: ignore[no-untyped-def]
    ids = [people.ids for people in _found(pipeline.Options(track=True), boxes)]
    assert all(one is not None and one.tolist() == [0] for one in ids)


def test_ids_that_a_file_gives_are_kept() -> None:
    image, _ = picture(*BOXES)
    with Pose(None, [Cropped(TopDown(Sees("mpi14")), lambda _: Given(BOXES, np.array([7, 3])))]) as pose:
        frames = [Frame(image, "f", index, index / 30) for index in range(3)]
        found = [result.people.ids for result in pipeline.results(pose, frames, options=pipeline.Options(track=True, smooth=True))]
    assert all(one is not None and one.tolist() == [7, 3] for one in found)
