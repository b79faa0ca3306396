"""A video file through a Jetson's decoder and scaler: H.264 and H.265 in MP4, MOV and Matroska. Not yet run on a Jetson."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources.camera import Lost
from posetrt.runtime.sources.container import demuxer_of
from posetrt.runtime.sources.gstreamer import FIRST_PICTURE_S, Launched, has_element
from posetrt.runtime.sources.pipelines import Size, video_file, wanted_of

TimedPicture = tuple[NDArray[np.uint8], float, Size | None]
"""A picture, the container's time of it in seconds, and the size of the whole picture where it was made smaller."""

_PARSERS = {
    **dict.fromkeys(("h264", "avc1", "avc3", "x264", "davc"), "h264parse"),
    **dict.fromkeys(("hevc", "h265", "hvc1", "hev1"), "h265parse"),
}
_FLIPS = {0: 0, 90: 3, 180: 2, 270: 1}
"""Degrees by which a player turns the picture to the right, as OpenCV tells them → nvvidconv's flip-method."""


@dataclass(frozen=True)
class Clip:
    """What the pipeline of a file depends on.

    Attributes:
        path: of the file.
        demuxer, parser, flip: see `pipelines.video_file`.
        whole_wh: of a picture as it is seen, after turning.
    """

    path: str
    demuxer: str
    parser: str
    flip: int
    whole_wh: Size


def hardware_clip(path: Path, codec: int, turned: int, whole_wh: Size, say: Callable[[str], None]) -> Clip | None:
    """A file as a Jetson's hardware takes it; None, with a line that says why, where the CPU decodes it.

    Args:
        codec: its FOURCC as OpenCV gives it.
        turned: by how many degrees a player turns it.
        whole_wh: of a picture as it is seen.
        say: takes the line.
    """
    name = codec.to_bytes(4, "little", signed=False).decode("ascii", "replace").strip("\0 ") if codec > 0 else "unknown"
    demuxer, parser = demuxer_of(path), _PARSERS.get(name.lower())
    if demuxer is None or parser is None or turned % 360 not in _FLIPS or whole_wh[0] % 2 or whole_wh[1] % 2:
        say(f"the CPU decodes it: the hardware is asked for H.264 and H.265 in MP4, MOV or Matroska, with even sides; this is {name}")
        return None
    for element in ("nvv4l2decoder", demuxer, parser):
        if not has_element(element):
            say(
                f"the CPU decodes it: GStreamer has no {element} here. To have the hardware decode: apt-get install nvidia-l4t-gstreamer "
                "gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
            )
            return None
    return Clip(str(path.absolute()), demuxer, parser, _FLIPS[turned % 360], whole_wh)


class HardwareVideo:
    """A file while the hardware decodes it, in a process of its own. Ask `begins` once, then iterate once.

    Args:
        clip: the file.
        enough_wh, nv12_wh: see `Source`.

    Attributes:
        stopped: it was ended by `stop`.
        reason: why there is no first picture, or why the last came before the file's end; None where there is nothing to say.

    Raises:
        PosetrtError: gst-launch-1.0 is not installed.
    """

    def __init__(self, clip: Clip, enough_wh: Size | None, nv12_wh: Size | None) -> None:
        wanted = wanted_of(clip.whole_wh, enough_wh, nv12_wh)
        smaller = clip.whole_wh if wanted.size_wh not in (None, clip.whole_wh) else None
        self._launched = Launched(
            video_file(clip.path, clip.demuxer, clip.parser, clip.flip, wanted), smaller, wanted=wanted, nv12_wh=nv12_wh, timed=True
        )
        self._first: NDArray[np.uint8] | None = None
        self.stopped = False
        self.reason: str | None = None

    def begins(self) -> bool:
        """Whether a first picture comes, within `FIRST_PICTURE_S`."""
        limit = threading.Timer(FIRST_PICTURE_S, self._launched.interrupt)
        limit.daemon = True
        limit.start()
        try:
            self._first = self._launched.read()
        except (Lost, PosetrtError) as error:
            self.reason = str(error)
        finally:
            limit.cancel()
        return self._first is not None

    def __iter__(self) -> Iterator[TimedPicture]:
        picture, first_s = self._first, self._launched.time_s()
        time_s = first_s
        while picture is not None:
            yield picture, 0.0 if time_s is None or first_s is None else time_s - first_s, self._launched.whole_wh
            try:
                picture = self._launched.read()
            except Lost:
                if not self.stopped:
                    self.reason = self._launched.complaint
                return
            # A gst-launch that does not tell one picture's time tells none.
            time_s = None if time_s is None else self._launched.time_s()

    def stop(self) -> None:
        """From another thread: end it soon."""
        self.stopped = True
        self._launched.interrupt()

    def close(self) -> None:
        """End the process."""
        self._launched.close()
