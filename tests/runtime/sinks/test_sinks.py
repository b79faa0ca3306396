"""What sinks write, and what is left of it when the disk is full or the program is killed."""

from __future__ import annotations

import csv
import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People, nobody
from posetrt.runtime.placement import letterbox
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.coco import CocoResults
from posetrt.runtime.sinks.csv_rows import COLUMNS, CsvRows
from posetrt.runtime.sinks.draw import draw, draw_people
from posetrt.runtime.sinks.json_lines import FileLines, SocketLines, open_json_lines
from posetrt.runtime.sinks.video import VideoFile, VideoFiles
from posetrt.runtime.sources import Frame
from tests.stand_in import StandIn

MANIFEST = StandIn().manifest


def made(index: int, people: int = 2, name: str | None = None) -> Result:
    random = np.random.default_rng(index)
    points = random.uniform(1, 60, (people, 18, 3)).astype(np.float32)
    points[..., 2] = 0.5
    points[:, 3] = 0
    found = People(points, np.linspace(0.9, 0.5, people, dtype=np.float32), np.arange(people) + 7) if people else nobody(18)
    frame = Frame(np.zeros((64, 64, 3), np.uint8), name or f"clip_{index:012d}", index, index / 25, None, 0, "clip")
    return Result(frame, found, MANIFEST, letterbox((64, 64), (64, 64)))


