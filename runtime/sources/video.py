"""Video files: every frame in order, decoded by OpenCV's FFmpeg, or by a Jetson's hardware."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posetrt.runtime.engines.driver import board_name
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources.base import Frame
from posetrt.runtime.sources.container import counts_its_frames, is_cut
from posetrt.runtime.sources.names import readable
from posetrt.runtime.sources.picture_header import MOST_MEGAPIXELS, check_size_wh

if TYPE_CHECKING:
    from posetrt.runtime.sources.hardware_video import Clip, HardwareVideo, TimedPicture


class Video:
    """A video file, every frame in order, each at the time that its container gives.

    A Jetson's hardware decodes H.264 and H.265 in MP4, MOV and Matroska, and scales; elsewhere the FFmpeg in OpenCV decodes.

    Args:
        path: any name that the file system takes.
        most_megapixels: of one frame.
        say: told in a line why a Jetson's CPU decodes.

    Attributes:
        promised: number of frames that the container gives; a guess (duration times mean rate) for most but MP4 and AVI.
        enough_wh, nv12_wh: see `Source`: for the hardware.

    Raises:
        PosetrtError: no video that OpenCV can read, or its frames are too large.
    """

    live = False
    state = "on"

    def __init__(self, path: Path, most_megapixels: float = MOST_MEGAPIXELS, say: Callable[[str], None] | None = None) -> None:
        import cv2

        self.path = path
        self.enough_wh: tuple[int, int] | None = None
        self.nv12_wh: tuple[int, int] | None = None
        self._playing: HardwareVideo | None = None
        self._say = say
        self.label = readable(path.stem)
        self.skipped: list[str] = []
        self.shortfall: str | None = None
        with _opened(path) as capture:
            if not capture.isOpened():
                raise PosetrtError(f"{readable(str(path))} is neither a photograph nor a video that OpenCV can read")
            rate = float(capture.get(cv2.CAP_PROP_FPS))
            # A container may say anything, also that it plays a million frames in a second.
            self.fps: float | None = rate if 0.001 <= rate <= 10_000 else 25.0
            self.promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            size_wh = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
            codec, turned = int(capture.get(cv2.CAP_PROP_FOURCC)), int(capture.get(cv2.CAP_PROP_ORIENTATION_META))
        check_size_wh(size_wh, f"each frame of {readable(str(path))}", most_megapixels)
        self._clip: Clip | None = None
        if board_name() is not None:
            from posetrt.runtime.sources.hardware_video import hardware_clip

            self._clip = hardware_clip(path, codec, turned, size_wh, self._tell)

    def __iter__(self) -> Iterator[Frame]:
        step = 1 / (self.fps or 25.0)
        index, time_s = 0, 0.0
        self.shortfall = self._playing = None
        with closing(self._pictures()) as pictures:
            for picture, told, whole_wh in pictures:
                # Where the container gives no time, or one that does not follow the last, the frame comes a mean frame's length later.
                time_s = max(told, 0.0) if index == 0 else told if time_s < told < float("inf") else time_s + step
                yield Frame(picture, f"{self.label}_{index:012d}", index, time_s, whole_wh=whole_wh)
                # Not held while the next is decoded.
                del picture
                index += 1
        if self._playing is not None and self._playing.stopped:
            return
        if index == 0:
            raise PosetrtError(f"{readable(str(self.path))} holds no frame that can be decoded")
        self.shortfall = self.shortfall or self._missing(index)

    def _pictures(self) -> Generator[TimedPicture, None, None]:
        """Each picture, with the container's time of it and, where it was made smaller, the whole picture's size."""
        if self._clip is not None:
            from posetrt.runtime.sources.hardware_video import HardwareVideo

            self._playing = HardwareVideo(self._clip, self.enough_wh, self.nv12_wh)
            with closing(self._playing) as playing:
                if playing.begins():
                    yield from playing
                    if playing.reason is not None:
                        self.shortfall = f"{readable(self.path.name)} ended early: {playing.reason}"
                    return
                if playing.stopped:
                    return
                self._tell(f"the hardware gives no picture ({playing.reason}); the CPU decodes it")
        yield from self._by_opencv()

    def _by_opencv(self) -> Iterator[TimedPicture]:
        import cv2

        with _opened(self.path) as capture:
            while True:
                read, image = capture.read()
                if not read:
                    return
                yield np.asarray(image, np.uint8), float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000, None
                del image

    def _tell(self, line: str) -> None:
        if self._say is not None:
            self._say(f"{readable(self.path.name)}: {line}")

    def _missing(self, count: int) -> str | None:
        """Why the file gave less than it holds; None where it is whole, or says no number that could be relied on."""
        name = readable(self.path.name)
        try:
            # A stored count may be off by one in a healthy file.
            if count < self.promised - 1 and counts_its_frames(self.path):
                return f"{name} ended early: {count} of {self.promised} frames could be decoded; the file is truncated or damaged"
            if is_cut(self.path):
                return f"{name} ended early, after {count} frames: the file is shorter than its header says; it is truncated"
        except OSError:
            # It was removed while it was read: all of it could be.
            return None
        return None

    def close(self) -> None:
        """End the hardware's pipeline; OpenCV's reader lets go of the file when the reading iterator ends."""
        if self._playing is not None:
            self._playing.stop()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """OpenCV's reader of a video, which may have failed to open; its libraries know UTF-8 alone, and take `a:b.mp4` for a protocol."""
    import cv2

    name, descriptor = os.path.abspath(path), None  # noqa: PTH100 a link stays the name that the user gave
    try:
        if not _is_utf8(name) and sys.platform == "linux":
            descriptor = os.open(path, os.O_RDONLY)
            name = f"/proc/self/fd/{descriptor}"
        capture = cv2.VideoCapture(name)
        try:
            yield capture
        finally:
            capture.release()
    except OSError as error:
        raise PosetrtError(f"cannot read {readable(str(path))}: {error.strerror or error}") from error
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
