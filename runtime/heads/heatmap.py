"""Heat maps of one thing in a crop: a person (CPM, SimpleBaseline, HRNet, ViTPose), a hand, a face. Each part is at its best peak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Head, Scope, Tensors
from posetrt.runtime.heads.cells import check_stride, in_pixels
from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People


@dataclass(frozen=True, kw_only=True)
class HeatmapHead(Head):
    """One heat map per part. The graph gives the maps, `heatmaps` (N, J or J+1, h, w), or has found the best peaks itself: `peaks`
    (N, J, K, 3) float32: x, y in cells, score, best first.

    Attributes:
        stride: network pixels per cell.
        background: whether a background map follows the parts'.
    """

    kind: ClassVar[str] = "heatmap"
    roles: ClassVar[tuple[str, ...]] = ("heatmaps", "peaks")
    maps: ClassVar[tuple[str, ...]] = ("heatmaps",)

    scope: Scope = "crop"
    stride: int
    background: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stride(self.kind, self.stride)
        if len(self.outputs) != 1:
            raise UsageError(f"head {self.kind!r} reads heatmaps or peaks, one of both; got {', '.join(self.outputs)}")

    @property
    def decoded_in_graph(self) -> bool:
        """Whether the outputs are peaks."""
        return "peaks" in self.outputs

    def layout(self, skeleton: Skeleton) -> MapLayout:
        """Which map is what."""
        return MapLayout(skeleton, (), self.background)

    def check(self, skeleton: Skeleton) -> None:
        """See `Head.check`."""
        if not skeleton.parts:
            raise UsageError(f"head {self.kind!r} finds parts, and skeleton {skeleton.name!r} has none")

    def map_stride(self) -> int:
        """See `Head.map_stride`."""
        return self.stride

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> HeatmapDecoder:
        """See `Head.decoder`."""
        self.check(skeleton)
        return HeatmapDecoder(self, skeleton, options or DecodeOptions())

    def picture_names(self) -> tuple[str, ...]:
        """See `Head.picture_names`."""
        return () if self.decoded_in_graph else ("heatmaps",)

    def picture(self, name: str, tensors: Tensors, skeleton: Skeleton) -> NDArray[np.float32]:
        """The strongest of the parts' heat maps at each place; see `Head.picture`."""
        if name not in self.picture_names():
            return super().picture(name, tensors, skeleton)
        return np.asarray(self.tensor(tensors, "heatmaps")[0, : len(skeleton.parts)].max(axis=0), np.float32)


class HeatmapDecoder:
    """The best peak of each part."""

    def __init__(self, head: HeatmapHead, skeleton: Skeleton, options: DecodeOptions) -> None:  # noqa: ARG002 somebody is in the crop
        self._head = head
        self._parts = len(skeleton.parts)
        self._parser = PafParser(head.layout(skeleton))

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:  # noqa: ARG002 cells know their place
        """See `Decoder.decode`."""
        if self._head.decoded_in_graph:
            found = [self._parser.parse_decoded(peaks) for peaks in self._head.tensor(tensors, "peaks")]
        else:
            found = self._parser.parse_batch(self._head.tensor(tensors, "heatmaps"))
        return [in_pixels(people if len(people) else self._nobody(), self._head.stride) for people in found]

    def _nobody(self) -> People:
        return People(np.zeros((1, self._parts, 3), np.float32), np.zeros(1, np.float32))
