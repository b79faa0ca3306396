"""What a source gives: frames, and what is known of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        picture: (H, W, 3) uint8 BGR; or, where the network takes it and the source has it, NV12: (3 H / 2, W) uint8.
        name: what files made of this frame are called: the photograph's stem, or the video's with 12 digits, as OpenPose names them.
        index: counted from 0 within the source; a live source counts the frames that it had to leave out too.
        time_s: within the source: the container's time for a video, since the first frame for a camera, 0 for photographs; never falls.
        captured_s: when a live source got it, on the clock of `time.perf_counter`; None for files.
        source: the source's place among those of a run, counted from 0.
        label: the source's short name.
        number: a photograph's id among those of its source; None takes it from the name.
        whole_wh: width and height of the picture that the source has, where `picture` is that one made smaller; None: it is all of
            it. Key points and boxes are in pixels of the whole picture.
    """

    picture: NDArray[np.uint8]
    name: str
    index: int
    time_s: float
    captured_s: float | None = None
    source: int = 0
    label: str = ""
    number: int | None = None
    whole_wh: tuple[int, int] | None = None

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """The picture as (H, W, 3) uint8 BGR; an NV12 one is converted when it is asked for."""
        if self.picture.ndim == 3:
            return self.picture
        import cv2

        return np.asarray(cv2.cvtColor(self.picture, cv2.COLOR_YUV2BGR_NV12), np.uint8)

    def without_picture(self) -> Frame:
        """The frame where nobody looks at its picture any more: a large one is let go of."""
        return replace(self, picture=_NO_PICTURE, whole_wh=self.size_wh)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height that key points and boxes count in."""
        return self.whole_wh or picture_wh(self.picture)

    @property
    def image_id(self) -> int:
        """`number`, else the number at the end of the name, as COCO's photographs and the frames of a video have one, else the index."""
        if self.number is not None:
            return self.number
        digits = re.search(r"[0-9]+$", self.name)
        return int(digits.group()) if digits else self.index


def picture_wh(picture: NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height of a BGR or NV12 picture."""
    rows, width = picture.shape[:2]
    return (width, rows) if picture.ndim == 3 else (width, rows * 2 // 3)


_NO_PICTURE: NDArray[np.uint8] = np.zeros((1, 1, 3), np.uint8)


class Source(Protocol):
    """Frames in order.

    Attributes:
        label: a short name without credentials, for files and tables.
        live: frames come when they come: the newest wins, a late one is dropped and counted.
        fps: of the recording; None for photographs and where a camera does not say.
        skipped: files that could not be read and were passed over, with the reason.
        state: "on"; of a camera also "away" or "frozen".
        shortfall: after the last frame: why the source gave less than it promised, or None.

    A live source may also have `damaged`, an int: pictures that came and could not be decoded. They have an index too.

    A source that can make its pictures smaller at little cost has `enough_wh`, the size of a network's input that they are for, or None
    for whole pictures, as at first: see `enough`. One that has its pictures as NV12 has `nv12_wh`, the size of those that a network takes so,
    or None: see `as_nv12`.
    """

    label: str
    live: bool
    fps: float | None
    state: str
    skipped: list[str]
    shortfall: str | None

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """End a live source from another thread, within 0.2 s; harmless twice. Files end by their iterator being closed."""


def enough(source: Source, size_wh: tuple[int, int]) -> None:
    """Tell a source that its pictures need no more pixels than a network's input; one that cannot make them smaller goes on as it is."""
    if hasattr(source, "enough_wh"):
        source.enough_wh = size_wh


def as_nv12(source: Source, size_wh: tuple[int, int] | None) -> None:
    """Tell a source that the network takes NV12 pictures of that size, or None; one that has none goes on with BGR."""
    if hasattr(source, "nv12_wh"):
        source.nv12_wh = size_wh


def smaller_wh(whole_wh: tuple[int, int], enough_wh: tuple[int, int]) -> tuple[int, int] | None:
    """The size to which hardware scales a picture for a network's input, with even sides; None where that is not smaller.

    It keeps proportions to within a pixel; what that leaves is no error, since key points go back along each axis by its own scale.
    """
    scale = min(enough / whole for enough, whole in zip(enough_wh, whole_wh, strict=True))
    if scale >= 1:
        return None
    width, height = (max(2, 2 * round(side * scale / 2)) for side in whole_wh)
    return width, height


def complaints(source: Source) -> list[str]:
    """What a source could not give, a line each."""
    lines = [f"skipped: {line}" for line in source.skipped]
    if source.skipped:
        count = len(source.skipped)
        lines.append(f"{count} broken photograph{' was' if count == 1 else 's were'} skipped")
    if source.shortfall:
        lines.append(source.shortfall)
    return lines