def test_a_json_line_a_frame_with_ids_scores_and_key_points(tmp_path: Path) -> None:
    sink = open_json_lines(str(tmp_path / "out" / "a.jsonl"))
    results = [made(0), made(1, people=0), made(2)]
    for result in results:
        sink.write(result)
    sink.close()
    sink.close()
    lines = [json.loads(line) for line in (tmp_path / "out" / "a.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert lines[2]["time_s"] == 0.08
    assert lines[1]["people"] == []
    person = lines[2]["people"][1]
    assert set(person) == {"person_id", "score", "keypoints"}
    assert person["person_id"] == 8
    assert np.allclose(person["keypoints"], results[2].people.keypoints[1], atol=0.006)


def test_csv_is_read_back_by_a_csv_reader(tmp_path: Path) -> None:
    sink = CsvRows(tmp_path / "a.csv")
    result = made(4)
    sink.write(result)
    sink.close()
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 2 * 17
    assert {row["person_id"] for row in rows} == {"7", "8"}
    assert "RElbow" not in {row["part"] for row in rows}
    assert {row["name"] for row in rows} == {"clip_000000000004"}
    wrist = next(row for row in rows if row["part"] == "RWrist" and row["person_id"] == "8")
    assert float(wrist["x"]) == pytest.approx(result.people.keypoints[1, 4, 0], abs=0.006)


def test_people_are_told_in_a_line() -> None:
    result = made(0)
    assert repr(replace(result.people, skeleton=MANIFEST.skeleton)) == "People(2: 18 key points each (coco18), scores 0.90 0.50, ids 7 8)"
    assert repr(nobody(18)) == "People(0: 18 key points each (parts without names), scores )"


def test_what_is_no_picture_is_not_drawn_on() -> None:
    with pytest.raises(PosetrtError, match=r"cv2\.imread gives for a file that it cannot read"):
        draw(None, made(0).people)  # type: ignore[arg-type]


@pytest.mark.parametrize(("height", "least", "most"), [(400, 8, 11), (60, 2, 5)])
def test_dots_do_not_hide_small_people(height: int, least: int, most: int) -> None:
    """In a picture of 1080 rows limbs are 8 px wide; those of somebody 60 px high are 2; smooth edges take a pixel more on each side."""
    points = np.zeros((1, 18, 3), np.float32)
    points[0, [1, 8]] = (200, 300, 1), (200, 300 + height, 1)
    drawn = draw(np.zeros((1080, 1920, 3), np.uint8), People(points, np.ones(1, np.float32), skeleton=MANIFEST.skeleton))
    middle = drawn[300 + height // 2, :, :].max(axis=1)
    assert least <= (middle > 40).sum() <= most


def test_coco_results_are_read_and_scored_by_pycocotools(tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    result = made(0, name="000000000785")
    sink = CocoResults(tmp_path / "r.json")
    sink.write(result)
    sink.write(made(1, people=0))
    sink.close()
    order = list(MANIFEST.skeleton.coco17)
    annotations = []
    for number, person in enumerate(result.people.keypoints[:, order]):
        keypoints = np.column_stack([person[:, :2], 2 * (person[:, 2] > 0)]).ravel().tolist()
        box = {"area": 1000.0, "bbox": [0, 0, 60, 60], "iscrowd": 0, "num_keypoints": 16}
        annotations.append({"id": number + 1, "image_id": 785, "category_id": 1, "keypoints": keypoints, **box})
    truth = {"images": [{"id": 785}], "categories": [{"id": 1, "name": "person"}], "annotations": annotations}
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    coco = COCO(str(tmp_path / "gt.json"))
    evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / "r.json")), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_a_coco_file_is_whole_json_after_every_frame(tmp_path: Path) -> None:
    sink = CocoResults(tmp_path / "r.json")
    for index in range(6):
        sink.write(made(index, people=index % 3))
        assert len(json.loads((tmp_path / "r.json").read_text())) == sum(number % 3 for number in range(index + 1))
    sink.close()


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """The kernel refuses to let files grow past a size, after a short write, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", [FileLines, CsvRows, CocoResults])
def test_a_full_disk_leaves_whole_records_and_a_clear_error(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "out.dat"
    sink: Sink = kind(path)
    written, refused = 0, ""
    with no_file_longer_than(9000):
        while written < 100:
            try:
                sink.write(made(written))
            except PosetrtError as error:
                refused = str(error)
                break
            written += 1
    assert f"cannot write {path}" in refused
    sink.close()
    text = path.read_text()
    assert 1 < written < 100
    if kind is FileLines:
        assert [json.loads(line)["frame"] for line in text.splitlines()] == list(range(written))
    elif kind is CsvRows:
        assert len(list(csv.reader(text.splitlines()))) == 1 + written * 34
        assert path.read_bytes().endswith(b"\r\n")
    else:
        assert len(json.loads(text)) == 2 * written


def test_every_reader_of_a_socket_gets_whole_lines_and_one_that_stops_reading_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "people.sock"
    sink = SocketLines(path)
    reading, stalled = (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2))
    for reader in (reading, stalled):
        reader.connect(str(path))
    time.sleep(0.1)
    slowest = 0.0
    received = b""
    reading.setblocking(False)
    for index in range(3000):
        before = time.perf_counter()
        sink.write(made(index))
        slowest = max(slowest, time.perf_counter() - before)
        with suppress(BlockingIOError):
            received += reading.recv(1 << 20)
    stalled.setblocking(False)
    late = b""
    while True:
        try:
            late += stalled.recv(1 << 20)
        except BlockingIOError:
            break
        sink.write(made(9999))
        if b'"frame":9999' in late[-3000:]:
            break
    sink.close()
    assert slowest < 0.5
    assert [json.loads(line)["frame"] for line in received.splitlines()] == list(range(3000))
    whole = [json.loads(line)["frame"] for line in late[: late.rfind(b"\n") + 1].splitlines()]
    assert whole[:10] == list(range(10))
    assert 3000 > len(whole) > 10
    assert not path.exists()
    for reader in (reading, stalled):
        reader.close()


def test_a_reader_that_comes_and_goes_gets_whole_lines_however_long_they_are(tmp_path: Path) -> None:
    """Lines of half the socket's room and more: the rest of one often goes out when there is none for the next."""
    path = tmp_path / "people.sock"
    sink = SocketLines(path)
    reader = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    reader.connect(str(path))
    time.sleep(0.1)
    reader.setblocking(False)
    result = made(0)
    people = People(np.tile(result.people.keypoints, (250, 1, 1)), np.tile(result.people.scores, 250))
    received, random = b"", np.random.default_rng(0)
    for index in range(400):
        sink.write(replace(made(index), people=people))
        with suppress(BlockingIOError):
            received += reader.recv(int(random.integers(1, 150_000)))
    while b'"frame":399' not in received[-300_000:]:
        with suppress(BlockingIOError):
            received += reader.recv(1 << 20)
        sink.write(replace(made(399), people=people))
    sink.close()
    reader.close()
    numbers = [json.loads(line)["frame"] for line in received[: received.rfind(b"\n") + 1].splitlines()]
    assert numbers == sorted(numbers)
    assert 10 < len(set(numbers)) < 400, "some were missed, each as a whole"


@pytest.mark.parametrize(
    ("name", "number"), [("000000000042", 42), ("COCO_val2014_000000000042", 42), ("clip_000000000007", 7), ("cat", 3)]
)
def test_coco_results_have_the_number_of_the_photographs_name(name: str, number: int, tmp_path: Path) -> None:
    sink = CocoResults(tmp_path / "results.json")
    result = made(3)
    sink.write(replace(result, frame=replace(result.frame, name=name)))
    sink.close()
    assert {entry["image_id"] for entry in json.loads((tmp_path / "results.json").read_text())} == {number}


def test_coco_results_may_go_nowhere() -> None:
    sink = CocoResults(Path("/dev/null"))
    sink.write(made(0))
    sink.close()


def test_a_socket_left_by_a_killed_run_is_replaced_and_a_served_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "people.sock"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    sink = SocketLines(path)
    with pytest.raises(UsageError, match="another program serves"):
        SocketLines(path)
    sink.close()
    path.write_text("a file")
    with pytest.raises(UsageError, match="no socket"):
        SocketLines(path)
    assert path.read_text() == "a file"


def test_a_video_that_cannot_be_begun_leaves_nothing_and_says_so_once(tmp_path: Path) -> None:
    for name, fps in (("out.avi", -1.0), ("out.mp4", float("nan")), ("out.mkv", 25.0)):
        with pytest.raises(UsageError):
            VideoFile(tmp_path / name, fps)
    sink = VideoFile(tmp_path / "out.mp4", 25.0)
    sink.close()
    sink.close()
    assert not list(tmp_path.iterdir())


def test_a_video_that_fails_at_its_end_costs_no_other_source_its_video(tmp_path: Path) -> None:
    import cv2

    sink = VideoFiles(tmp_path / "out.avi", [25.0, 25.0, 25.0])
    for index in range(6):
        result = made(index)
        number = index % 3
        sink.write(replace(result, frame=replace(result.frame, source=number, label=f"camera{number}")))
    # What a full disk leaves of the first.
    first = next(path for path in tmp_path.iterdir() if path.name.startswith(".out-camera0-"))
    first.unlink()
    with pytest.raises((PosetrtError, OSError)):
        sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-camera1.avi", "out-camera2.avi"]
    video = cv2.VideoCapture(str(tmp_path / "out-camera2.avi"))
    # Two frames, three steps of 1/25 s apart: an .avi repeats the first meanwhile.
    assert [video.read()[0] for _ in range(5)] == [True, True, True, True, False]


def test_people_whom_a_detector_found_are_drawn_as_boxes() -> None:
    manifest = replace(MANIFEST, skeleton=load_skeleton("boxes"))
    people = People(np.zeros((1, 0, 3), np.float32), np.ones(1, np.float32), boxes=np.array([[10, 12, 30, 40]], np.float32))
    drawn = draw_people(Result(Frame(np.zeros((64, 64, 3), np.uint8), "f", 0, 0.0), people, manifest))
    assert drawn[12, 10:40].any(axis=-1).all()
    assert not drawn[30, 20:30].any()
