"""Pictures through GStreamer, in a process of its own: a driver that hangs or crashes is ended and begun again.

GStreamer's own `gst-launch-1.0` runs the pipeline (`pipelines` has those of a Jetson) and hands pictures over a pipe, so that no OpenCV
built with GStreamer is needed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import IO

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources.base import picture_wh
from posetrt.runtime.sources.camera import Ended, Lost
from posetrt.runtime.sources.picture_header import check_size_wh
from posetrt.runtime.sources.pipelines import AS_IT_COMES, Size, Wanted

_PROGRAM = "gst-launch-1.0"
FIRST_PICTURE_S = 30.0
"""A first picture may take so long: GStreamer's scan of its plug-ins at its first start, and the start of the camera daemon."""
_LET_GO_S = 2.0
"""What a pipeline gets to release its camera: one that is killed at once leaves nvargus-daemon holding the sensor."""
_PIPE_BYTES = 1 << 20
"""What Linux lets any user ask for (/proc/sys/fs/pipe-max-size): a third of a 1080p picture, where 64 KiB are usual."""
_TIME_S = 1.0
"""A picture's time is printed before the picture is sent, and read in another thread: it may come so much later."""

_SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ of Linux's fcntl.h, which Python 3.10 on other systems does not name."""


_REMEDY = "Install the plug-ins that hold it (gst-inspect-1.0 NAME says whether it is there), or leave it out of the pipeline"
_REMEDIES = {
    "nvarguscamerasrc": "csi:// is for a Jetson's camera: there, posetrt doctor has the command. On another computer give /dev/video0, "
    "rtsp://... or a file"
}
"""Element → what to do where it is missing."""
_CLOCK = "posetrt-clock"
_TIME = re.compile(rf"chain .*\({_CLOCK}:sink\).* pts: ([0-9]+):([0-9]{{2}}):([0-9]{{2}}\.[0-9]+)")
"""What gst-launch prints of a picture that passes an `identity`, with its time."""


def _tail(descriptor: int, *, raw: bool, timed: bool) -> str:
    """Pictures go to a descriptor of their own: NVIDIA's elements print to standard output."""
    clock = f"identity name={_CLOCK} silent=false ! " if timed else ""
    return f"{clock}fdsink fd={descriptor}" if raw else f"{clock}videoconvert ! video/x-raw,format=I420 ! y4menc ! fdsink fd={descriptor}"


