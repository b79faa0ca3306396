"""Cameras through GStreamer, in a process of its own: a driver that hangs or crashes is ended and begun again.

GStreamer's own `gst-launch-1.0` runs the pipeline and hands pictures over a pipe, so that no OpenCV built with GStreamer is
needed. The strings for Jetson's CSI cameras and decoders are NVIDIA's (Accelerated GStreamer user guide).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import IO

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources.camera import Lost
from posetrt.runtime.sources.picture_header import check_size_wh

_PROGRAM = "gst-launch-1.0"
FIRST_PICTURE_S = 30.0
"""A first picture may take so long: GStreamer's scan of its plug-ins at its first start, and the start of the camera daemon."""
_LET_GO_S = 2.0
"""What a pipeline gets to release its camera: one that is killed at once leaves nvargus-daemon holding the sensor."""
_PIPE_BYTES = 1 << 20
"""What Linux lets any user ask for (/proc/sys/fs/pipe-max-size): a third of a 1080p picture, where 64 KiB are usual."""
ARGUS_ADVICE = "if it stays away, restart the camera daemon: sudo systemctl restart nvargus-daemon; then see: sudo dmesg"


_SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ of Linux's fcntl.h, which Python 3.10 on other systems does not name."""


def _tail(descriptor: int) -> str:
    """Pictures go to a descriptor of their own: NVIDIA's elements print to standard output."""
    return f"videoconvert ! video/x-raw,format=I420 ! y4menc ! fdsink fd={descriptor}"


def csi(sensor: int, options: Mapping[str, str]) -> str:
    """The pipeline of a Jetson's CSI camera: 1280x720 at 30 fps unless asked otherwise.

    Args:
        sensor: its number.
        options: width, height, fps; `flip`, nvvidconv's flip-method; `mode`, the sensor mode, by whose size the field of view differs;
            `exposure` in microseconds, `gain`, `wb`, nvarguscamerasrc's wbmode: each fixed where given, automatic otherwise.
    """
    width, height, fps, flip = (int(float(options.get(name, usual))) for name, usual in zip(_CSI, (1280, 720, 30, 0), strict=True))
    wanted = ""
    if "mode" in options:
        wanted += f" sensor-mode={int(float(options['mode']))}"
    if "exposure" in options:
        nanoseconds = round(float(options["exposure"]) * 1000)
        wanted += f' exposuretimerange="{nanoseconds} {nanoseconds}"'
    if "gain" in options:
        wanted += f' gainrange="{float(options["gain"]):g} {float(options["gain"]):g}"'
    if "wb" in options:
        wanted += f" wbmode={int(float(options['wb']))}"
    return (
        f"nvarguscamerasrc sensor-id={sensor}{wanted} ! video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1 ! "
        f"nvvidconv flip-method={flip} ! video/x-raw,format=I420 ! queue leaky=downstream max-size-buffers=1"
    )


_CSI = ("width", "height", "fps", "flip")


def usb_mjpeg(device: str, options: Mapping[str, str], *, by_hardware: bool) -> str:
    """The pipeline of a USB camera's JPEG pictures: 1280x720 at 30 fps unless asked otherwise, decoded by a Jetson's hardware or the CPU."""
    width, height, fps = (int(float(options.get(name, usual))) for name, usual in zip(_CSI[:3], (1280, 720, 30), strict=True))
    decoder = "nvv4l2decoder mjpeg=1 ! nvvidconv" if by_hardware else "jpegdec ! videoconvert"
    return (
        f"v4l2src device={shlex.quote(device)} ! image/jpeg,width={width},height={height},framerate={fps}/1 ! {decoder} ! "
        "video/x-raw,format=I420 ! queue leaky=downstream max-size-buffers=1"
    )


def rtsp(url: str) -> str:
    """The pipeline of an RTSP stream on a Jetson: decodebin takes the hardware's decoder, H.264 or H.265.

    The camera's sound, which may come first, is left alone.
    """
    return (
        f"rtspsrc location={shlex.quote(url)} latency=100 drop-on-latency=true ! application/x-rtp,media=video ! decodebin ! "
        "nvvidconv ! video/x-raw,format=I420 ! queue leaky=downstream max-size-buffers=1"
    )


@cache
def has_element(name: str) -> bool:
    """Whether this computer's GStreamer has an element."""
    inspect = shutil.which("gst-inspect-1.0")
    return inspect is not None and subprocess.run([inspect, "--exists", name], capture_output=True, check=False).returncode == 0


