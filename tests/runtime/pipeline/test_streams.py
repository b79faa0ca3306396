"""Streams from real servers and GStreamer's own programs, where Debian's packages have them."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources import open_source
from tests.runtime.sources.test_cameras import Reading

SERVER = Path(__file__).resolve().parents[2] / "rtsp_server.py"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def rtsp_server(port: int, codec: str = "vp8", *, sound: bool = False) -> Iterator[None]:
    python = "/usr/bin/python3"
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if not Path(python).exists() or subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode:
        pytest.skip("no RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good")
    command = [python, str(SERVER), str(port), codec, *(["audio"] if sound else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"serving\n"
        yield
    finally:
        process.kill()
        process.communicate()


def needs_gstreamer() -> None:
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("no GStreamer: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good")


@pytest.mark.slow
def test_an_rtsp_server_that_goes_and_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    port = free_port()
    address = f"rtsp://robot:s3cret@127.0.0.1:{port}/camera"
    with Reading(open_source(address, said.append)) as reading:
        with rtsp_server(port):
            reading.wait(20, timeout_s=60)
            assert reading.frames[5].image.shape == (240, 320, 3)
            assert (reading.frames[12].image != reading.frames[5].image).any()
        before = len(reading.frames)
        with rtsp_server(port):
            reading.wait(before + 20, timeout_s=90)
    assert any("connecting again" in line for line in said)
    assert any("back after" in line for line in said)
    out, err = capfd.readouterr()
    assert "s3cret" not in " ".join([*said, out, err])


@pytest.mark.slow
def test_a_gstreamer_string_gives_frames_in_its_size_and_colours() -> None:
    needs_gstreamer()
    blue = "videotestsrc is-live=true pattern=blue ! video/x-raw,width=160,height=120,framerate=30/1 ! appsink drop=true"
    with Reading(open_source(blue)) as reading:
        frame = reading.wait(10)[9]
    assert frame.image.shape == (120, 160, 3)
    assert frame.image[60, 80, 0] > 240
    assert frame.image[60, 80, 2] < 20


@pytest.mark.slow
def test_a_gstreamer_pipeline_that_ends_or_cannot_be_says_why() -> None:
    needs_gstreamer()
    said: list[str] = []
    frames = list(open_source("videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48", said.append))
    assert [frames[-1].index, said] == [4, []]
    with Reading(open_source("nosuchsource location=rtsp://a:b@c ! fakething", said.append)) as reading, pytest.raises(AssertionError):
        reading.wait(1, timeout_s=1.5)
    assert "nosuchsource" in said[0]
    assert "a:b" not in " ".join(said)
    with pytest.raises(PosetrtError, match="sides must be even"):
        next(iter(open_source("videotestsrc ! video/x-raw,width=63,height=47")))
