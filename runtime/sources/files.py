"""Photographs one after another."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sources.base import Frame
from posetrt.runtime.sources.names import check_image_ids, frame_names, readable
from posetrt.runtime.sources.picture_header import MOST_MEGAPIXELS, check_size, is_picture, size_wh

PHOTO_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".jp2", ".avif"),
        *(".heic", ".heif", ".ppm", ".pgm", ".pbm", ".pnm"),
    }
)  # fmt: skip
"""What photographs are called; other files are looked into. Not every OpenCV reads all of them: one that it cannot is skipped and counted."""


VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".wmv", ".flv"),
        *(".3gp", ".ogv", ".mjpeg", ".mjpg"),
    }
)  # fmt: skip
"""What is taken for a video where a folder is named; a pattern of `posetrt map` takes whatever it matches."""

_MOST_FOLDERS = 200
"""Folders below one without photographs that are looked into for some, so that naming a whole disk is answered at once."""

_JPEG_REDUCTIONS = (8, 4, 2)
"""By which a JPEG decoder makes a picture smaller while it decodes: it leaves out the finest of each block of 8x8 (libjpeg, scale_num)."""


def read_photo(path: Path, most_megapixels: float = MOST_MEGAPIXELS) -> NDArray[np.uint8]:
    """Read a photograph as (H, W, 3) uint8 BGR, turned as its EXIF says.

    Args:
        path: any name that the file system takes, also one that is not UTF-8.
        most_megapixels: a larger one is refused before it is decoded.

    Raises:
        PosetrtError: missing, unreadable, too large or not a picture.
    """
    return read_smaller(path, most_megapixels, None)[0]


def read_smaller(path: Path, most_megapixels: float, enough_wh: tuple[int, int] | None) -> tuple[NDArray[np.uint8], tuple[int, int] | None]:
    """As `read_photo`, of a photograph that is for a network's input of `enough_wh`: a large JPEG is made smaller while it is decoded, as far as
    it then still fills its place there.

    Returns:
        The picture, and the width and height that it has in the file, where it was made smaller.
    """
    import cv2

    try:
        data = path.read_bytes()
    except OSError as error:
        raise PosetrtError(f"cannot read {readable(str(path))}: {error.strerror or error}") from error
    check_size(data, readable(str(path)), most_megapixels)
    how = cv2.IMREAD_COLOR if enough_wh is None else _reduction(data, enough_wh)
    image = None
    # OpenCV raises for what it will not decode, as for a picture beyond its own limit.
    with suppress(cv2.error):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    if image is None:
        raise PosetrtError(f"{readable(str(path))} is not a picture that OpenCV can read (empty, truncated or another format)")
    picture = np.asarray(image, np.uint8)
    return picture, None if how == cv2.IMREAD_COLOR else _upright_wh(data, picture)


def _reduction(data: bytes, enough_wh: tuple[int, int]) -> int:
    """OpenCV's flag for the largest reduction after which a JPEG is still no smaller than its place in a network's input.

    It may lie across, as EXIF says, so that it is large enough both ways.
    """
    import cv2

    size = size_wh(data) if data.startswith(b"\xff\xd8") else None
    if size is None:
        return cv2.IMREAD_COLOR
    flags = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
    factor = min(max(size[0] / across, size[1] / down) for across, down in (enough_wh, enough_wh[::-1]))
    return next((flags[by] for by in _JPEG_REDUCTIONS if factor >= by), cv2.IMREAD_COLOR)


def _upright_wh(data: bytes, image: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Width and height of the whole picture as it is seen."""
    size = size_wh(data)
    if size is None:
        return None
    # It lies across where EXIF says so; a square one is the same both ways.
    across = (size[0] > size[1]) != (image.shape[1] > image.shape[0]) and size[0] != size[1]
    return (size[1], size[0]) if across else size


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
        below = _photographs_below(folder)
        if below is not None:
            raise PosetrtError(f"{readable(str(folder))} holds no photographs itself, but {readable(str(below))} does: give that folder")
        raise PosetrtError(f"{readable(str(folder))} holds no photographs (JPEG, PNG, WebP, TIFF, ...); give a folder with some")
    return paths


def videos_in(folder: Path) -> list[Path]:
    """The videos of a folder by their suffix, by name; hidden ones are left out."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix.lower() in VIDEO_SUFFIXES)


def _photographs_below(folder: Path) -> Path | None:
    """The first folder below that holds photographs, by their suffix; None where none of the first `_MOST_FOLDERS` does."""
    for here, folders, names in islice(os.walk(folder), _MOST_FOLDERS):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if any(not name.startswith(".") and Path(name).suffix.lower() in PHOTO_SUFFIXES for name in names):
            return Path(here)
    return None


class Photos:
    """Photographs one after another. A broken one among others is skipped and listed; alone it is an error.

    Args:
        paths: at least one.
        most_megapixels: a larger one counts as broken.

    Attributes:
        enough_wh: see `Source`: large JPEGs are then read smaller.
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
        self.enough_wh: tuple[int, int] | None = None
        self._names = frame_names(paths)
        self._ids = image_ids([readable(path.stem) for path in paths])

    def check_image_ids(self) -> None:
        """Raises: UsageError: two photographs would share an image id."""
        check_image_ids([readable(path.name) for path in self.paths], lambda place: self._ids[place])

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        for path, name, number in zip(self.paths, self._names, self._ids, strict=True):
            try:
                image, whole_wh = read_smaller(path, self._most_megapixels, self.enough_wh)
            except PosetrtError as error:
                if len(self.paths) == 1:
                    raise
                self.skipped.append(str(error))
                continue
            yield Frame(image, name, index, 0.0, number=number, whole_wh=whole_wh)
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
