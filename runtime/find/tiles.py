"""A frame cut into overlapping tiles, so that small people are large enough for the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posetrt.runtime.errors import UsageError
from posetrt.runtime.placement import How, Placement, letterbox

OVERLAP = 0.2
"""Share of a tile's side that its neighbour shows too: people up to this size are whole in one of both."""

MOST = 8
"""Tiles along one side."""

LEAST_PX = 32
"""A tile's shorter side, in pixels of the frame."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tile(Placement):
    """How a part of a frame lies in the network's input.

    Attributes:
        box: left, top, width and height of the part, in pixels of the frame.
        inner: whether the frame goes on beyond the part's left, top, right and bottom edge: people may be cut there.
    """

    box: Box
    inner: tuple[bool, bool, bool, bool]


@dataclass(frozen=True)
class Tiles:
    """How frames are cut: the network sees the whole frame first, then each tile, row by row.

    Attributes:
        columns, rows: tiles along each side, 1 to 8.
        overlap: share of a tile's side that its neighbour shows too, 0 to 0.9.
    """

    columns: int
    rows: int
    overlap: float = OVERLAP

    def __post_init__(self) -> None:
        if not (1 <= self.columns <= MOST and 1 <= self.rows <= MOST) or self.columns * self.rows == 1:
            raise UsageError(
                f"a frame is cut into 1 to {MOST} columns and 1 to {MOST} rows of tiles, two tiles at least (2x2); "
                f"got {self.columns}x{self.rows}"
            )
        if not 0 <= self.overlap <= 0.9:
            raise UsageError(f"tiles overlap by 0 to 0.9 of their side; got {self.overlap:g}")

    @property
    def pictures(self) -> int:
        """What the network sees of a frame: the whole frame and its tiles."""
        return 1 + self.columns * self.rows

    def __str__(self) -> str:
        return f"{self.columns}x{self.rows}"

    def boxes(self, frame_wh: tuple[int, int]) -> list[Box]:
        """Left, top, width and height of the whole frame, then of each tile; tiles are of one size, in whole pixels.

        Raises:
            UsageError: the frame is too small for so many tiles.
        """
        sides = [_along(length, count, self.overlap) for length, count in zip(frame_wh, (self.columns, self.rows), strict=True)]
        (width, lefts), (height, tops) = sides
        if min(width, height) < LEAST_PX:
            raise UsageError(
                f"a frame of {frame_wh[0]}x{frame_wh[1]} in {self} tiles comes to tiles of {width}x{height} pixels, and {LEAST_PX} are the "
                "least; give fewer tiles, or larger frames"
            )
        return [(0, 0, *frame_wh), *((left, top, width, height) for top in tops for left in lefts)]

    def placements(self, frame_wh: tuple[int, int], size_wh: tuple[int, int], how: How) -> list[Tile]:
        """How each of `boxes` lies in the network's input.

        Raises:
            UsageError: as `boxes`.
        """
        return [_placed(box, frame_wh, size_wh, how) for box in self.boxes(frame_wh)]


def tiles_from(text: str, overlap: float = OVERLAP) -> Tiles:
    """`2x2` → two columns and two rows.

    Raises:
        UsageError: another form, or more or fewer tiles than there can be.
    """
    columns, _, rows = text.lower().partition("x")
    if not (columns.isdecimal() and rows.isdecimal()):
        raise UsageError(f"tiles are given as COLUMNSxROWS, as in 2x2 or 3x2; got {text!r}")
    return Tiles(int(columns), int(rows), overlap)


def _along(length: int, count: int, overlap: float) -> tuple[int, list[int]]:
    """A tile's side, and where each begins: the first at 0, the last up to the frame's end."""
    side = min(length, int(np.ceil(length / (count - (count - 1) * overlap))))
    return side, np.linspace(0, length - side, count).round().astype(int).tolist()


def _placed(box: Box, frame_wh: tuple[int, int], size_wh: tuple[int, int], how: How) -> Tile:
    left, top, width, height = box
    shift = Placement((width, height), ((1.0, 0.0, -float(left)), (0.0, 1.0, -float(top))))
    placed = shift.then(letterbox((width, height), size_wh, how))
    inner = (left > 0, top > 0, left + width < frame_wh[0], top + height < frame_wh[1])
    return Tile(placed.size_wh, placed.matrix, box, inner)
