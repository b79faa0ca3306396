"""Coordinates: a network that gives each part's place as numbers (Toshev and Szegedy 2014, DeepPose; BlazePose and MediaPipe's hands and
faces; MoveNet for one person)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Decoder, Head, Preset, Scope, Tensors
from posetrt.runtime.heads.subpixel import probability
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

Column = Literal["x", "y", "z", "score", "-"]
COLUMNS: tuple[Column, ...] = ("x", "y", "z", "score", "-")
"""What a number of a part's row can be: x, y and z of its place; its score or visibility; "-" what is not read. z is not read either: it says
which number is depth."""

Unit = Literal["pixels", "input"]
UNITS: tuple[Unit, ...] = ("pixels", "input")
"""What places are counted in: "pixels" of the network's input, or "input", 0 to 1 of its width and height."""

Origin = Literal["edge", "centre"]
ORIGINS: tuple[Origin, ...] = ("edge", "centre")
"""What 0 is: the outer "edge" of the first pixel (MediaPipe: where a network sees a picture and its mirror image, the x of a part add up to the width;
MoveNet, where they add up to 191.4 of 192, which leaves it open), or its "centre" (decoding in our own graphs)."""

_LEAST: Mapping[Preset, float] = {"balanced": 0.2, "precise": 0.4, "all": 0.0, "evaluate": 0.0}
"""Least score of the one person of a frame."""


@dataclass(frozen=True, kw_only=True)
class CoordinatesHead(Head):
    """Outputs: `points`, each part's row of numbers, in any shape that holds `rows` rows; `scores` (N, K), where they are an output of their
    own; `presence` (N, 1), whether the crop shows what the network looks for.

    Attributes:
        columns: what the numbers of a row are, in their order: ("y", "x", "score") for MoveNet.
        rows: of one crop; those behind the skeleton's parts serve `next_crop`. 0 for as many as the skeleton has parts.
        unit: what places are counted in.
        origin: what 0 is.
        score_logits: whether scores (of the rows or of their own output) are logits.
        presence_logits: whether the presence is a logit.
        in_graph: whether the graph was made to decode, so that its outputs stay float32.
        next_crop_rows: the rows of two points: the middle of the next crop, and one on the circle around it, above the middle in an upright
            crop. None for a network that does not say where the next crop is.
        next_crop_side: side of the next crop in distances of the two. Source: MediaPipe, twice the distance, grown by 1.25.
    """

    kind: ClassVar[str] = "coordinates"
    roles: ClassVar[tuple[str, ...]] = ("points", "scores", "presence")

    scope: Scope = field(default="crop")
    columns: tuple[Column, ...] = ("x", "y")
    rows: int = 0
    unit: Unit = "pixels"
    origin: Origin = "edge"
    score_logits: bool = False
    presence_logits: bool = False
    in_graph: bool = False
    next_crop_rows: tuple[int, int] | None = None
    next_crop_side: float = 2.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if "points" not in self.outputs:
            raise UsageError(f"a head 'coordinates' has an output points; got {', '.join(self.outputs)}")
        read = [column for column in self.columns if column != "-"]
        if any(column not in COLUMNS for column in self.columns) or len(set(read)) != len(read) or not {"x", "y"} <= set(read):
            raise UsageError(f"columns name each number of a row, of {', '.join(COLUMNS)}, with x and y once each; got {self.columns!r}")
        if self.unit not in UNITS or self.origin not in ORIGINS:
            raise UsageError(f"unit is {' or '.join(UNITS)} and origin {' or '.join(ORIGINS)}; got {self.unit!r} and {self.origin!r}")
        if "score" in read and "scores" in self.outputs:
            raise UsageError("scores stand in the rows or in an output of their own; this head 'coordinates' says both")
        if not (isinstance(self.rows, int) and self.rows >= 0):
            raise UsageError(f"rows is a whole number from 0 on; got {self.rows!r}")
        ends = self.next_crop_rows
        if ends is not None and not (len(ends) == 2 and all(isinstance(row, int) and 0 <= row < self.rows for row in ends)):
            raise UsageError(f"next_crop_rows are two of the {self.rows} rows; got {ends!r}")

    @property
    def decoded_in_graph(self) -> bool:
        """Whether the graph was made to decode."""
        return self.in_graph

    @property
    def one_person(self) -> bool:
        """Always: in a frame too it finds one person alone."""
        return True

    @property
    def looks_twice(self) -> bool:
        """See `Head.looks_twice`."""
        return self.next_crop_rows is not None

    def check(self, skeleton: Skeleton) -> None:
        """Refuse a skeleton with no parts, or with more than there are rows."""
        parts = len(skeleton.parts)
        if not parts or (self.rows and parts > self.rows):
            raise UsageError(
                f"this head 'coordinates' has rows for {self.rows or 'one or more'} parts; skeleton {skeleton.name!r} has {parts}"
            )

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> Decoder:
        """A decoder for one thread; the options matter to a head of scope "frame" alone."""
        self.check(skeleton)
        return CoordinatesDecoder(self, skeleton, options or DecodeOptions())

    def summary(self) -> str:
        """The head in a few words; of a frame it finds one person alone."""
        return super().summary() + (", one person of the frame" if self.scope == "frame" else "")

    def table(self, tensors: Tensors, rows: int) -> NDArray[np.float32]:
        """The rows (N, rows, columns) float32.

        Raises:
            UsageError: an output of another size.
        """
        values = self.tensor(tensors, "points")
        count, columns = len(values) if values.ndim else 0, len(self.columns)
        if not count or values.size != count * rows * columns:
            raise UsageError(
                f"a head 'coordinates' with {rows} rows of {columns} numbers ({', '.join(self.columns)}) has outputs of {rows * columns} "
                f"numbers for each crop; got shape {tuple(values.shape)}"
            )
        return np.asarray(values, np.float32).reshape(count, rows, columns)

    def place(self, table: NDArray[np.float32], size_wh: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """x and y of rows (..., columns), in pixels of the network's input."""
        x, y = (table[..., self.columns.index(axis)] for axis in ("x", "y"))
        if self.unit == "input":
            x, y = x * np.float32(size_wh[0]), y * np.float32(size_wh[1])
        if self.origin == "edge":
            x, y = x - np.float32(0.5), y - np.float32(0.5)
        return x, y

    def next_crop(self, tensors: Tensors, size_wh: tuple[int, int]) -> NDArray[np.float32] | None:
        """See `Head.next_crop`; the side is 0 where the two points are no numbers or the same."""
        if self.next_crop_rows is None:
            return None
        with np.errstate(all="ignore"):
            x, y = self.place(self.table(tensors, self.rows)[:, list(self.next_crop_rows)], size_wh)
            across, down = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]
            crop = np.stack([x[:, 0], y[:, 0], np.hypot(across, down) * np.float32(self.next_crop_side), np.arctan2(across, -down)], axis=1)
        crop[~np.isfinite(crop).all(axis=1)] = 0
        return crop.astype(np.float32)


