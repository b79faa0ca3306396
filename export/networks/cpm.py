"""Convolutional Pose Machines (arXiv 1602.00134): one person, hand or face in a crop; heat maps only, refined stage by stage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
from posetrt.export.networks.maps import Maps
from posetrt.export.networks.openpose import vgg19
from posetrt.runtime.heads.paf.layout import MapLayout

CENTRE_SIGMA = 21.0  # px of the network's input; the authors' testing/python/config


def hand(net: GraphWriter, image: Tensor, layout: MapLayout) -> Maps:
    """Hand key points (arXiv 1704.07809) on a 368 × 368 crop."""
    return _six_stages(net, image, layout, pool_suffix="_stage1", joined="concat_stage{}")


def face(net: GraphWriter, image: Tensor, layout: MapLayout) -> Maps:
    """Face key points on a 368 × 368 crop: the hand's network, with other names."""
    return _six_stages(net, image, layout, pool_suffix="", joined="features_in_stage_{}")


def person(net: GraphWriter, image: Tensor, layout: MapLayout, size_wh: tuple[int, int]) -> Maps:
    """CVPR 2016: one person in the middle of the crop. From stage 2 on it also sees a map that marks the middle.

    The map is a constant of the graph, so the graph has one size.
    """
    x = net.conv(vgg19(net, image), "conv4_1", 512)
    x = net.conv(x, "conv4_2", 512)
    for index in (3, 4, 5, 6):
        x = net.conv(x, f"conv4_{index}_CPM", 256)
    features = net.conv(x, "conv4_7_CPM", 128)
    x = net.conv(features, "conv5_1_CPM", 512, 1)
    maps = net.conv(x, "conv5_2_CPM", layout.heatmap_channels, 1, activation=None)
    centre = net.constant_map("pool_center_lower", centre_map(size_wh), features)
    for stage in range(2, 7):
        maps = _refined(net, net.concat([maps, features, centre], f"concat_stage{stage}"), stage, layout.heatmap_channels)
    return Maps(maps)


def centre_map(size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """The pooled centre map (1, 1, h, w): a Gaussian at (W/2, H/2), then Caffe's mean over 9 × 9 px every 8 px.

    Caffe rounds the number of windows up and divides a window that the border cuts by what is left of it.
    """

    def pooled(length: int) -> NDArray[np.float64]:
        line = np.exp(-((np.arange(length) - length / 2) ** 2) / (2 * CENTRE_SIGMA**2))
        windows = -(-(length - 9) // 8) + 1
        return np.array([line[8 * index : 8 * index + 9].mean() for index in range(windows)])

    width, height = size_wh
    return (pooled(height)[:, None] * pooled(width)[None, :]).astype(np.float32)[None, None]


def _six_stages(net: GraphWriter, image: Tensor, layout: MapLayout, pool_suffix: str, joined: str) -> Maps:
    x = vgg19(net, image, pool_suffix)
    for name in ("conv4_1", "conv4_2", "conv4_3", "conv4_4", "conv5_1", "conv5_2"):
        x = net.conv(x, name, 512)
    features = net.conv(x, "conv5_3_CPM", 128)
    x = net.conv(features, "conv6_1_CPM", 512, 1)
    maps = net.conv(x, "conv6_2_CPM", layout.heatmap_channels, 1, activation=None)
    for stage in range(2, 7):
        maps = _refined(net, net.concat([maps, features], joined.format(stage)), stage, layout.heatmap_channels)
    return Maps(maps)


def _refined(net: GraphWriter, x: Tensor, stage: int, channels: int) -> Tensor:
    for index in range(1, 6):
        x = net.conv(x, f"Mconv{index}_stage{stage}", 128, 7)
    x = net.conv(x, f"Mconv6_stage{stage}", 128, 1)
    return net.conv(x, f"Mconv7_stage{stage}", channels, 1, activation=None)
