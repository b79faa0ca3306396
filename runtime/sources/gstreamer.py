"""Cameras through GStreamer, in a process of its own: a driver that hangs or crashes is ended and begun again.

GStreamer's own `gst-launch-1.0` runs the pipeline and hands pictures over a pipe, so that no OpenCV built with GStreamer is
needed. The strings for Jetson's CSI cameras and decoders are NVIDIA's (Accelerated GStreamer user guide).
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import IO

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources.camera import Lost
from posetrt.runtime.sources.picture_header import check_size_wh

_TAIL = "videoconvert ! video/x-raw,format=I420 ! y4menc ! fdsink fd=1"
_PROGRAM = "gst-launch-1.0"


def csi(sensor: int, options: Mapping[str, str]) -> str:
    """The pipeline of a Jetson's CSI camera: 1280x720 at 30 fps unless asked otherwise; `flip` is nvvidconv's flip-method."""
    width, height, fps, flip = (int(float(options.get(name, usual))) for name, usual in zip(_CSI, (1280, 720, 30, 0), strict=True))
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1 ! "
        f"nvvidconv flip-method={flip} ! video/x-raw,format=I420 ! queue leaky=downstream max-size-buffers=1"
    )


_CSI = ("width", "height", "fps", "flip")


def rtsp(url: str) -> str:
    """The pipeline of an RTSP stream on a Jetson: decodebin takes the hardware's decoder, H.264 or H.265."""
    return (
        f"rtspsrc location={shlex.quote(url)} latency=100 drop-on-latency=true ! decodebin ! nvvidconv ! video/x-raw,format=I420 ! "
        "queue leaky=downstream max-size-buffers=1"
    )


@cache
def has_element(name: str) -> bool:
    """Whether this computer's GStreamer has an element."""
    inspect = shutil.which("gst-inspect-1.0")
    return inspect is not None and subprocess.run([inspect, "--exists", name], capture_output=True, check=False).returncode == 0


class Launched:
    """A pipeline that is being started; its first picture is waited for by the first `read`, which `interrupt` ends.

    Args:
        pipeline: as one writes it after gst-launch-1.0, without a sink; an `appsink` at its end is taken off.

    Raises:
        PosetrtError: gst-launch-1.0 is not installed, or the string's quotes do not match.
    """

    def __init__(self, pipeline: str) -> None:
        program = shutil.which(_PROGRAM)
        if program is None:
            raise PosetrtError(f"{_PROGRAM} is not installed: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-good")
        head, _, last = pipeline.rpartition("!")
        body = head if last.strip().startswith("appsink") else pipeline
        try:
            words = shlex.split(f"{body.strip().rstrip('!')} ! {_TAIL}")
        except ValueError as error:
            raise PosetrtError(f"the GStreamer string cannot be read: {error}") from error
        self._process = subprocess.Popen([program, "-q", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._pictures: IO[bytes] = self._process.stdout
        self._complaints: deque[str] = deque(maxlen=4)
        # A pipe that nobody reads fills up, and a pipeline that complains for days would stand still then.
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), name="posetrt-gstreamer", daemon=True)
        self._listener.start()
        self._size_wh: tuple[int, int] | None = None

    def _listen(self, said: IO[bytes]) -> None:
        with said:
            while line := said.readline(4096):
                text = line.decode("utf-8", "replace").strip()
                if "ERROR" in text or "rror:" in text:
                    self._complaints.append(text)

    def _begun(self) -> tuple[int, int]:
        """Width and height, from the header before the first picture (YUV4MPEG2, as mjpegtools' yuv4mpeg(5) describes it)."""
        words = self._pictures.readline(256).decode("ascii", "replace").split()
        sizes = {word[0]: word[1:] for word in words[1:]}
        width, height = (int(size) if (size := sizes.get(side, "")).isdigit() else 0 for side in "WH")
        if words[:1] != ["YUV4MPEG2"] or not (width and height):
            raise Lost(self._why())
        if width % 2 or height % 2:
            self.close()
            raise PosetrtError(
                f"the pipeline gives {width}x{height}; sides must be even: add ! videoscale ! video/x-raw,width=...,height=..."
            )
        check_size_wh((width, height), "each picture of the pipeline")
        return width, height

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture.

        Raises:
            Lost: the pipeline does not start, or ended.
            PosetrtError: it gives pictures with an odd side.
        """
        import cv2

        if self._size_wh is None:
            self._size_wh = self._begun()
        width, height = self._size_wh
        size = width * height * 3 // 2
        data = self._pictures.read(size) if self._pictures.readline(256).startswith(b"FRAME") else b""
        if len(data) < size:
            raise Lost(self._why())
        planes = np.frombuffer(data, np.uint8).reshape(height * 3 // 2, width)
        return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)

    def _why(self) -> str:
        """The pipeline's own last words."""
        self.close()
        return f"the GStreamer pipeline ended: {self._complaints[0] if self._complaints else 'end of stream'}"

    def close(self) -> None:
        """End the process."""
        self.interrupt()
        self._process.wait()
        self._pictures.close()
        # A grandchild that outlives the process may hold the pipe open; nobody waits for it.
        self._listener.join(1.0)

    def interrupt(self) -> None:
        """End the process; a read that waits for it ends too."""
        with contextlib.suppress(OSError):
            self._process.kill()
