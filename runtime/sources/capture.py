"""USB cameras and network streams through OpenCV."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.sources.camera import Lost

_TIMEOUT_MS = 4000
_RTSP_PORT = 554


class _Capture:
    """An open cv2.VideoCapture."""

    def __init__(self, capture: Any, why_closed: Callable[[], str]) -> None:
        self._capture = capture
        if not capture.isOpened():
            capture.release()
            raise Lost(why_closed())

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture."""
        read, image = self._capture.read()
        if not read:
            raise Lost("the stream ended or was cut")
        return np.asarray(image, np.uint8)

    def close(self) -> None:
        """Release it."""
        self._capture.release()

    def interrupt(self) -> None:
        """OpenCV's captures are not safe between threads: a read ends by its own time limit."""


class V4l2(_Capture):
    """A USB camera: /dev/videoN, with width, height and fps where given.

    `came_s` is the driver's own time of the picture, as V4L2 stamps it on CLOCK_MONOTONIC (which is `time.perf_counter`'s on Linux), at the
    begin or end of its transfer; None where the driver gives none that can be true.
    """

    came_s: float | None = None

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture."""
        import cv2

        image = super().read()
        self.came_s = driver_time(self._capture.get(cv2.CAP_PROP_POS_MSEC), time.perf_counter())
        return image

    def __init__(self, device: str, options: Mapping[str, str]) -> None:
        import cv2

        if not Path(device).exists():
            raise Lost("there is no such device; is the camera plugged in?")
        capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if options:
            # USB 2 has no room for raw pictures of a useful size.
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        for name, prop in (("width", cv2.CAP_PROP_FRAME_WIDTH), ("height", cv2.CAP_PROP_FRAME_HEIGHT), ("fps", cv2.CAP_PROP_FPS)):
            if name in options:
                capture.set(prop, float(options[name]))
        super().__init__(capture, lambda: "the device cannot be opened; another program may hold it, or you may lack the group 'video'")


def driver_time(milliseconds: float, now_s: float) -> float | None:
    """A driver's time of a picture in seconds; None for one of another clock: in the future, or more than two seconds old."""
    taken_s = milliseconds / 1e3
    return taken_s if 0.0 <= now_s - taken_s <= 2.0 and taken_s > 0 else None


class Stream(_Capture):
    """A network stream, RTSP above all, decoded by the FFmpeg inside OpenCV."""

    def __init__(self, url: str) -> None:
        import cv2

        # The backend is named: left to choose, OpenCV tries others and prints the address, password included.
        options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
        super().__init__(cv2.VideoCapture(url, cv2.CAP_FFMPEG, options), lambda: _why_no_stream(url))


def _why_no_stream(url: str) -> str:
    """What stands between here and a stream, as far as it shows from here: FFmpeg's own words may hold the password."""
    import socket

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _RTSP_PORT
        try:
            socket.getaddrinfo(host, port)
        except (OSError, UnicodeError):
            return f"there is no host {host} by that name"
        with socket.create_connection((host, port), _TIMEOUT_MS / 1000):
            return "the server has no such stream, or refuses user and password"
    except ValueError:
        return "the address is none: rtsp://HOST:PORT/PATH was expected"
    except OSError as error:
        return f"nothing answers at {host}, port {port} ({error.strerror or error})"
