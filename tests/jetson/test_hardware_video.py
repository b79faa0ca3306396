"""Video files through a board's decoder and scaler: in a real GStreamer whose own elements stand in for NVIDIA's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.sources import Video, hardware_video, video
from posetrt.runtime.sources.hardware_video import hardware_clip
from posetrt.runtime.sources.pipelines import Wanted, video_file
from tests.runtime.pipeline.test_streams import needs_gstreamer
from tests.runtime.sources.test_smaller import Seen
from tests.stand_in import stand_in

H264 = int.from_bytes(b"h264", "little")
COUNT = 30

LAUNCH = """#!{python}
import os, sys
stand_ins = {{"nvv4l2decoder": ["openh264dec"], "nvvidconv": ["videoconvert", "!", "videoscale"], "interpolation-method=5": []}}
turned = {{"flip-method=3": ["!", "videoflip", "video-direction=90r"]}}
words = [other for word in sys.argv[1:] for other in {{**stand_ins, **turned}}.get(word, [word])]
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
os.execv({program!r}, [{program!r}, *words])
"""


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer that takes itself for a Jetson; a file with the words of each pipeline that was launched."""
    needs_gstreamer()
    if not hardware_video.has_element("openh264enc") or not hardware_video.has_element("openh264dec"):
        pytest.skip("no H.264: apt-get install gstreamer1.0-plugins-bad")
    real, log = shutil.which("gst-launch-1.0"), tmp_path / "launched"
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gst-launch-1.0"
    program.write_text(LAUNCH.format(python=sys.executable, program=real, log=str(log)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(video, "board_name", lambda: "NVIDIA Jetson")
    found = hardware_video.has_element
    monkeypatch.setattr(hardware_video, "has_element", lambda name: name == "nvv4l2decoder" or found(name))
    return log


def clip(path: Path, muxer: str, *, sound: bool = False) -> Path:
    """Thirty pictures of 640x360 in H.264, each brighter than the last, with a gap in time in the middle where the muxer keeps one."""
    source = f"videotestsrc num-buffers={COUNT} pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1 ! openh264enc ! h264parse"
    tone = "audiotestsrc num-buffers=40 ! audioconvert ! opusenc ! mux." if sound else ""
    words = f"{source} ! {muxer} name=mux ! filesink location={path} {tone}".split()
    subprocess.run(["gst-launch-1.0", "-q", *words], check=True, capture_output=True)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("name", "muxer", "sound"), [("a b's.mp4", "mp4mux", False), ("clip.mkv", "matroskamux", True)])
def test_every_frame_of_a_file_comes_in_order_with_the_containers_time(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, muxer: str, sound: bool
) -> None:
    path = clip(tmp_path / "made", muxer, sound=sound).rename(tmp_path / name)
    said: list[str] = []
    opened = Video(path, say=said.append)
    hardware = list(opened)
    assert not said
    assert opened.shortfall is None
    assert "nvv4l2decoder" in board.read_text()
    monkeypatch.setattr(video, "board_name", lambda: None)
    software = list(Video(path))
    assert [frame.name for frame in hardware] == [frame.name for frame in software]
    assert len(hardware) == COUNT
    assert [frame.time_s for frame in hardware] == pytest.approx([frame.time_s for frame in software], abs=0.002)
    apart = [np.abs(a.image.astype(int) - b.image).mean() for a, b in zip(hardware, software, strict=True)]
    assert max(apart) < 3


@pytest.mark.slow
def test_the_hardware_scales_where_nobody_shows_pictures_and_people_stay_in_the_files_pixels(board: Path, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", "mp4mux")
    found = {}
    for needs_pictures in (False, True):
        sink = Seen(needs_pictures)
        pipeline.run(stand_in(), [Video(path)], [sink])
        assert len(sink.results) == COUNT
        assert {result.frame.size_wh for result in sink.results} == {(640, 360)}
        found[needs_pictures] = np.concatenate([result.people.keypoints for result in sink.results])
    smaller, whole = board.read_text().splitlines()[-2:]
    assert "interpolation-method=5 ! video/x-raw,format=I420,width=" in smaller
    assert "width=" not in whole
    assert found[False][..., :2].max() > 64, "more than the network's input is wide"
    assert found[False] == pytest.approx(found[True], abs=12)


@pytest.mark.slow
def test_a_run_that_is_stopped_ends_the_pipeline_and_complains_of_nothing(board: Path, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", "mp4mux")
    opened = Video(path)
    frames = iter(opened)
    assert next(frames).index == 0
    opened.close()
    assert sum(1 for _ in frames) < COUNT
    assert opened.shortfall is None
    assert len(list(opened)) == COUNT, "and can be read again"


@pytest.mark.slow
def test_a_file_that_breaks_off_ends_with_exit_code_1s_reason(board: Path, tmp_path: Path) -> None:
    whole = clip(tmp_path / "clip.mkv", "matroskamux").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    opened = Video(tmp_path / "cut.mkv")
    assert 0 < len(list(opened)) < COUNT
    assert opened.shortfall is not None
    assert "ended early" in opened.shortfall
    assert "nvv4l2decoder" in board.read_text()


@pytest.mark.slow
def test_where_the_hardware_gives_no_picture_the_cpu_decodes_and_says_so(board: Path, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", "mp4mux")
    text = (board.parent / "bin" / "gst-launch-1.0").read_text()
    (board.parent / "bin" / "gst-launch-1.0").write_text(text.replace("openh264dec", "nosuchelement"))
    said: list[str] = []
    assert len(list(Video(path, say=said.append))) == COUNT
    assert len(said) == 1
    assert said[0].startswith("clip.mp4: the hardware gives no picture (the GStreamer pipeline ended: ")
    assert "nosuchelement" in said[0]
    assert said[0].endswith("; the CPU decodes it")


def test_a_files_pipeline_drops_nothing_and_turns_as_the_container_says() -> None:
    plain = video_file("/data/a clip.mp4", "qtdemux", "h264parse")
    assert plain == "filesrc location='/data/a clip.mp4' ! qtdemux ! h264parse ! nvv4l2decoder ! nvvidconv ! video/x-raw,format=I420"
    turned = video_file("/a.mkv", "matroskademux", "h265parse", 3, Wanted((256, 456)))
    assert "nvvidconv flip-method=3 interpolation-method=5 ! video/x-raw,format=I420,width=256,height=456" in turned
    assert "leaky" not in plain + turned


def test_what_the_hardware_is_not_asked_for_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(hardware_video, "has_element", lambda _: True)
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    (tmp_path / "a.avi").write_bytes(b"RIFF\0\0\0\0AVI ")
    taken = hardware_clip(tmp_path / "a.mp4", int.from_bytes(b"hvc1", "little"), 90, (1080, 1920), said.append)
    assert taken is not None
    assert (taken.demuxer, taken.parser, taken.flip, said) == ("qtdemux", "h265parse", 3, [])
    for name, codec, wh in (("a.avi", H264, (64, 64)), ("a.mp4", int.from_bytes(b"mp4v", "little"), (64, 64)), ("a.mp4", H264, (63, 64))):
        assert hardware_clip(tmp_path / name, codec, 0, wh, said.append) is None
    assert len(said) == 3
    assert "this is mp4v" in said[1]
    monkeypatch.setattr(hardware_video, "has_element", lambda name: name != "nvv4l2decoder")
    assert hardware_clip(tmp_path / "a.mp4", H264, 0, (64, 64), said.append) is None
    assert "no nvv4l2decoder here" in said[-1]


def test_a_computer_that_is_no_board_is_told_nothing(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 64))
    for _ in range(3):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    said: list[str] = []
    assert len(list(Video(tmp_path / "a.mp4", say=said.append))) == 3
    assert not said