def plays_out(pipeline: str) -> bool:
    """Whether a pipeline plays files, or so many buffers, and then ends; a camera's or a stream's is connected again."""
    return re.search(r"\b(file|multifile|splitmux|image)src\b|\bnum-buffers=|\buri=['\"]?file:", pipeline) is not None


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
        whole_wh: of the pictures before the pipeline made them smaller; None where it does not.
        wanted: what the pipeline gives; NV12 then comes through the pipe as it is, without a header.
        nv12_wh: pictures of this size are handed on as NV12, also where the pipeline gives I420.
        timed: have the pipeline tell each picture's time; see `time_s`.
        ends: where it ends without an error, all there was has come.

    Raises:
        PosetrtError: gst-launch-1.0 is not installed, or the string's quotes do not match.
    """

    def __init__(
        self,
        pipeline: str,
        whole_wh: Size | None = None,
        *,
        wanted: Wanted = AS_IT_COMES,
        nv12_wh: Size | None = None,
        timed: bool = False,
        ends: bool = False,
    ) -> None:
        self.whole_wh = whole_wh
        self._ends = ends
        self._raw, self._nv12_wh = wanted.nv12, nv12_wh
        program = shutil.which(_PROGRAM)
        if program is None:
            raise PosetrtError(f"{_PROGRAM} is not installed: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-good")
        head, _, last = pipeline.rpartition("!")
        body = head if last.strip().startswith("appsink") else pipeline
        receiving, sending = os.pipe()
        import fcntl  # not on Windows, where no camera comes this way

        try:
            words = shlex.split(f"{body.strip().rstrip('!')} ! {_tail(sending, raw=self._raw, timed=timed)}")
            with contextlib.suppress(OSError):
                fcntl.fcntl(receiving, _SET_PIPE_SIZE, _PIPE_BYTES)
            self._process = subprocess.Popen(
                [program, "-v" if timed else "-q", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                pass_fds=(sending,),
            )
        except BaseException as error:
            os.close(receiving)
            if isinstance(error, ValueError):
                raise PosetrtError(f"the GStreamer string cannot be read: {error}") from error
            raise
        finally:
            os.close(sending)
        assert self._process.stdout is not None
        self._pictures = os.fdopen(receiving, "rb")
        self._complaints: deque[str] = deque(maxlen=4)
        self._times: queue.SimpleQueue[float] = queue.SimpleQueue()
        # A pipe that nobody reads fills up, and a pipeline that complains for days would stand still then.
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), name="posetrt-gstreamer", daemon=True)
        self._listener.start()
        self._size_wh: Size | None = wanted.size_wh if self._raw else None
        # What was read beyond a picture, and whether rows are padded; None until the second picture's header is looked at.
        self._ahead = b""
        self._padded: bool | None = None
        self.came_s: float | None = None
        self._ending = threading.Lock()
        self._asked = False

    def _listen(self, said: IO[bytes]) -> None:
        """What the pipeline complains of, and the times of its pictures; NVIDIA's elements print theirs to standard output."""
        with said:
            while line := said.readline(4096):
                text = line.decode("utf-8", "replace").strip()
                if told := _TIME.search(text):
                    self._times.put(3600 * int(told[1]) + 60 * int(told[2]) + float(told[3]))
                    continue
                if "ERROR" in text or "rror:" in text or "erroneous" in text or "Error " in text or "Failed to" in text:
                    self._complaints.append(text)

    @property
    def complaint(self) -> str | None:
        """The pipeline's first error; None where it only ended."""
        return self._complaints[0] if self._complaints else None

    def time_s(self) -> float | None:
        """When the next picture that was not asked for is shown, by its file; None where the pipeline does not tell. Once for each picture."""
        with contextlib.suppress(queue.Empty):
            return self._times.get(timeout=_TIME_S)
        return None

    def _begun(self) -> Size:
        """Width and height, from the header before the first picture (YUV4MPEG2, as mjpegtools' yuv4mpeg(5) describes it)."""
        words = self._pictures.readline(256).decode("ascii", "replace").split()
        sizes = {word[0]: word[1:] for word in words[1:]}
        width, height = (int(size) if (size := sizes.get(side, "")).isdigit() else 0 for side in "WH")
        if words[:1] != ["YUV4MPEG2"] or not (width and height):
            raise self._lost()
        if width % 2 or height % 2:
            self.close()
            raise PosetrtError(
                f"the pipeline gives {width}x{height}; sides must be even: add ! videoscale ! video/x-raw,width=...,height=..."
            )
        check_size_wh((width, height), "each picture of the pipeline")
        return width, height

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture: BGR, or NV12 where that was asked for.

        Raises:
            Lost: the pipeline does not start, or ended; `Ended`: it was to end.
            PosetrtError: it gives pictures with an odd side.
        """
        import cv2

        if self._raw:
            return self._nv12()
        if self._size_wh is None:
            self._size_wh = self._begun()
        header, self._ahead = self._ahead, b""
        if not header.endswith(b"\n"):
            header += self._pictures.readline(256)
        self.came_s = time.perf_counter()
        planes = self._planes(*self._size_wh) if header.startswith(b"FRAME") else None
        if planes is None:
            raise self._lost()
        if self._size_wh == self._nv12_wh:
            from posetrt.runtime.picture import i420_to_nv12

            packed = np.empty_like(planes)
            i420_to_nv12(planes, packed)
            return packed
        return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)

    def _nv12(self) -> NDArray[np.uint8]:
        """The next NV12 picture, as GStreamer lays it out: rows of multiples of 4 bytes."""
        assert self._size_wh is not None
        width, height = self._size_wh
        row = -(-width // 4) * 4
        self._pictures.peek(1)
        self.came_s = time.perf_counter()
        data = self._pictures.read(row * height * 3 // 2)
        if len(data) < row * height * 3 // 2:
            raise self._lost()
        return np.frombuffer(data, np.uint8).reshape(height * 3 // 2, row)[:, :width]

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

    def _lost(self) -> Lost | PosetrtError:
        """With the pipeline's own last words; an element that is not installed does not come back."""
        self.close()
        missing = re.search(r'no element "([^"]+)"', self.complaint or "")
        if missing is not None:
            return PosetrtError(f"the GStreamer of this computer has no element {missing[1]}. {_REMEDIES.get(missing[1], _REMEDY)}")
        played = self._ends and self._process.returncode == 0 and self.complaint is None
        return (Ended if played else Lost)(f"the GStreamer pipeline ended: {self.complaint or 'end of stream'}")

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


class Scaled:
    """A connection that the hardware scales, to a stream whose size is known from its first picture alone; that one comes whole.

    Args:
        pipeline: for what is wanted of the hardware.
        wanted: what that is, for the size of the stream's pictures.
        nv12_wh: see `Launched`.

    Raises:
        PosetrtError: as `Launched`.
    """

    def __init__(self, pipeline: Callable[[Wanted], str], wanted: Callable[[Size], Wanted], nv12_wh: Size | None = None) -> None:
        self._pipeline, self._wanted = pipeline, wanted
        self._launched = Launched(pipeline(AS_IT_COMES), nv12_wh=nv12_wh)
        self._first = True
        self._following: tuple[Wanted, Size] | None = None
        self._changing = threading.Lock()
        self._interrupted = False

    @property
    def whole_wh(self) -> Size | None:
        """Of the stream, once its pictures are made smaller."""
        return self._launched.whole_wh

    @property
    def came_s(self) -> float | None:
        """See `Launched`."""
        return self._launched.came_s

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture; see `Launched.read`."""
        following, self._following = self._following, None
        if following is not None:
            wanted, whole_wh = following
            self._launched.close()
            with self._changing:
                if self._interrupted:
                    raise Lost("the stream was closed")
                smaller = whole_wh if wanted.size_wh != whole_wh else None
                self._launched = Launched(self._pipeline(wanted), smaller, wanted=wanted)
        picture = self._launched.read()
        if self._first and picture is not None:
            self._first = False
            whole_wh = picture_wh(picture)
            wanted = self._wanted(whole_wh)
            self._following = None if wanted == AS_IT_COMES else (wanted, whole_wh)
        return picture

    def close(self) -> None:
        """End the process."""
        self._launched.close()

    def interrupt(self) -> None:
        """See `Launched.interrupt`."""
        with self._changing:
            self._interrupted = True
            self._launched.interrupt()
