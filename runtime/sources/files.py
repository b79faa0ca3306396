"""Frames of files: photographs one after another, and video files in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sources.base import Frame

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Read a photograph as (H, W, 3) uint8 BGR, turned as its EXIF says.

    Raises:
        PosetrtError: missing, unreadable or not a picture.
    """
    import cv2

    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise PosetrtError(f"cannot read {path}: {error.strerror or error}") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise PosetrtError(f"{path} is not a picture that OpenCV can read (empty, truncated or another format)")
    return np.asarray(image, np.uint8)


def photos_in(folder: Path) -> list[Path]:
    """The photographs of a folder, by name; files that are no pictures by their suffix are left out.

    Raises:
        UsageError: no such folder.
        PosetrtError: none in it.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file())
    if not paths:
        raise PosetrtError(f"{folder} holds no photographs ({', '.join(sorted(PHOTO_SUFFIXES))}); give a folder with some")
    return paths


class Photos:
    """Photographs one after another. A broken one among others is skipped and listed; alone it is an error."""

    fps: float | None = None
    live = False
    state = "on"

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.label = paths[0].parent.name if len(paths) > 1 else paths[0].stem
        self.skipped: list[str] = []
        self.shortfall: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        stems = [path.stem for path in self.paths]
        for path in self.paths:
            try:
                image = read_photo(path)
            except PosetrtError as error:
                if len(self.paths) == 1:
                    raise
                self.skipped.append(str(error))
                continue
            # Two files of one stem (a.jpg, a.png) must not overwrite each other's results.
            yield Frame(image, path.stem if stems.count(path.stem) == 1 else path.name, index, 0.0)
            index += 1
        if index == 0:
            raise PosetrtError(f"none of the {len(self.paths)} photographs could be read; the first: {self.skipped[0]}")

    def close(self) -> None:
        """Nothing stays open between photographs."""


class Video:
    """A video file, every frame in order."""

    live = False
    state = "on"

    def __init__(self, path: Path) -> None:
        import cv2

        self.path = path
        self.label = path.stem
        self.skipped: list[str] = []
        self.shortfall: str | None = None
        capture = cv2.VideoCapture(str(path))
        try:
            if not capture.isOpened():
                raise PosetrtError(f"{path} is neither a photograph nor a video that OpenCV can read")
            self.fps: float | None = capture.get(cv2.CAP_PROP_FPS) or 25.0
            self.promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        finally:
            capture.release()

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        capture = cv2.VideoCapture(str(self.path))
        index = 0
        try:
            while True:
                read, image = capture.read()
                if not read:
                    break
                yield Frame(np.asarray(image, np.uint8), f"{self.path.stem}_{index:012d}", index, index / (self.fps or 25.0))
                index += 1
        finally:
            capture.release()
        if index == 0:
            raise PosetrtError(f"{self.path} holds no frame that can be decoded")
        # The header's count may be off by one in a healthy file.
        if index < self.promised - 1:
            self.shortfall = (
                f"{self.path.name} ended early: {index} of {self.promised} frames could be decoded; the file is truncated or damaged"
            )

    def close(self) -> None:
        """The reading iterator holds the file and lets go of it when it ends."""
