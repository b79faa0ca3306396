"""What a network gives."""

from __future__ import annotations

from dataclasses import dataclass

from posetrt.export.graph.onnx_graph import Tensor


@dataclass(frozen=True)
class Maps:
    """Heat maps (N, J or J+1, h, w) and PAFs (N, 2C, h, w), None for a network with heat maps only."""

    heatmaps: Tensor
    pafs: Tensor | None = None
