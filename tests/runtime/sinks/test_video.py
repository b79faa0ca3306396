"""Written video: every frame at its time, at any rate, and whole or not there at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sinks.video import VideoFile
from posetrt.runtime.sources import Video
from tests.runtime.sinks.test_sinks import made, no_file_longer_than

UNEVEN = [0.0, 0.033, 0.067, 0.4, 0.5, 1.7, 1.733]


def write(path: Path, fps: float, times_s: list[float], size_wh: tuple[int, int] = (64, 48)) -> None:
    sink = VideoFile(path, fps)
    for index, time_s in enumerate(times_s):
        result = made(index, people=0)
        image = np.full((size_wh[1], size_wh[0], 3), 10 * index % 250, np.uint8)
        sink.write(replace(result, frame=replace(result.frame, picture=image, time_s=time_s)))
    sink.close()


def test_a_video_has_the_times_of_its_frames_and_lasts_as_long(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", 15.79, UNEVEN)
    assert [frame.time_s for frame in Video(tmp_path / "out.mp4")] == pytest.approx(UNEVEN, abs=0.001)


def test_an_avi_repeats_frames_where_the_next_comes_later(tmp_path: Path) -> None:
    write(tmp_path / "out.avi", 30.0, UNEVEN)
    frames = list(Video(tmp_path / "out.avi"))
    assert len(frames) == round(UNEVEN[-1] * 30) + 1
    assert [round(frames[round(30 * time_s)].image.mean() / 10) for time_s in UNEVEN] == list(range(len(UNEVEN)))


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
@pytest.mark.parametrize("fps", [211.222, 29.97, 1 / 3, 1000.0, 7.3218])
def test_any_rate_is_one_that_the_encoder_takes(fps: float, suffix: str, tmp_path: Path) -> None:
    times = [index / fps for index in range(12)]
    write(tmp_path / f"out{suffix}", fps, times)
    video = Video(tmp_path / f"out{suffix}")
    assert [frame.time_s for frame in video] == pytest.approx(times, abs=0.5 / fps)
    assert video.shortfall is None


def test_photographs_follow_each_other_at_the_rate(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", 1.0, [0.0, 0.0, 0.0])
    assert [frame.time_s for frame in Video(tmp_path / "out.mp4")] == pytest.approx([0, 1, 2])


@pytest.mark.parametrize("size_wh", [(63, 47), (1, 1), (1920, 2)])
def test_any_size_is_written(size_wh: tuple[int, int], tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", 25.0, [0.0, 0.04], size_wh)
    assert len(list(Video(tmp_path / "out.mp4"))) == 2


@pytest.mark.parametrize("name", ["out.mp4", "out.avi"])
def test_a_full_disk_is_an_error_and_leaves_the_old_video_as_it_was(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"the old video")
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    sink = VideoFile(path, 25.0)
    with no_file_longer_than(60_000), pytest.raises(PosetrtError, match=r"cannot write .*File too large.*unchanged"):  # noqa: PT012
        for index in range(40):
            result = made(index)
            sink.write(replace(result, frame=replace(result.frame, picture=noise, time_s=index / 25)))
        sink.close()
    sink.close()
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == b"the old video"


def test_a_disk_that_keeps_less_than_it_took_is_noticed_before_the_rename(tmp_path: Path) -> None:
    path = tmp_path / "out.avi"
    path.write_bytes(b"the old video")
    sink = VideoFile(path, 25.0)
    for index in range(20):
        sink.write(made(index))
    assert sink._writing is not None
    finish, temporary = sink._writing.finish, sink._temporary

    def loses() -> None:
        finish()
        temporary.write_bytes(temporary.read_bytes()[: temporary.stat().st_size // 2])

    sink._writing.finish = loses  # type: ignore[method-assign]
    with pytest.raises(PosetrtError, match=r"holds \d+ of 20 frames|cannot write"):
        sink.close()
    assert path.read_bytes() == b"the old video"


def test_what_cannot_be_written_is_told_before_the_first_frame(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"as \.mp4 or \.avi"):
        VideoFile(tmp_path / "out.mkv", 25.0)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(PosetrtError, match="cannot write"):
        VideoFile(tmp_path / "file" / "out.mp4", 25.0)


def test_a_video_of_any_name_is_written(tmp_path: Path) -> None:
    for name in ("a:b.mp4", "bad\udcff.avi", "%03d.mp4"):
        write(tmp_path / name, 25.0, [0.0, 0.04])
        assert len(list(Video(tmp_path / name))) == 2
    assert cv2.VideoCapture(str(tmp_path / "a:b.mp4")).isOpened()
