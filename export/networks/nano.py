"""nano, the network that ships with posetrt: a Lightweight OpenPose with factored convolutions and one stage; trained by recipes/nano/.

Parameter names are those of `recipes/nano/network.py`.
"""

from __future__ import annotations

from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
from posetrt.export.networks.maps import Maps
from posetrt.runtime.heads.paf.layout import MapLayout

# Channels and stride of each depthwise separable block up to stride 8.
EARLY = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
# Dilation and rank of each of the blocks of LATE_WIDTH channels after them.
LATE = ((1, 80), (2, 64), (1, 64), (1, 96), (1, 96), (1, 80))
LATE_WIDTH = 384
WIDTH = 128
# Ranks of the convolutions behind the trunk (1x1, then 3x3), and the blocks with a wide view: channels inside, dilations.
NARROW, MIDDLE, GUESS = 64, 48, (32, 32, 32)
INSIDE, DILATIONS = 48, (3, 9, 5)
# What stride 4 gives for the heat maps: the block that it comes from, and its channels at stride 8.
AT_STRIDE_4, DETAIL = 2, 32
# Channels inside a head.
HIDDEN = 96


def nano(net: GraphWriter, image: Tensor, layout: MapLayout) -> Maps:
    """A depthwise separable trunk at stride 8, four convolutions, three dilated blocks, and a head for each kind of map.

    The heat maps see the detail of stride 4 as well.
    """
    x = net.conv(image, "stem", 32, stride=2)
    fine = x
    for index, (width, stride) in enumerate(EARLY):
        x = net.conv(_depthwise(net, x, f"trunk.{index}", stride=stride), f"trunk.{index}.pointwise", width, 1)
        fine = x if index == AT_STRIDE_4 else fine
    for index, (dilation, rank) in enumerate(LATE, start=len(EARLY)):
        x = _depthwise(net, x, f"trunk.{index}", dilation=dilation)
        x = _factored(net, x, f"trunk.{index}.pointwise", LATE_WIDTH, rank, 1)
    x = _factored(net, x, "narrow", WIDTH, NARROW, 1)
    x = _factored(net, x, "middle", WIDTH, MIDDLE, 3)
    for index, rank in enumerate(GUESS):
        x = _factored(net, x, f"guess.{index}", WIDTH, rank, 3)
    for index, dilation in enumerate(DILATIONS):
        x = _wide(net, x, f"wide.{index}", dilation)
    return Maps(_head(net, _detail(net, x, fine), "heatmaps", layout.heatmap_channels), _head(net, x, "pafs", layout.paf_channel_count))


def _depthwise(net: GraphWriter, x: Tensor, name: str, *, stride: int = 1, dilation: int = 1) -> Tensor:
    """A 3 × 3 convolution of each channel by itself."""
    return net.conv(x, f"{name}.depthwise", x.channels, stride=stride, dilation=dilation, groups=x.channels)


def _factored(net: GraphWriter, x: Tensor, name: str, width: int, rank: int, kernel: int) -> Tensor:
    """A convolution to `rank` channels, and 1 × 1 from there."""
    return net.conv(net.conv(x, f"{name}.inner", rank, kernel, bias=False, activation=None), f"{name}.outer", width, 1)


def _wide(net: GraphWriter, x: Tensor, name: str, dilation: int) -> Tensor:
    """A dilated convolution of few channels beside a shortcut."""
    inside = net.conv(net.conv(x, f"{name}.first", INSIDE, 1), f"{name}.second", INSIDE, dilation=dilation)
    return net.combine("Add", x, net.conv(inside, f"{name}.third", x.channels, 1, activation=None), f"{name}.sum", "Relu")


def _detail(net: GraphWriter, x: Tensor, fine: Tensor) -> Tensor:
    """What stride 4 shows of a place, beside what is known of it at stride 8, added."""
    down = net.conv(_depthwise(net, fine, "detail", stride=2), "detail.pointwise", DETAIL, 1, activation=None)
    both = net.combine("Add", down, net.conv(x, "detail.beside", DETAIL, 1, activation=None), "detail.both", "Relu")
    inside = net.conv(both, "detail.second", DETAIL)
    return net.combine("Add", x, net.conv(inside, "detail.third", x.channels, 1, activation=None), "detail.sum", "Relu")


def _head(net: GraphWriter, x: Tensor, name: str, maps: int) -> Tensor:
    return net.conv(net.conv(x, f"{name}.hidden", HIDDEN, 1), f"{name}.maps", maps, 1, activation=None)
