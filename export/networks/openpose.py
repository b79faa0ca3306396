"""OpenPose: the 2017 network of two branches (arXiv 1611.08050, figure 3) and BODY_25 of 2018 (arXiv 1812.08008, figure 3)."""

from __future__ import annotations

from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
from posetrt.export.networks.maps import Maps
from posetrt.runtime.heads.paf.layout import MapLayout


def vgg19(net: GraphWriter, image: Tensor, pool_suffix: str = "_stage1") -> Tensor:
    """VGG-19's first eight convolutions and three poolings; what follows (conv4_1 on) differs from network to network."""
    x = image
    for block, (channels, convolutions) in enumerate(((64, 2), (128, 2), (256, 4)), start=1):
        for index in range(1, convolutions + 1):
            x = net.conv(x, f"conv{block}_{index}", channels)
        x = net.max_pool(x, f"pool{block}{pool_suffix}")
    return x


def two_branches(net: GraphWriter, image: Tensor, layout: MapLayout, stages: int = 6) -> Maps:
    """CVPR 2017: PAFs (branch L1) and heat maps (branch L2) side by side, refined `stages - 1` times.

    The first stage sees the features F; each later one [PAFs, maps, F] through 7 × 7 convolutions.
    """
    x = net.conv(vgg19(net, image), "conv4_1", 512)
    x = net.conv(x, "conv4_2", 512)
    x = net.conv(x, "conv4_3_CPM", 256)
    features = net.conv(x, "conv4_4_CPM", 128)
    branches = {"L1": layout.paf_channel_count, "L2": layout.heatmap_channels}

    def first(branch: str) -> Tensor:
        x = features
        for index in (1, 2, 3):
            x = net.conv(x, f"conv5_{index}_CPM_{branch}", 128)
        x = net.conv(x, f"conv5_4_CPM_{branch}", 512, 1)
        return net.conv(x, f"conv5_5_CPM_{branch}", branches[branch], 1, activation=None)

    def refined(x: Tensor, stage: int, branch: str) -> Tensor:
        for index in range(1, 6):
            x = net.conv(x, f"Mconv{index}_stage{stage}_{branch}", 128, 7)
        x = net.conv(x, f"Mconv6_stage{stage}_{branch}", 128, 1)
        return net.conv(x, f"Mconv7_stage{stage}_{branch}", branches[branch], 1, activation=None)

    pafs, maps = first("L1"), first("L2")
    for stage in range(2, stages + 1):
        x = net.concat([pafs, maps, features], f"concat_stage{stage}")
        pafs, maps = refined(x, stage, "L1"), refined(x, stage, "L2")
    return Maps(maps, pafs)


def four_stages(net: GraphWriter, image: Tensor, layout: MapLayout) -> Maps:
    """The faster variant of the 2017 network: its first four stages."""
    return two_branches(net, image, layout, stages=4)


def body25(net: GraphWriter, image: Tensor, layout: MapLayout) -> Maps:
    """2018: four PAF stages (L2), then two map stages (L1) that see the last PAFs; each 7 × 7 is three 3 × 3 joined."""
    x = net.conv(vgg19(net, image), "conv4_1", 512)
    x = net.conv(x, "conv4_2", 512, activation="PRelu:prelu4_2")
    x = net.conv(x, "conv4_3_CPM", 256, activation="PRelu:prelu4_3_CPM")
    features = net.conv(x, "conv4_4_CPM", 128, activation="PRelu:prelu4_4_CPM")

    def three_by_three(x: Tensor, name: str, channels: int) -> Tensor:
        layers = []
        for index in range(3):
            x = net.conv(x, f"Mconv{name}_{index}", channels, activation=f"PRelu:Mprelu{name}_{index}")
            layers.append(x)
        return net.concat(layers, f"Mconv{name}_concat")

    def stage(x: Tensor, name: str, width: int, out: int) -> Tensor:
        for block in range(1, 6):
            x = three_by_three(x, f"{block}_{name}", width)
        x = net.conv(x, f"Mconv6_{name}", 256 if width == 96 else 512, 1, activation=f"PRelu:Mprelu6_{name}")
        return net.conv(x, f"Mconv7_{name}", out, 1, activation=None)

    pafs = stage(features, "stage0_L2", 96, layout.paf_channel_count)
    for index in (1, 2, 3):
        seen = net.concat([features, pafs], f"concat_stage{index}_L2")
        pafs = stage(seen, f"stage{index}_L2", 128, layout.paf_channel_count)
    maps = stage(net.concat([features, pafs], "concat_stage0_L1"), "stage0_L1", 96, layout.heatmap_channels)
    maps = stage(net.concat([features, maps, pafs], "concat_stage1_L1"), "stage1_L1", 128, layout.heatmap_channels)
    return Maps(maps, pafs)
