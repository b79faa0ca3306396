"""nano, the network that ships with posetrt: plain convolutions with ReLU at stride 8; trained by recipes/nano/."""

from __future__ import annotations

from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
from posetrt.export.networks.maps import Maps
from posetrt.runtime.heads.paf.layout import MapLayout

STEM = (16, 32)
FINE_BLOCKS = 2
WIDTH = 64
TRUNK = (1, 2, 1, 4, 2)
DEEPER = (1, 4, 2)
REFINEMENT = (2, 4)


def nano(net: GraphWriter, image: Tensor, layout: MapLayout) -> Maps:
    """A stem to stride 8 with two blocks at stride 4, a residual trunk, a first guess of all maps, and two refinements.

    Each refinement sees the features and the guess before; the last one, for the heat maps alone, sees what there is at stride 4 as well.
    """
    channels = layout.heatmap_channels + layout.paf_channel_count
    quarter = image
    for index, width in enumerate(STEM):
        quarter = _halved(net, quarter, f"stem.{index}", width)
    for index in range(FINE_BLOCKS):
        quarter = _residual(net, quarter, f"fine.{index}", 1, STEM[-1])
    x = _halved(net, quarter, f"stem.{len(STEM)}", WIDTH)
    for part, dilations in (("trunk", TRUNK), ("deeper", DEEPER)):
        for index, dilation in enumerate(dilations):
            x = _residual(net, x, f"{part}.{index}", dilation)
    guess = net.conv(_hidden(net, x, "first.0"), "first.1", channels, 1, activation=None)
    better = _hidden(net, _refined(net, [x, guess], "squeeze", "refine"), "second.0")
    heatmaps = net.conv(better, "second.heatmaps", layout.heatmap_channels, 1, activation=None)
    pafs = net.conv(better, "second.pafs", layout.paf_channel_count, 1, activation=None)
    detail = _halved(net, quarter, "detail", WIDTH)
    best = _hidden(net, _refined(net, [x, heatmaps, pafs, detail], "squeeze_again", "refine_again"), "third.0")
    return Maps(net.conv(best, "third.heatmaps", layout.heatmap_channels, 1, activation=None), pafs)


def _halved(net: GraphWriter, x: Tensor, name: str, width: int) -> Tensor:
    """A convolution of stride 2."""
    return net.conv(x, f"{name}.conv", width, stride=2, bias=False, norm=f"{name}.norm")


def _refined(net: GraphWriter, seen: list[Tensor], squeeze: str, refine: str) -> Tensor:
    """What it sees brought together, and two blocks."""
    x = net.conv(net.concat(seen, f"{squeeze}.input"), f"{squeeze}.conv", WIDTH, 1, bias=False, norm=f"{squeeze}.norm")
    for index, dilation in enumerate(REFINEMENT):
        x = _residual(net, x, f"{refine}.{index}", dilation)
    return x


def _residual(net: GraphWriter, x: Tensor, name: str, dilation: int, width: int = WIDTH) -> Tensor:
    """Two 3 × 3 convolutions, the second dilated, beside a shortcut."""
    first = net.conv(x, f"{name}.first.conv", width, bias=False, norm=f"{name}.first.norm")
    second = net.conv(first, f"{name}.second", width, dilation=dilation, bias=False, norm=f"{name}.norm", activation=None)
    return net.combine("Add", x, second, f"{name}.sum", "Relu")


def _hidden(net: GraphWriter, x: Tensor, name: str) -> Tensor:
    return net.conv(x, f"{name}.conv", 2 * WIDTH, 1, bias=False, norm=f"{name}.norm")
