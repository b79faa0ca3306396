"""Heat maps of one thing in a crop: a person (CPM, SimpleBaseline, HRNet, ViTPose), a hand, a face. Each part is at its map's best point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Head, Scope, Tensors
from posetrt.runtime.heads.cells import check_stride
from posetrt.runtime.heads.subpixel import DEFAULT, GRIDS, REFINEMENTS, Grid, Refinement, best_offsets, best_points, probability, to_pixels
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People


@dataclass(frozen=True, kw_only=True)
class HeatmapHead(Head):
    """One heat map per part. The graph gives the maps, `heatmaps` (N, J or J+1, h, w), with or without short `offsets` (N, 2J, h, w) in cells
    as G-RMI has them; or it has found the best peaks itself: `peaks` (N, J, K, 3) float32: x, y in cells, score, best first.

    Attributes:
        stride: network pixels per cell.
        background: whether a background map follows the parts'.
        grid: where the cells lie in the input; one of `subpixel.GRIDS`. It is how the training's targets were drawn.
        refinement: how the place within a cell is found; one of `subpixel.REFINEMENTS`.
        logits: whether the maps hold logits.
        y_first: whether the offsets along y come before those along x.
        least: a part whose map stays at or below this was not found, and has score 0.
    """

    kind: ClassVar[str] = "heatmap"
    roles: ClassVar[tuple[str, ...]] = ("heatmaps", "offsets", "peaks")
    maps: ClassVar[tuple[str, ...]] = ("heatmaps", "offsets")

    scope: Scope = "crop"
    stride: int
    background: bool = False
    grid: Grid = "centre"
    refinement: Refinement = DEFAULT
    logits: bool = False
    y_first: bool = True
    least: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stride(self.kind, self.stride)
        if set(self.outputs) not in ({"heatmaps"}, {"heatmaps", "offsets"}, {"peaks"}):
            raise UsageError(f"head {self.kind!r} reads heatmaps, heatmaps and offsets, or peaks; got {', '.join(self.outputs)}")
        if self.grid not in GRIDS or self.refinement not in REFINEMENTS:
            raise UsageError(
                f"head {self.kind!r}: grid is one of {', '.join(GRIDS)} and refinement one of {', '.join(REFINEMENTS)}; "
                f"got {self.grid!r} and {self.refinement!r}"
            )
        if not 0 <= self.least < 1:
            raise UsageError(f"head {self.kind!r}: least is a heat map's value from 0 on, below 1; got {self.least!r}")

    @property
    def decoded_in_graph(self) -> bool:
        """Whether the outputs are peaks."""
        return "peaks" in self.outputs

    def check(self, skeleton: Skeleton) -> None:
        """See `Head.check`."""
        if not skeleton.parts:
            raise UsageError(f"head {self.kind!r} finds parts, and skeleton {skeleton.name!r} has none")

    def map_stride(self) -> int:
        """See `Head.map_stride`."""
        return self.stride

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> HeatmapDecoder:  # noqa: ARG002 somebody is in the crop
        """See `Head.decoder`."""
        self.check(skeleton)
        return HeatmapDecoder(self, skeleton)

    def picture_names(self) -> tuple[str, ...]:
        """See `Head.picture_names`."""
        return () if self.decoded_in_graph else ("heatmaps",)

    def picture(self, name: str, tensors: Tensors, skeleton: Skeleton) -> NDArray[np.float32]:
        """The strongest of the parts' heat maps at each place; see `Head.picture`."""
        if name not in self.picture_names():
            return super().picture(name, tensors, skeleton)
        maps = np.asarray(self.tensor(tensors, "heatmaps")[0, : len(skeleton.parts)], np.float32)
        return np.asarray((probability(maps) if self.logits else maps).max(axis=0), np.float32)


class HeatmapDecoder:
    """The best point of each part."""

    def __init__(self, head: HeatmapHead, skeleton: Skeleton) -> None:
        self._head, self._skeleton = head, skeleton

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:
        """See `Decoder.decode`."""
        head, parts = self._head, len(self._skeleton.parts)
        if head.decoded_in_graph:
            peaks = head.tensor(tensors, "peaks")
            if peaks.ndim != 4 or peaks.shape[1] != parts or peaks.shape[3] != 3:
                raise UsageError(f"peaks of skeleton {self._skeleton.name!r} have shape (N, {parts}, K, 3), not {tuple(peaks.shape)}")
            points = np.where(np.isfinite(peaks[:, :, 0]).all(axis=2, keepdims=True), peaks[:, :, 0], 0).astype(np.float32)
            shape_hw = size_wh[1] // head.stride, size_wh[0] // head.stride
        else:
            maps = head.tensor(tensors, "heatmaps")
            wanted = parts + int(head.background)
            if maps.ndim != 4 or maps.shape[1] != wanted:
                raise UsageError(
                    f"heat maps of skeleton {self._skeleton.name!r} have shape (N, {wanted}, h, w), not {tuple(maps.shape)}; "
                    "give the skeleton that the network was trained on"
                )
            shape_hw = maps.shape[2], maps.shape[3]
            if "offsets" in head.outputs:
                points = best_offsets(maps[:, :parts], head.tensor(tensors, "offsets"), y_first=head.y_first, logits=head.logits)
            else:
                points = best_points(maps[:, :parts], head.refinement, logits=head.logits)
        points[points[..., 2] <= head.least] = 0
        to_pixels(points, shape_hw, size_wh, grid=head.grid)
        return [People(each[None], each[None, :, 2].mean(axis=1)) for each in points]