class CoordinatesDecoder:
    """One person of each crop or frame.

    A part's score is its own where the network gives one, else the presence, else 1. The person's score is the mean of the parts', times the
    presence where the network gives both. In a frame, a person whose score is below the least one is left out.

    Args:
        head: how to read the outputs.
        skeleton: of the network.
        options: of the user.
    """

    def __init__(self, head: CoordinatesHead, skeleton: Skeleton, options: DecodeOptions) -> None:
        self._head, self._parts = head, len(skeleton.parts)
        self._rows = head.rows or self._parts
        least = options.min_score if options.min_score is not None else _LEAST[options.preset]
        self._least = least if head.scope == "frame" else -math.inf

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:
        """See `Decoder.decode`."""
        head = self._head
        table = head.table(tensors, self._rows)[:, : self._parts]
        keypoints = np.empty((len(table), self._parts, 3), np.float32)
        with np.errstate(all="ignore"):
            keypoints[..., 0], keypoints[..., 1] = head.place(table, size_wh)
            presence = self._number(tensors, "presence", len(table), 1, head.presence_logits)
            own = True
            if "score" in head.columns:
                score = _score(table[..., head.columns.index("score")], head.score_logits)
            elif "scores" in head.outputs:
                score = self._number(tensors, "scores", len(table), self._rows, head.score_logits)[:, : self._parts]
            else:
                score, own = presence, False
            keypoints[..., 2] = score
            lost = ~(np.isfinite(keypoints).all(axis=2) & (keypoints[..., 2] > 0))
        keypoints[lost] = 0
        scores = keypoints[..., 2].mean(axis=1)
        if own:
            scores *= np.where(np.isfinite(presence[:, 0]), presence[:, 0], 0)
        kept = [bool(score >= self._least and (score > 0 or self._head.scope == "crop")) for score in scores]
        return [People(keypoints[i : i + keep], scores[i : i + keep]) for i, keep in enumerate(kept)]

    def _number(self, tensors: Tensors, role: str, count: int, width: int, logits: bool) -> NDArray[np.float32]:
        """An output of `width` probabilities for each crop, (N, width); ones where there is no such output."""
        if role not in self._head.outputs:
            return np.ones((count, width), np.float32)
        values = self._head.tensor(tensors, role)
        if values.size != count * width:
            raise UsageError(f"a head 'coordinates' has {width} {role} for each of {count} crops; got shape {tuple(values.shape)}")
        return _score(np.asarray(values, np.float32).reshape(count, width), logits)


def _score(values: NDArray[np.float32], logits: bool) -> NDArray[np.float32]:
    """Probabilities, at most 1."""
    result: NDArray[np.float32] = probability(values) if logits else np.clip(values, 0, 1)
    return result
