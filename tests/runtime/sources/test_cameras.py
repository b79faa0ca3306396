"""Cameras that vanish, freeze, send rubbish and come back; and addresses whose secrets stay secret."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sources import Frame, gstreamer, open_source, redacted
from posetrt.runtime.sources import camera as camera_module
from posetrt.runtime.sources.address import parse_address
from posetrt.runtime.sources.camera import Camera, Lost
from posetrt.runtime.sources.capture import _why_no_stream, driver_time
from posetrt.runtime.sources.gstreamer import Launched
from posetrt.runtime.sources.mjpeg import Mjpeg
from posetrt.runtime.sources.pipelines import csi, usb_mjpeg
from tests.mjpeg_server import MjpegServer, picture


class Reading:
    """Reads a source in a thread, as the pipeline does."""

    def __init__(self, source) -> None:  # type: ignore[no-untyped-def]
        self.source, self.frames, self.error = source, [], None
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            for frame in self.source:
                self.frames.append(frame)
        except PosetrtError as error:
            self.error = error

    def wait(self, count: int, timeout_s: float = 15) -> list[Frame]:
        deadline = time.monotonic() + timeout_s
        while len(self.frames) < count and time.monotonic() < deadline:
            assert self.error is None, self.error
            time.sleep(0.01)
        assert len(self.frames) >= count, f"{len(self.frames)} of {count} frames"
        return self.frames

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.thread.join(3)
        assert not self.thread.is_alive()


def test_a_camera_unplugged_and_back_goes_on_by_itself_and_says_so() -> None:
    said: list[str] = []
    server = MjpegServer()
    with Reading(open_source(server.url, said.append)) as reading:
        reading.wait(5)
        server.stop()
        time.sleep(0.6)
        before = len(reading.frames)
        with MjpegServer(port=server.port):
            reading.wait(before + 5)
            assert reading.source.state == "on"
        indices = [frame.index for frame in reading.frames]
        assert indices == sorted(set(indices))
        times = [frame.time_s for frame in reading.frames]
        assert times == sorted(times)
        assert times[0] == 0
    assert any("connecting again in 0.5 s" in line for line in said)
    assert any("back after" in line for line in said)


def test_pauses_between_attempts_grow() -> None:
    attempts: list[float] = []

    def connect():  # type: ignore[no-untyped-def]
        attempts.append(time.monotonic())
        raise Lost("nobody there")

    with Reading(Camera("c", "c", connect)):
        time.sleep(3.8)
    pauses = np.diff(attempts)
    assert len(pauses) >= 2
    assert pauses[1] > 1.6 * pauses[0]


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(camera_module, "LONGEST_PAUSE_S", 0.01)


@pytest.mark.usefixtures("no_pauses")
def test_a_camera_that_never_gave_a_picture_is_an_error_after_so_many_tries_and_one_that_did_is_not() -> None:
    attempts: list[int] = []
    said: list[str] = []

    def connect() -> Scripted:
        attempts.append(1)
        raise Lost("nobody there")

    with pytest.raises(PosetrtError, match=r"^cam: no picture in 3 tries: nobody there\. Check the address.*--wait"):
        next(iter(Camera("c", "cam", connect, say=said.append, tries=3)))
    assert len(attempts) == 3
    assert len(said) == 2, "each but the last is told"

    def once(number: int) -> np.ndarray:
        if number > 1 or len(attempts) > 4:
            raise Lost("gone")
        return np.zeros((32, 32, 3), np.uint8)

    def opened() -> Scripted:
        attempts.append(1)
        return Scripted(once)

    with Reading(Camera("c", "cam", opened, say=said.append, tries=3)) as reading:
        reading.wait(1)
        deadline = time.monotonic() + 15
        while len(attempts) < 12 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(attempts) >= 12
    assert reading.error is None


@pytest.mark.usefixtures("no_pauses")
def test_an_address_that_does_not_resolve_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "has_element", lambda _: False)

    def resolve(host: str, port: int) -> None:
        raise socket.gaierror(-2, f"{host}:{port}")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(
        PosetrtError, match=r"rtsp://\*\*\*@nosuchhost/1: no picture in 5 tries: there is no host nosuchhost by that name"
    ) as refused:
        next(iter(open_source("rtsp://robot:s3cret@nosuchhost/1")))
    assert "s3cret" not in str(refused.value)


def test_what_stands_between_here_and_a_stream_is_told_without_its_password() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        assert _why_no_stream(f"rtsp://a:s3cret@127.0.0.1:{port}/x").startswith(f"nothing answers at 127.0.0.1, port {port}")
        listening.listen()
        assert _why_no_stream(f"rtsp://a:s3cret@127.0.0.1:{port}/x") == "the server has no such stream, or refuses user and password"
    assert "rtsp://HOST:PORT/PATH" in _why_no_stream("rtsp://camera:port/x")


def test_a_usb_camera_that_is_not_there_yet_is_waited_for_where_that_is_asked() -> None:
    said: list[str] = []
    with Reading(open_source("/dev/video97", said.append, wait=True)) as reading:
        deadline = time.monotonic() + 15
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "is the camera plugged in?; connecting again" in said[0]
    assert reading.error is None


class Scripted:
    """A connection whose pictures a test gives."""

    def __init__(self, give) -> None:  # type: ignore[no-untyped-def]
        self.give, self.count, self.closed = give, 0, False

    def read(self):  # type: ignore[no-untyped-def]
        time.sleep(0.01)
        self.count += 1
        return self.give(self.count)

    def close(self) -> None:
        self.closed = True

    def interrupt(self) -> None:
        pass


def test_a_camera_that_says_nothing_is_left_and_connected_again() -> None:
    said: list[str] = []
    connections: list[Scripted] = []

    def give(number: int) -> np.ndarray:
        if len(connections) == 1 and number > 5:
            time.sleep(1.5)
        return np.full((32, 32, 3), number % 250, np.uint8)

    def connect() -> Scripted:
        connections.append(Scripted(give))
        return connections[-1]

    with Reading(Camera("c", "front camera", connect, stall_s=0.4, say=said.append)) as reading:
        reading.wait(20)
    assert len(connections) == 2
    assert "front camera: no picture for 0.4 s" in said[0]


def test_a_camera_that_repeats_one_picture_is_noticed_and_connected_again() -> None:
    said: list[str] = []
    connections: list[Scripted] = []
    noise = np.random.default_rng(0)

    def give(number: int) -> np.ndarray:
        if len(connections) == 1:
            return np.full((64, 64, 3), min(number, 5), np.uint8)
        return noise.integers(0, 255, (64, 64, 3), np.uint8)

    def connect() -> Scripted:
        connections.append(Scripted(give))
        return connections[-1]

    camera = Camera("c", "c", connect, frozen_s=0.5, say=said.append)
    states = set()
    with Reading(camera) as reading:
        deadline = time.monotonic() + 10
        while len(connections) < 2 or len(reading.frames) < 100:
            states.add(camera.state)
            assert time.monotonic() < deadline
            time.sleep(0.005)
    assert "frozen" in states
    assert camera.state == "on"
    assert "frozen" in said[0]
    assert all(connection.closed for connection in connections)


def test_a_truncated_picture_in_the_stream_is_left_out_and_the_next_is_whole() -> None:
    def part(number: int) -> bytes:
        data = picture(number)
        return data[: len(data) // 2] if number % 3 == 1 else b"\xff\xd8rubbish" if number % 7 == 3 else data

    with MjpegServer(part) as server:
        stream = Mjpeg(server.url)
        got = [stream.read() for _ in range(24)]
        stream.close()
    for number, image in enumerate(got):
        damaged = number % 3 == 1 or number % 7 == 3
        assert (image is None) == damaged
        if image is not None:
            assert abs(int(image.mean()) - (number * 37) % 256) <= 2


def test_damaged_pictures_are_counted_as_dropped() -> None:
    from posetrt.runtime.pipeline.pipeline import RunStats, results
    from tests.stand_in import stand_in

    with MjpegServer(lambda number: picture(number)[:-40] if number % 2 else picture(number)) as server:
        stats = RunStats()
        for number, _ in enumerate(results(stand_in(), open_source(server.url), stats)):
            if number == 20:
                break
    counts = stats.sources[0]
    assert counts.captured == counts.delivered + counts.dropped
    assert counts.damaged >= 15


def test_user_and_password_are_used_and_never_shown(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with MjpegServer(secret="robot:s3cret") as server:
        with Reading(open_source(server.url.replace("http://", "http://robot:s3cret@"), said.append)) as reading:
            reading.wait(3)
        source = open_source(server.url.replace("http://", "http://robot:wr0ng@"), said.append)
        with pytest.raises(PosetrtError, match="refuses user and password") as refused:
            next(iter(source))
    with Reading(open_source(server.url.replace("http://", "http://robot:s3cret@"), said.append)):
        time.sleep(1)
    with Reading(open_source("rtsp://robot:s3cret@127.0.0.1:9/stream?token=s3cret", said.append)):
        time.sleep(1)
    out, err = capfd.readouterr()
    everything = " ".join([*said, out, err, str(refused.value), source.label])
    assert len(said) >= 2
    for secret in ("s3cret", "wr0ng"):
        assert secret not in everything
    assert "robot" not in everything


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:pass@cam/1", "rtsp://***@cam/1"),
        ("rtsp://us%40er:p%3Ass@10.0.0.2:554/h264?x=1", "rtsp://***@10.0.0.2:554/h264?x=1"),
        ("http://cam/video?user=me&password=hunter2&res=hd", "http://cam/video?user=***&password=***&res=hd"),
        ("http://cam/mjpg?token=abc#x", "http://cam/mjpg?token=***"),
        ("rtspsrc location=rtsp://a:b@c user-id=joe user-pw='two words' ! decodebin", "rtspsrc location=rtsp://***@c user-id=*** user-pw=*** ! decodebin"),
        ("videotestsrc ! video/x-raw,width=640", "videotestsrc ! video/x-raw,width=640"),
    ],
)  # fmt: skip
def test_addresses_are_shown_without_secrets(text: str, shown: str) -> None:
    assert redacted(text) == shown or (text.endswith("#x") and "abc" not in redacted(text))


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("csi://1?width=640&fps=60", "csi", "1"),
        ("/dev/video2", "v4l2", "/dev/video2"),
        ("3", "v4l2", "/dev/video3"),
        ("RTSP://cam/1", "rtsp", "RTSP://cam/1"),
        ("https://cam/mjpg", "http", "https://cam/mjpg"),
        ("videotestsrc ! appsink", "gstreamer", "videotestsrc ! appsink"),
        ("gst:mysrc", "gstreamer", "mysrc"),
        ("/dev/posetrt-camera-A1B2?width=640", "v4l2", "/dev/posetrt-camera-A1B2"),
        ("/dev/v4l/by-id/usb-Cam_0001-video-index0", "v4l2", "/dev/v4l/by-id/usb-Cam_0001-video-index0"),
        ("/dev/v4l/by-path/platform-usb-0:2.1:1.0-video-index0?fps=30", "v4l2", "/dev/v4l/by-path/platform-usb-0:2.1:1.0-video-index0"),
        ("/dev/front-camera-of-my-own-rule", "v4l2", "/dev/front-camera-of-my-own-rule"),
        ("/dev/shm/clip.mp4", "file", "/dev/shm/clip.mp4"),
        ("paced:clip.mp4?fps=120", "paced", "clip.mp4"),
        ("clip.mp4", "file", "clip.mp4"),
    ],
)
def test_what_a_source_is_called(text: str, kind: str, target: str) -> None:
    address = parse_address(text)
    assert (address.kind, address.target) == (kind, target)


@pytest.mark.parametrize("text", ["csi://front", "csi://0?colour=red", "/dev/video0?fps=fast", "ftp://a:b@c/d", "paced:x.mp4?fps=-1"])
def test_a_source_that_cannot_be_is_wrong_usage_and_shows_no_secret(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_address(text)
    assert "a:b" not in str(refused.value)


def test_a_camera_that_was_never_there_is_an_error_at_once_and_not_waited_for() -> None:
    with pytest.raises(PosetrtError, match=r"there is no camera /dev/video97: this computer has"):
        open_source("/dev/video97")


def test_an_empty_source_is_wrong_usage_and_not_this_folder() -> None:
    with pytest.raises(UsageError, match="--source is empty"):
        open_source("")


def test_an_address_that_gives_no_motion_jpeg_says_what_it_gives() -> None:
    import http.server

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign,assignment]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with pytest.raises(PosetrtError, match=r"Motion JPEG .* was expected"):
            next(iter(open_source(f"http://127.0.0.1:{server.server_address[1]}/")))
    finally:
        server.shutdown()
        server.server_close()


def test_a_paced_file_ends_and_a_folder_needs_a_rate(tmp_path: Path) -> None:
    import cv2

    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((20, 20, 3), number, np.uint8))
    with pytest.raises(UsageError, match=r"fps=30"):
        open_source(f"paced:{tmp_path}")
    began = time.perf_counter()
    frames = list(open_source(f"paced:{tmp_path}?fps=20&frames=7"))
    assert [frame.index for frame in frames] == list(range(7))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 1, 2, 0, 1, 2, 0]
    assert 6 / 20 <= time.perf_counter() - began < 1.5


def _programs(mark: str) -> list[int]:
    """Processes that have `mark` in their command line."""

    def words(folder: Path) -> bytes:
        try:
            return (folder / "cmdline").read_bytes()
        except OSError:
            # It ended meanwhile.
            return b""

    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit() and mark.encode() in words(folder)]


@pytest.fixture
def gst_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Has a shell script stand in for gst-launch-1.0: its standard output is fdsink's descriptor, and what it prints goes to 4."""
    begin = 'for word; do case "$word" in fd=*) exec 4>&1 1>"/dev/fd/${word#fd=}" ;; esac; done'

    def put(script: str) -> None:
        program = tmp_path / "gst-launch-1.0"
        program.write_text(f"#!/bin/sh\n{begin}\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return put


def test_a_pipeline_that_gives_nothing_is_ended_before_the_next_is_begun(gst_launch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    gst_launch(f'echo >> "{tmp_path}/begun"; while :; do read -r line < "{tmp_path}/never" || exit; done')
    os.mkfifo(tmp_path / "never")
    said: list[str] = []
    camera = Camera("c", "c", lambda: Launched("silentsrc"), stall_s=0.4, say=said.append)
    most = 0
    with Reading(camera):
        deadline = time.monotonic() + 15
        while sum("no picture for 0.4 s" in line for line in said) < 3 and time.monotonic() < deadline:
            most = max(most, len(_programs(str(tmp_path / "gst-launch-1.0"))))
            time.sleep(0.02)
    assert len((tmp_path / "begun").read_text().splitlines()) >= 3
    assert most == 1
    assert not _programs(str(tmp_path / "gst-launch-1.0"))


@pytest.mark.parametrize("header", ["YUV4MPEG2", "YUV4MPEG2 Wide H48", "RIFF", "YUV4MPEG2 W0 H0"])
def test_a_pipeline_with_a_broken_header_is_lost_and_ended(header: str, gst_launch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    gst_launch(f"echo '{header}'; exec sleep 30 {tmp_path}")
    launched = Launched("brokensrc")
    with pytest.raises(Lost, match="ended"):
        launched.read()
    assert launched._process.poll() is not None
    launched.close()


def test_an_element_that_this_computer_lacks_is_an_error_at_once_with_what_to_do(gst_launch) -> None:  # type: ignore[no-untyped-def]
    gst_launch("echo 'WARNING: erroneous pipeline: no element \"nvarguscamerasrc\"' >&4; exit 1")
    said: list[str] = []
    with pytest.raises(PosetrtError, match=r"no element nvarguscamerasrc\. csi:// is for a Jetson's camera.*posetrt doctor"):
        next(iter(Camera("csi0", "csi://0", lambda: Launched("nvarguscamerasrc"), say=said.append)))
    assert said == [], "it does not come back: no second try"


def test_a_pipelines_pictures_are_read_in_its_size(gst_launch) -> None:  # type: ignore[no-untyped-def]
    gst_launch("echo 'YUV4MPEG2 W4 H2 F30:1'; echo FRAME; head -c 12 /dev/zero | tr '\\0' '\\200'")
    launched = Launched("greysrc")
    image = launched.read()
    assert image is not None
    assert image.shape == (2, 4, 3)
    assert np.ptp(image) == 0
    with pytest.raises(Lost, match="end of stream"):
        launched.read()


@pytest.mark.parametrize(
    ("pipeline", "begun"), [("filesrc location=a.mp4 ! decodebin", 1), ("videotestsrc num-buffers=2", 1), ("v4l2src device=/dev/video0", 3)]
)
def test_a_pipeline_that_plays_a_file_ends_with_it_and_a_cameras_is_begun_again(  # type: ignore[no-untyped-def]
    pipeline: str, begun: int, gst_launch, tmp_path: Path
) -> None:
    count = tmp_path / "begun"
    gst_launch(f"echo >> '{count}'; echo 'YUV4MPEG2 W4 H2 F30:1'; echo FRAME; head -c 12 /dev/zero; echo FRAME; head -c 12 /dev/zero")
    source = open_source(f"gst:{pipeline}")
    with limit_of(20, source.close):
        for _ in source:
            if len(count.read_text().splitlines()) == 3:
                source.close()
    assert len(count.read_text().splitlines()) == begun


def test_a_pipeline_of_a_file_that_fails_is_lost(gst_launch) -> None:  # type: ignore[no-untyped-def]
    gst_launch("echo 'ERROR: could not read from resource' >&2; exit 1")
    launched = Launched("filesrc location=gone.mp4", ends=True)
    with pytest.raises(Lost, match="could not read") as caught:
        launched.read()
    assert type(caught.value) is Lost


@contextlib.contextmanager
def limit_of(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """A read that would wait for ever is ended."""
    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def test_a_pipeline_that_complains_without_end_goes_on_and_its_last_words_are_told(gst_launch) -> None:  # type: ignore[no-untyped-def]
    complaints = "yes 'WARNING: a frame came late' | head -c 1000000 >&2"
    gst_launch(f"echo 'YUV4MPEG2 W4 H2 F30:1'; {complaints}; echo FRAME; head -c 12 /dev/zero; echo 'ERROR: the sensor is gone' >&2")
    launched = Launched("loudsrc")
    with limit_of(20, launched.close):
        assert launched.read() is not None
        with pytest.raises(Lost, match="the sensor is gone"):
            launched.read()


def test_what_the_pipeline_prints_is_no_picture_and_its_complaint_is_told(gst_launch) -> None:  # type: ignore[no-untyped-def]
    picture = "echo FRAME; head -c 12 /dev/zero | tr '\\0' '\\200'"
    prints = "echo 'GST_ARGUS: Creating output stream' >&4"
    gst_launch(
        f"{prints}; echo 'YUV4MPEG2 W4 H2 F30:1'; {prints}; {picture}; {prints}; {picture}; {prints}; "
        "echo 'Error generated. gstnvarguscamerasrc.cpp, execute:751 Failed to create CaptureSession' >&4"
    )
    launched = Launched("nvarguscamerasrc")
    for _ in range(2):
        image = launched.read()
        assert image is not None
        assert np.ptp(image) == 0
    with pytest.raises(Lost, match="Failed to create CaptureSession"):
        launched.read()


@pytest.mark.parametrize("padded", [True, False])
def test_rows_that_an_older_gstreamer_pads_are_read_as_they_are_meant(padded: bool, gst_launch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    width, height = 100, 8
    luma = np.tile(np.arange(16, 16 + width, dtype=np.uint8), (height, 1))
    chroma = np.full((height, width // 2), 128, np.uint8)
    if padded:
        chroma = np.pad(chroma, ((0, 0), (0, 2)))
    frame = b"FRAME\n" + luma.tobytes() + chroma.tobytes()
    (tmp_path / "stream").write_bytes(f"YUV4MPEG2 W{width} H{height} F30:1\n".encode() + 3 * frame)
    gst_launch(f"cat '{tmp_path}/stream'")
    launched = Launched("oddsrc")
    for _ in range(3):
        image = launched.read()
        assert image is not None
        grey = image.astype(int)
        assert np.ptp(grey, axis=2).max() <= 1, "no colour anywhere"
        assert (np.diff(grey[:, :, 0], axis=1) >= 0).all(), "each row brightens to the right"
    with pytest.raises(Lost, match="end of stream"):
        launched.read()


def test_a_pipeline_is_asked_to_end_so_that_it_can_release_the_camera(gst_launch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    program = "import signal, sys, time, pathlib\n"
    program += f"signal.signal(signal.SIGINT, lambda *_: (pathlib.Path({str(tmp_path / 'released')!r}).touch(), sys.exit(0)))\n"
    program += f"pathlib.Path({str(tmp_path / 'begun')!r}).touch()\ntime.sleep(60)\n"
    (tmp_path / "camera.py").write_text(program)
    gst_launch(f"exec '{sys.executable}' '{tmp_path}/camera.py'")
    launched = Launched("camerasrc")
    _wait_for(tmp_path / "begun")
    launched.close()
    assert (tmp_path / "released").exists()


def test_a_pipeline_that_does_not_end_when_asked_is_killed(gst_launch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    gst_launch(f"trap '' INT; touch '{tmp_path}/begun'; while :; do sleep 0.2; done")
    launched = Launched("stubbornsrc")
    _wait_for(tmp_path / "begun")
    launched.close()
    assert launched._process.returncode == -9


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.02)


def test_a_first_picture_may_take_longer_than_the_next_and_repeated_failure_says_what_helps() -> None:
    said: list[str] = []
    connections: list[Scripted] = []

    def give(number: int) -> np.ndarray:
        # The first connection's first picture is late; all later connections give none.
        if number == 1 and len(connections) == 1:
            time.sleep(0.8)
        elif number > 2 or len(connections) > 1:
            raise Lost("Failed to create CaptureSession")
        return np.full((32, 32, 3), number, np.uint8)

    def connect() -> Scripted:
        connections.append(Scripted(give))
        return connections[-1]

    with Reading(Camera("c", "csi://0", connect, stall_s=0.3, first_s=5.0, say=said.append, advice="restart nvargus-daemon")) as reading:
        reading.wait(1)
        deadline = time.monotonic() + 15
        while not any("nvargus" in line for line in said) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "no picture for" not in said[0]
    assert [line for line in said if "nvargus" in line] == ["csi://0: restart nvargus-daemon"]


def test_a_frame_is_as_old_as_its_picture_and_not_as_its_conversion() -> None:
    class Slow(Scripted):
        came_s: float | None = None

        def read(self):  # type: ignore[no-untyped-def]
            self.came_s = time.perf_counter()
            time.sleep(0.2)
            return np.full((32, 32, 3), self.came_s % 1 * 250, np.uint8)

    with Reading(Camera("c", "c", lambda: Slow(None), say=None)) as reading:
        before = time.perf_counter()
        frame = reading.wait(1)[0]
    assert frame.captured_s is not None
    assert time.perf_counter() - frame.captured_s >= 0.2
    assert frame.captured_s < before + 0.2


def test_a_drivers_own_time_is_taken_only_where_it_is_of_this_clock() -> None:
    assert driver_time(99_950.0, 100.0) == pytest.approx(99.95)
    for other_clock in (0.0, 1.7e12, 12_000.0, 100_500.0):
        assert driver_time(other_clock, 100.0) is None


def test_a_csi_cameras_mode_exposure_gain_and_white_balance_reach_its_element() -> None:
    options = parse_address("csi://0?mode=4&exposure=5000&gain=2&wb=0").options
    words = shlex.split(csi(0, options))
    assert {"sensor-mode=4", "exposuretimerange=5000000 5000000", "gainrange=2 2", "wbmode=0"} <= set(words)
    assert "exposuretimerange" not in csi(0, {})


def test_a_usb_cameras_jpeg_is_decoded_by_hardware_where_there_is_some() -> None:
    assert "nvv4l2decoder mjpeg=1" in usb_mjpeg("/dev/video0", {"width": "1920", "height": "1080"})
    assert "image/jpeg,width=1280,height=720,framerate=30/1 ! jpegdec" in usb_mjpeg("/dev/video0", {}, None)
