"""An MCAP file is read by MCAP's own reader: pictures, annotations, the scene and events, each at its time."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrt.cli import main
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.events.base import Event
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.sinks.base import Result
from posetrt.runtime.sinks.choose import open_sink
from posetrt.runtime.sources.base import Frame
from tests.tiny_model import tiny_folder, tiny_manifest

pytest.importorskip("foxglove")
SKELETON = load_skeleton("coco18")


def result(index: int, people: int = 2, **more: Any) -> Result:
    random = np.random.default_rng(index)
    keypoints = random.uniform(1, 40, (people, 18, 3)).astype(np.float32)
    keypoints[..., 2] = 0.9
    keypoints[:, 4] = 0
    boxes = np.tile(np.float32([2, 3, 20, 30]), (people, 1))
    everyone = People(keypoints, np.ones(people, np.float32), np.arange(people) + 5, boxes, skeleton=SKELETON, **more)
    events = [Event("up", "raised-hand", "start", 5, index / 10, 0.0, 0.7)] if index == 1 else []
    image = np.full((48, 64, 3), 40 * index, np.uint8)
    return Result(Frame(image, f"cam_{index}", index, index / 10, label="cam 1"), everyone, tiny_manifest(), events=events)


def messages(path: Path) -> dict[str, list[tuple[int, Any]]]:
    from mcap.reader import make_reader
    from mcap_protobuf.decoder import DecoderFactory

    found: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    with path.open("rb") as stream:
        for schema, channel, message, decoded in make_reader(stream, decoder_factories=[DecoderFactory()]).iter_decoded_messages():
            found[f"{channel.topic} {schema.name}"].append((message.log_time, decoded))
    return found


def test_all_that_is_known_of_a_frame_is_read_back(tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "out.mcap"
    sink = open_sink(f"mcap={path}", print)
    given = [result(index) for index in range(3)]
    for each in given:
        sink.write(each)
    assert not path.exists()
    sink.close()
    sink.close()
    read = messages(path)
    assert set(read) == {
        "/cam_1/image foxglove.CompressedImage",
        "/cam_1/people foxglove.ImageAnnotations",
        "/cam_1/scene foxglove.SceneUpdate",
        "/cam_1/events foxglove.Log",
    }
    assert [time for time, _ in read["/cam_1/people foxglove.ImageAnnotations"]] == [0, 100_000_000, 200_000_000]
    picture = read["/cam_1/image foxglove.CompressedImage"][2][1]
    decoded = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(decoded, given[2].frame.image, atol=3)
    annotations = read["/cam_1/people foxglove.ImageAnnotations"][1][1]
    dots = [[(point.x, point.y) for point in each.points] for each in annotations.points if each.type == each.POINTS]
    found = given[1].people.keypoints
    # Foxglove counts from the corner of the first pixel.
    np.testing.assert_allclose(dots, np.delete(found, 4, axis=1)[..., :2] + 0.5, atol=1e-4)
    assert [text.text for text in annotations.texts] == ["5", "6"]
    limbs = [each for each in annotations.points if each.type == each.LINE_LIST]
    drawn = sum(4 not in limb for limb in given[1].manifest.skeleton.limbs)
    assert [len(each.points) for each in limbs] == [2 * drawn] * 2
    event = read["/cam_1/events foxglove.Log"][0]
    assert event[0] == 100_000_000
    assert json.loads(event[1].message)["event"] == "up"
    scene = read["/cam_1/scene foxglove.SceneUpdate"][0][1]
    assert [entity.id for entity in scene.entities] == ["5", "6"]
    assert scene.entities[0].frame_id == "cam_1"


def test_people_who_were_triangulated_stand_in_the_world(tmp_path: Path) -> None:
    sink = open_sink(f"mcap={tmp_path / 'out.mcap'}?image=no", print)
    spots = np.random.default_rng(0).uniform(0, 3, (2, 18, 4))
    spots[:, 0, 3] = 0
    sink.write(result(0, keypoints_3d=spots))
    sink.close()
    read = messages(tmp_path / "out.mcap")
    assert not any("image" in topic.lower().split()[0] for topic in read)
    entity = read["/cam_1/scene foxglove.SceneUpdate"][0][1].entities[0]
    assert entity.frame_id == "world"
    first = next(limb for limb in SKELETON.limbs if 0 not in limb)
    np.testing.assert_allclose([(point.x, point.y, point.z) for point in entity.lines[0].points[:2]], spots[0, list(first), :3], rtol=1e-6)


def test_a_live_source_has_the_time_of_the_day(tmp_path: Path) -> None:
    import time

    sink = open_sink(f"mcap={tmp_path / 'out.mcap'}?image=no", print)
    live = result(0)
    sink.write(replace(live, frame=replace(live.frame, captured_s=time.perf_counter() - 1)))
    sink.close()
    at = messages(tmp_path / "out.mcap")["/cam_1/people foxglove.ImageAnnotations"][0][0] / 1e9
    assert abs(at - (time.time() - 1)) < 30


def test_run_writes_a_file_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "photo.png"), np.full((48, 64, 3), 128, np.uint8))
    folder, path = tiny_folder(tmp_path / "m"), tmp_path / "out.mcap"
    assert main(["run", str(folder.onnx), "--source", str(tmp_path / "photo.png"), "--sink", f"mcap={path}?quality=70"]) == 0
    assert f"written: {path}\n" in capsys.readouterr().err
    assert len(messages(path)["/photo/image foxglove.CompressedImage"]) == 1


@pytest.mark.parametrize(
    ("argument", "said"), [("", "give a place"), ("out.bag", "called .mcap"), ("o.mcap?q=1", "not q"), ("o.mcap?quality=0", "1 to 100")]
)
def test_an_argument_that_is_none_is_told(argument: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_sink(f"mcap={argument}", print)


def test_a_missing_package_names_the_extra_and_an_unknown_sink_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "foxglove", None)
    with pytest.raises(PosetrtError, match=r"posetrt\[mcap\]"):
        open_sink(f"mcap={tmp_path / 'o.mcap'}", print)
    with pytest.raises(UsageError, match="posetrt has mqtt, mcap, rerun"):
        open_sink("kafka=x", print)
    monkeypatch.undo()
    with pytest.raises(PosetrtError, match=r"o\.mcap"):
        open_sink("mcap=/dev/null/o.mcap", print)