class Launched:
    """A pipeline that is being started; its first picture is waited for by the first `read`, which `interrupt` ends.

    `came_s` is when the newest picture's first byte came through the pipe: after capture, decoding and conversion by GStreamer, before
    reading and conversion to BGR here.

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
        receiving, sending = os.pipe()
        import fcntl  # not on Windows, where no camera comes this way

        try:
            words = shlex.split(f"{body.strip().rstrip('!')} ! {_tail(sending)}")
            with contextlib.suppress(OSError):
                fcntl.fcntl(receiving, _SET_PIPE_SIZE, _PIPE_BYTES)
            self._process = subprocess.Popen(
                [program, "-q", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, pass_fds=(sending,)
            )
        except BaseException as error:
            os.close(receiving)
            if isinstance(error, ValueError):
                raise PosetrtError(f"the GStreamer string cannot be read: {error}") from error
            raise
        finally:
            os.close(sending)
        assert self._process.stdout is not None
        self._pictures: IO[bytes] = os.fdopen(receiving, "rb")
        self._complaints: deque[str] = deque(maxlen=4)
        # A pipe that nobody reads fills up, and a pipeline that complains for days would stand still then.
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), name="posetrt-gstreamer", daemon=True)
        self._listener.start()
        self._size_wh: tuple[int, int] | None = None
        # What was read beyond a picture, and whether rows are padded; None until the second picture's header is looked at.
        self._ahead = b""
        self._padded: bool | None = None
        self.came_s: float | None = None
        self._ending = threading.Lock()
        self._asked = False

    def _listen(self, said: IO[bytes]) -> None:
        """What the pipeline complains of; NVIDIA's elements print theirs to standard output."""
        with said:
            while line := said.readline(4096):
                text = line.decode("utf-8", "replace").strip()
                if "ERROR" in text or "rror:" in text or "Error " in text or "Failed to" in text:
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
        header, self._ahead = self._ahead, b""
        if not header.endswith(b"\n"):
            header += self._pictures.readline(256)
        self.came_s = time.perf_counter()
        planes = self._planes(*self._size_wh) if header.startswith(b"FRAME") else None
        if planes is None:
            raise Lost(self._why())
        return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)

    def _planes(self, width: int, height: int) -> NDArray[np.uint8] | None:
        """The three planes of a picture below each other, (H * 3 / 2, W); None where the stream ends before.

        y4menc before GStreamer 1.24 leaves GStreamer's padding in: rows of multiples of 4 bytes. Which it is shows after the first picture.
        """
        size = width * height * 3 // 2
        rows, half_rows = -(-width // 4) * 4, -(-(width // 2) // 4) * 4
        padding = rows * height + half_rows * height - size
        data = self._pictures.read(size + padding if self._padded else size)
        if self._padded is None and padding and len(data) == size:
            header = b"FRAME\n"[:padding]
            self._ahead = self._pictures.read(len(header))
            self._padded = self._ahead not in (b"", header)
            if self._padded:
                data, self._ahead = data + self._ahead + self._pictures.read(padding - len(self._ahead)), b""
        if len(data) < size + (padding if self._padded else 0):
            return None
        pixels = np.frombuffer(data, np.uint8)
        if not self._padded:
            return pixels.reshape(height * 3 // 2, width)
        luma = pixels[: rows * height].reshape(height, rows)[:, :width]
        chroma = pixels[rows * height :].reshape(height, half_rows)[:, : width // 2]
        return np.concatenate([luma.ravel(), chroma.ravel()]).reshape(height * 3 // 2, width)

    def _why(self) -> str:
        """The pipeline's own last words."""
        self.close()
        return f"the GStreamer pipeline ended: {self._complaints[0] if self._complaints else 'end of stream'}"

    def close(self) -> None:
        """End the process."""
        self.interrupt()
        self._process.wait()
        # A grandchild that outlives the process may hold the pipe open; nobody waits for it.
        self._listener.join(1.0)
        self._pictures.close()

    def interrupt(self) -> None:
        """Ask the process to end, and end it after two seconds; a read that waits for it ends too."""
        with self._ending:
            if self._asked or self._process.poll() is not None:
                return
            self._asked = True
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGINT)
        threading.Thread(target=self._end, name="posetrt-gstreamer-end", daemon=True).start()

    def _end(self) -> None:
        try:
            self._process.wait(_LET_GO_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                self._process.kill()
