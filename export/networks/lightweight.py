"""Lightweight OpenPose (arXiv 1811.12004): MobileNet v1 with dilation, one initial and one refinement stage.

Parameter names are those of the authors' checkpoint (github.com/Daniil-Osokin/lightweight-human-pose-estimation.pytorch).
"""

from __future__ import annotations

from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
from posetrt.export.networks.maps import Maps
from posetrt.runtime.heads.paf.layout import MapLayout

# Output channels, stride and dilation of each depthwise separable block of the backbone, conv2_1 to conv5_5.
BACKBONE = (
    (64, 1, 1),
    (128, 2, 1),
    (128, 1, 1),
    (256, 2, 1),
    (256, 1, 1),
    (512, 1, 1),
    (512, 1, 2),
    (512, 1, 1),
    (512, 1, 1),
    (512, 1, 1),
    (512, 1, 1),
)


def lightweight(net: GraphWriter, image: Tensor, layout: MapLayout, width: int = 128) -> Maps:
    """The network with one refinement stage, as published."""
    x = net.conv(image, "model.0.0", 32, stride=2, bias=False, norm="model.0.1")
    for index, (channels, stride, dilation) in enumerate(BACKBONE, start=1):
        name = f"model.{index}"
        x = net.conv(x, f"{name}.0", x.channels, stride=stride, dilation=dilation, groups=x.channels, bias=False, norm=f"{name}.1")
        x = net.conv(x, f"{name}.3", channels, 1, bias=False, norm=f"{name}.4")
    features = _squeeze(net, x, width)

    x = features
    for index in range(3):
        x = net.conv(x, f"initial_stage.trunk.{index}.0", width)
    maps, pafs = _heads(net, x, "initial_stage", 512, layout)

    x = net.concat([features, maps, pafs], "refinement_stages.0.input")
    for index in range(5):
        x = _refinement_block(net, x, f"refinement_stages.0.trunk.{index}", width)
    return Maps(*_heads(net, x, "refinement_stages.0", width, layout))


def _squeeze(net: GraphWriter, x: Tensor, width: int) -> Tensor:
    """512 channels to `width`: three depthwise separable convolutions with ELU beside a shortcut."""
    align = x = net.conv(x, "cpm.align.0", width, 1)
    for index in range(3):
        x = net.conv(x, f"cpm.trunk.{index}.0", width, groups=width, bias=False, activation="Elu")
        x = net.conv(x, f"cpm.trunk.{index}.2", width, 1, bias=False, activation="Elu")
    return net.conv(net.combine("Add", align, x, "cpm.sum"), "cpm.conv.0", width)


def _refinement_block(net: GraphWriter, x: Tensor, name: str, width: int) -> Tensor:
    """A 7 × 7 convolution's field of view from 1 × 1, 3 × 3 and dilated 3 × 3, with a shortcut."""
    initial = net.conv(x, f"{name}.initial.0", width, 1)
    x = net.conv(initial, f"{name}.trunk.0.0", width, norm=f"{name}.trunk.0.1")
    x = net.conv(x, f"{name}.trunk.1.0", width, dilation=2, norm=f"{name}.trunk.1.1")
    return net.combine("Add", initial, x, f"{name}.sum")


def _heads(net: GraphWriter, x: Tensor, name: str, width: int, layout: MapLayout) -> tuple[Tensor, Tensor]:
    def head(kind: str, channels: int) -> Tensor:
        hidden = net.conv(x, f"{name}.{kind}.0.0", width, 1)
        return net.conv(hidden, f"{name}.{kind}.1.0", channels, 1, activation=None)

    return head("heatmaps", layout.heatmap_channels), head("pafs", layout.paf_channel_count)
