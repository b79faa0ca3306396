"""Heads as the tests' networks have them."""

from __future__ import annotations

from posetrt.runtime.heads.base import Head
from posetrt.runtime.heads.heatmap import HeatmapHead
from posetrt.runtime.heads.paf.head import PafDecodedHead, PafHead
from posetrt.runtime.heads.paf.layout import MapLayout

DECODED = PafDecodedHead(outputs={"peaks": "peaks", "pairs": "pairs"}, stride=8)


def maps_head(layout: MapLayout, heatmaps: str = "heatmaps", pafs: str = "pafs", stride: int = 8) -> Head:
    """Heat maps, and PAFs where the layout has some."""
    if not layout.paf_channels:
        return HeatmapHead(outputs={"heatmaps": heatmaps}, stride=stride, background=layout.background, least=0.06)
    outputs = {"heatmaps": heatmaps, "pafs": pafs}
    return PafHead(outputs=outputs, stride=stride, paf_channels=layout.paf_channels, background=layout.background)
