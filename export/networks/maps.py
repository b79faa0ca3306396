"""What a network of the OpenPose family gives."""

from __future__ import annotations

from dataclasses import dataclass

from posetrt.export.graph.onnx_graph import Tensor
from posetrt.runtime.heads.base import Head
from posetrt.runtime.heads.heatmap import HeatmapHead
from posetrt.runtime.heads.paf.head import PafHead
from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.model.format1 import LEAST_PEAK


@dataclass(frozen=True)
class Maps:
    """Heat maps (N, J or J+1, h, w) and PAFs (N, 2C, h, w), None for a network with heat maps only."""

    heatmaps: Tensor
    pafs: Tensor | None = None

    def outputs(self) -> dict[str, Tensor]:
        """Name of each output of the graph → tensor."""
        return {"heatmaps": self.heatmaps} | ({"pafs": self.pafs} if self.pafs is not None else {})

    def head(self, layout: MapLayout, least: float | None = None) -> Head:
        """What these outputs mean; `least` as in `PafHead`."""
        names, stride = {name: name for name in self.outputs()}, self.heatmaps.stride
        if self.pafs is None:
            return HeatmapHead(outputs=names, stride=stride, background=layout.background, least=LEAST_PEAK)
        return PafHead(outputs=names, stride=stride, paf_channels=layout.paf_channels, background=layout.background, least=least)
