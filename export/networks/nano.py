"""nano, the network that ships with posetrt: plain convolutions with ReLU at stride 8; trained by recipes/nano/."""

from __future__ import annotations

from posetrt.export.networks.maps import Maps
from posetrt.export.onnx_graph import GraphWriter, Tensor
from posetrt.runtime.skeleton import Skeleton

STEM = (16, 32)
WIDTH = 64
TRUNK = (1, 2, 1, 4, 2)
REFINEMENT = (2, 4)


def nano(net: GraphWriter, image: Tensor, skeleton: Skeleton) -> Maps:
    """A stem to stride 8, a residual trunk, a first guess of all maps, and a refinement that sees features and guess."""
    x = image
    for index, channels in enumerate((*STEM, WIDTH)):
        x = net.conv(x, f"stem.{index}.conv", channels, stride=2, bias=False, norm=f"stem.{index}.norm")
    for index, dilation in enumerate(TRUNK):
        x = _residual(net, x, f"trunk.{index}", dilation)
    guess = _head(net, x, "first.0", "first.1", skeleton.heatmap_channels + skeleton.paf_channel_count)
    x = net.concat([x, guess], "squeeze.input")
    x = net.conv(x, "squeeze.conv", WIDTH, 1, bias=False, norm="squeeze.norm")
    for index, dilation in enumerate(REFINEMENT):
        x = _residual(net, x, f"refine.{index}", dilation)
    hidden = net.conv(x, "second.0.conv", 2 * WIDTH, 1, bias=False, norm="second.0.norm")
    heatmaps = net.conv(hidden, "second.heatmaps", skeleton.heatmap_channels, 1, activation=None)
    return Maps(heatmaps, net.conv(hidden, "second.pafs", skeleton.paf_channel_count, 1, activation=None))


def _residual(net: GraphWriter, x: Tensor, name: str, dilation: int) -> Tensor:
    """Two 3 × 3 convolutions, the second dilated, beside a shortcut."""
    first = net.conv(x, f"{name}.first.conv", WIDTH, bias=False, norm=f"{name}.first.norm")
    second = net.conv(first, f"{name}.second", WIDTH, dilation=dilation, bias=False, norm=f"{name}.norm", activation=None)
    return net.combine("Add", x, second, f"{name}.sum", "Relu")


def _head(net: GraphWriter, x: Tensor, hidden: str, last: str, channels: int) -> Tensor:
    return net.conv(net.conv(x, f"{hidden}.conv", 2 * WIDTH, 1, bias=False, norm=f"{hidden}.norm"), last, channels, 1, activation=None)
