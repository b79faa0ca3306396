"""Files as sources: the times that a container gives, names of every kind, and what is no picture or too large a one."""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sources import Paced, Photos, Video, open_source, photos_in, read_photo
from posetrt.runtime.sources.address import parse_address
from posetrt.runtime.sources.names import frame_names, path_part, readable, source_labels

UNEVEN = [0.0, 0.033, 0.067, 0.1, 0.4, 0.9, 1.0, 1.7, 1.733, 2.5]


def encode(path: Path, times_s: list[float], container: str) -> None:
    """A video of any container with a frame at each time, by PyAV."""
    tick = Fraction(1, 1000)
    with path.open("wb") as file, av.open(file, "w", format=container) as out:
        stream = out.add_stream("mpeg4")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = tick
        for number, time_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number % 250, np.uint8), format="bgr24")
            frame.pts, frame.time_base = round(time_s / tick), tick
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_frames_have_their_containers_times_and_a_healthy_file_of_uneven_ones_is_not_called_damaged(container: str, tmp_path: Path) -> None:
    """Duration times mean rate is a guess at the number of frames, and index by rate one at their times."""
    path = tmp_path / "uneven"
    encode(path, UNEVEN, container)
    video = Video(path)
    assert [frame.time_s for frame in video] == pytest.approx(UNEVEN, abs=0.002)
    assert video.shortfall is None


def test_a_matroska_file_that_was_cut_off_is_told(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    encode(whole, [number / 30 for number in range(40)], "matroska")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    video = Video(cut)
    assert 0 < len(list(video)) < 40
    assert "truncated" in (video.shortfall or "")


def test_a_paced_recording_plays_at_its_own_times_and_again(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    encode(path, [0.0, 0.02, 0.2, 0.22], "mp4")
    times = [frame.time_s for frame in Paced(Video(path), None, 6)]
    assert times[:4] == pytest.approx([0.0, 0.02, 0.2, 0.22], abs=0.002)
    assert times[4] > times[3]
    assert times[5] - times[4] == pytest.approx(0.02, abs=0.002)


def picture(path: Path | str | bytes, value: int = 90, suffix: str = ".png") -> None:
    with open(path, "wb") as file:  # noqa: PTH123 a name of bytes
        file.write(cv2.imencode(suffix, np.full((64, 64, 3), value, np.uint8))[1].tobytes())


def test_no_two_photographs_share_a_name_whatever_they_are_called() -> None:
    names = frame_names([Path(name) for name in ("a.jpg", "a.png", "a.jpg.png", "A.bmp", "b.jpg", "c.jpg", "C.jpg")])
    assert len({name.casefold() for name in names}) == 7
    assert names[2] == "a.jpg"
    assert names[4] == "b"


def test_no_two_sources_share_a_label_and_none_begins_with_another_ones() -> None:
    assert source_labels(["cam", "cam", "door"]) == ["cam", "cam-2", "door"]
    labels = source_labels(["cam", "cam_1", "cam-1"])
    assert len(set(labels)) == 3
    assert not any(one != other and other.startswith(f"{one}_") for one in labels for other in labels)


def test_labels_that_differ_in_signs_alone_stay_apart_in_the_topics_of_a_recording() -> None:
    labels = source_labels(["door 1", "door_1", "door#1", "Door 1"])
    assert labels[0] == "door 1"
    assert len({path_part(label).casefold() for label in labels}) == 4


def test_photographs_that_would_share_an_image_id_are_refused_and_others_keep_their_number(tmp_path: Path) -> None:
    for name in ("cam1_0001.png", "cam2_0001.png"):
        picture(tmp_path / name)
    with pytest.raises(UsageError, match=r"cam1_0001.png and cam2_0001.png would both be image 1"):
        Photos(photos_in(tmp_path)).check_image_ids()
    picture(tmp_path / "cover.png")
    photos = Photos(photos_in(tmp_path))
    photos.check_image_ids()
    # One has no number: all go by their place, else it could meet another one's number.
    assert [frame.image_id for frame in photos] == [0, 1, 2]


def test_a_folder_without_photographs_is_answered_with_what_it_does_hold(tmp_path: Path) -> None:
    (tmp_path / "set" / "images" / "train").mkdir(parents=True)
    with pytest.raises(PosetrtError, match=r"set holds no photographs \(JPEG, PNG"):
        open_source(str(tmp_path / "set"))
    picture(tmp_path / "set" / "images" / "train" / "a.png")
    with pytest.raises(PosetrtError, match=r"set holds no photographs itself, but .*set/images/train does: give that folder"):
        open_source(str(tmp_path / "set"))
    clips = tmp_path / "my clips"
    clips.mkdir()
    for name in ("s.avi", "t.mp4"):
        (clips / name).write_bytes(b"\0")
    with pytest.raises(PosetrtError) as said:
        open_source(str(clips))
    assert f"holds no photographs but 2 videos; a video is a source of its own: --source '{clips / 's.avi'}'" in str(said.value)
    assert f"posetrt map nano --source '{clips}' -o out/" in str(said.value)


def test_a_picture_of_any_suffix_is_read_or_counted(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.gif", "c.jp2", "d.avif", "noname", "e.JPG_large"):
        picture(tmp_path / name, suffix={"b.gif": ".gif", "c.jp2": ".jp2", "d.avif": ".avif"}.get(name, ".jpg"))
    (tmp_path / "f.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    photos = Photos(photos_in(tmp_path))
    assert len(list(photos)) + len(photos.skipped) == 7
    assert any("f.heic" in line for line in photos.skipped)
    assert len(photos.skipped) <= 3, "an OpenCV may lack gif and avif"


NAMES = [b"a:b", b"bad\xff", b"what%03d", b"http:", b"line\nbreak"]


@pytest.mark.parametrize("name", NAMES)
def test_a_video_of_any_name_is_read_and_its_frames_can_be_named_by_it(name: bytes, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".mp4"))
    encode(path, [0.0, 0.1], "mp4")
    frames = list(open_source(path))
    assert len(frames) == 2
    frames[0].name.encode()
    assert frames[0].name.isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_of_any_name_is_read(name: bytes, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/" + name + b".png"
    picture(path)
    frame = next(iter(open_source(Path(os.fsdecode(path)))))
    assert frame.image.shape == (64, 64, 3)
    assert readable(frame.name) == frame.name


def test_a_file_whose_name_looks_like_another_source_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("gst:x", "paced:x", "a ! b", "0"):
        (tmp_path / name).write_bytes(b"")
        assert parse_address(name).kind == "file"


def test_a_photograph_that_would_fill_the_memory_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    picture(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 30_000, 30_000)
    path.write_bytes(data)
    with pytest.raises(PosetrtError, match=r"30000x30000, 900 megapixels, and at most 100 .* --max-megapixels"):
        read_photo(path)
    picture(tmp_path / "fine.png")
    with pytest.raises(PosetrtError, match="--max-megapixels"):
        read_photo(tmp_path / "fine.png", most_megapixels=1e-6)
