"""nano, the network that ships with posetrt: plain convolutions with ReLU at stride 8; trained by recipes/nano/."""

from __future__ import annotations

from posetrt.export.networks.maps import Maps
from posetrt.export.onnx_graph import GraphWriter, Tensor
from posetrt.runtime.skeleton import Skeleton

STEM = (16, 32)
WIDTH = 64
TRUNK = (1, 2, 1, 4, 2)
DEEPER = (1, 4, 2)
REFINEMENT = (2, 4)


def nano(net: GraphWriter, image: Tensor, skeleton: Skeleton) -> Maps:
    """A stem to stride 8, a residual trunk, a first guess of all maps, and two refinements that see features and the guess before."""
    channels = skeleton.heatmap_channels + skeleton.paf_channel_count
    x = image
    for index, width in enumerate((*STEM, WIDTH)):
        x = net.conv(x, f"stem.{index}.conv", width, stride=2, bias=False, norm=f"stem.{index}.norm")
    for part, dilations in (("trunk", TRUNK), ("deeper", DEEPER)):
        for index, dilation in enumerate(dilations):
            x = _residual(net, x, f"{part}.{index}", dilation)
    guess = net.conv(_hidden(net, x, "first.0"), "first.1", channels, 1, activation=None)
    refined = _hidden(net, _refined(net, x, guess, "squeeze", "refine"), "second.0")
    guess = net.conv(refined, "second.1", channels, 1, activation=None)
    best = _hidden(net, _refined(net, x, guess, "squeeze_again", "refine_again"), "third.0")
    heatmaps = net.conv(best, "third.heatmaps", skeleton.heatmap_channels, 1, activation=None)
    return Maps(heatmaps, net.conv(best, "third.pafs", skeleton.paf_channel_count, 1, activation=None))


def _refined(net: GraphWriter, features: Tensor, guess: Tensor, squeeze: str, refine: str) -> Tensor:
    """Features and a guess brought together, and two blocks."""
    x = net.conv(net.concat([features, guess], f"{squeeze}.input"), f"{squeeze}.conv", WIDTH, 1, bias=False, norm=f"{squeeze}.norm")
    for index, dilation in enumerate(REFINEMENT):
        x = _residual(net, x, f"{refine}.{index}", dilation)
    return x


def _residual(net: GraphWriter, x: Tensor, name: str, dilation: int) -> Tensor:
    """Two 3 × 3 convolutions, the second dilated, beside a shortcut."""
    first = net.conv(x, f"{name}.first.conv", WIDTH, bias=False, norm=f"{name}.first.norm")
    second = net.conv(first, f"{name}.second", WIDTH, dilation=dilation, bias=False, norm=f"{name}.norm", activation=None)
    return net.combine("Add", x, second, f"{name}.sum", "Relu")


def _hidden(net: GraphWriter, x: Tensor, name: str) -> Tensor:
    return net.conv(x, f"{name}.conv", 2 * WIDTH, 1, bias=False, norm=f"{name}.norm")
