"""Frames of files: photographs one after another, and video files in order."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sources.base import Frame
from posetrt.runtime.sources.container import counts_its_frames, is_cut
from posetrt.runtime.sources.names import check_image_ids, frame_names, readable
from posetrt.runtime.sources.picture_header import MOST_MEGAPIXELS, check_size, check_size_wh, is_picture

PHOTO_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".jp2", ".avif"),
        *(".heic", ".heif", ".ppm", ".pgm", ".pbm", ".pnm"),
    }
)  # fmt: skip
"""What photographs are called; other files are looked into. Not every OpenCV reads all of them: one that it cannot is skipped and counted."""


def read_photo(path: Path, most_megapixels: float = MOST_MEGAPIXELS) -> NDArray[np.uint8]:
    """Read a photograph as (H, W, 3) uint8 BGR, turned as its EXIF says.

    Args:
        path: any name that the file system takes, also one that is not UTF-8.
        most_megapixels: a larger one is refused before it is decoded.

    Raises:
        PosetrtError: missing, unreadable, too large or not a picture.
    """
    import cv2

    try:
        data = path.read_bytes()
    except OSError as error:
        raise PosetrtError(f"cannot read {readable(str(path))}: {error.strerror or error}") from error
    check_size(data, readable(str(path)), most_megapixels)
    image = None
    # OpenCV raises for what it will not decode, as for a picture beyond its own limit.
    with suppress(cv2.error):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise PosetrtError(f"{readable(str(path))} is not a picture that OpenCV can read (empty, truncated or another format)")
    return np.asarray(image, np.uint8)


def is_photo(path: Path) -> bool:
    """Whether a file is a photograph by its suffix, or by its first bytes whatever it is called."""
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return is_picture(file.read(32))
    except OSError:
        return False


def photos_in(folder: Path) -> list[Path]:
    """The photographs of a folder, by name; hidden files and files that are no pictures are left out.

    Raises:
        UsageError: no such folder.
        PosetrtError: none in it.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {readable(str(folder))}")
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file() and is_photo(path))
    if not paths:
        raise PosetrtError(f"{readable(str(folder))} holds no photographs ({', '.join(sorted(PHOTO_SUFFIXES))}); give a folder with some")
    return paths


class Photos:
    """Photographs one after another. A broken one among others is skipped and listed; alone it is an error.

    Args:
        paths: at least one.
        most_megapixels: a larger one counts as broken.
    """

    fps: float | None = None
    live = False
    state = "on"

    def __init__(self, paths: list[Path], most_megapixels: float = MOST_MEGAPIXELS) -> None:
        self.paths = paths
        self.label = readable(paths[0].resolve().parent.name or "photographs") if len(paths) > 1 else readable(paths[0].stem)
        self.skipped: list[str] = []
        self.shortfall: str | None = None
        self._most_megapixels = most_megapixels
        self._names = frame_names(paths)
        self._ids = image_ids([readable(path.stem) for path in paths])

    def check_image_ids(self) -> None:
        """Raises: UsageError: two photographs would share an image id."""
        check_image_ids([readable(path.name) for path in self.paths], lambda place: self._ids[place])

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        for path, name, number in zip(self.paths, self._names, self._ids, strict=True):
            try:
                image = read_photo(path, self._most_megapixels)
            except PosetrtError as error:
                if len(self.paths) == 1:
                    raise
                self.skipped.append(str(error))
                continue
            yield Frame(image, name, index, 0.0, number=number)
            index += 1
        if index == 0:
            raise PosetrtError(f"none of the {len(self.paths)} photographs could be read; the first: {self.skipped[0]}")

    def close(self) -> None:
        """Nothing stays open between photographs."""


def image_ids(stems: list[str]) -> list[int]:
    """COCO's ids: the number at the end of each stem where all have one, else the places in order, from 0."""
    numbers = [re.search(r"[0-9]+$", stem) for stem in stems]
    # Fifteen digits are exact in every reader of JSON.
    if any(number is None or len(number.group().lstrip("0")) > 15 for number in numbers):
        return list(range(len(stems)))
    return [int(number.group()) for number in numbers if number is not None]


class Video:
    """A video file, every frame in order, each at the time that its container gives.

    Args:
        path: any name that the file system takes.
        most_megapixels: of one frame.

    Attributes:
        promised: number of frames that the container gives; a guess (duration times mean rate) for most but MP4 and AVI.

    Raises:
        PosetrtError: no video that OpenCV can read, or its frames are too large.
    """

    live = False
    state = "on"

    def __init__(self, path: Path, most_megapixels: float = MOST_MEGAPIXELS) -> None:
        import cv2

        self.path = path
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
        check_size_wh(size_wh, f"each frame of {readable(str(path))}", most_megapixels)

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        step = 1 / (self.fps or 25.0)
        index, time_s = 0, 0.0
        with _opened(self.path) as capture:
            while True:
                read, image = capture.read()
                if not read:
                    break
                told = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
                # Where the container gives no time, or one that does not follow the last, the frame comes a mean frame's length later.
                time_s = max(told, 0.0) if index == 0 else told if time_s < told < float("inf") else time_s + step
                yield Frame(np.asarray(image, np.uint8), f"{self.label}_{index:012d}", index, time_s)
                index += 1
        if index == 0:
            raise PosetrtError(f"{readable(str(self.path))} holds no frame that can be decoded")
        self.shortfall = self._missing(index)

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
        """The reading iterator holds the file and lets go of it when it ends."""


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
