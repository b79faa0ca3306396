"""trt_pose's two published networks: ResNet-18 or DenseNet-121, three doublings, and a head with attention.

Parameter names are those of the authors' state_dict (github.com/NVIDIA-AI-IOT/trt_pose, trt_pose/models), whose backbones are
torchvision's. Their maps have stride 4 and no background.
"""

from __future__ import annotations

from posetrt.export.graph.onnx_graph import GraphWriter, Tensor
from posetrt.export.networks.maps import Maps
from posetrt.runtime.heads.paf.layout import MapLayout


def resnet18(net: GraphWriter, image: Tensor, layout: MapLayout) -> Maps:
    """`resnet18_baseline_att`: backbone of arXiv 1512.03385, stride 32 before the head."""
    root = "0.resnet"
    x = net.conv(image, f"{root}.conv1", 64, 7, stride=2, bias=False, norm=f"{root}.bn1")
    x = net.max_pool(x, f"{root}.maxpool", kernel=3, stride=2)
    for layer, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            x = _basic_block(net, x, f"{root}.layer{layer}.{block}", channels, stride=2 if layer > 1 and block == 0 else 1)
    return _attention_head(net, x, layout)


def densenet121(net: GraphWriter, image: Tensor, layout: MapLayout) -> Maps:
    """`densenet121_baseline_att`: backbone of arXiv 1608.06993, growth 32, stride 32 before the head."""
    root = "0.densenet.features"
    x = net.conv(image, f"{root}.conv0", 64, 7, stride=2, bias=False, norm=f"{root}.norm0")
    x = net.max_pool(x, f"{root}.pool0", kernel=3, stride=2)
    for block, layers in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, layers + 1):
            x = _dense_layer(net, x, f"{root}.denseblock{block}.denselayer{layer}")
        if block < 4:
            name = f"{root}.transition{block}"
            x = net.conv(net.batch_norm(x, f"{name}.norm"), f"{name}.conv", x.channels // 2, 1, bias=False, activation=None)
            x = net.average_pool(x, f"{name}.pool")
    # torchvision's classifier applies ReLU behind norm5; trt_pose takes `features` alone, which ends at norm5.
    return _attention_head(net, net.batch_norm(x, f"{root}.norm5", activation=None), layout)


def _basic_block(net: GraphWriter, x: Tensor, name: str, channels: int, stride: int) -> Tensor:
    shortcut = x
    if stride != 1:
        shortcut = net.conv(x, f"{name}.downsample.0", channels, 1, stride=stride, bias=False, norm=f"{name}.downsample.1", activation=None)
    x = net.conv(x, f"{name}.conv1", channels, stride=stride, bias=False, norm=f"{name}.bn1")
    x = net.conv(x, f"{name}.conv2", channels, bias=False, norm=f"{name}.bn2", activation=None)
    return net.combine("Add", x, shortcut, name, activation="Relu")


def _dense_layer(net: GraphWriter, x: Tensor, name: str, growth: int = 32) -> Tensor:
    """BatchNorm, ReLU, 1 × 1, BatchNorm, ReLU, 3 × 3; its 32 channels join all those before."""
    new = net.conv(net.batch_norm(x, f"{name}.norm1"), f"{name}.conv1", 4 * growth, 1, bias=False, norm=f"{name}.norm2")
    new = net.conv(new, f"{name}.conv2", growth, bias=False, activation=None)
    return net.concat([x, new], name)


def _attention_head(net: GraphWriter, features: Tensor, layout: MapLayout, width: int = 256) -> Maps:
    """Three doublings each for maps and PAFs; each is multiplied by an attention of its own: sigmoid for maps, tanh for PAFs."""

    def branch(kind: str, squash: str, channels: int) -> Tensor:
        x = features
        for index in (0, 3, 6):
            x = net.conv_transpose(x, f"1.{kind}_up.{index}", width, norm=f"1.{kind}_up.{index + 1}")
        attention = net.conv(x, f"1.{kind}_att", width, activation=squash)
        return net.conv(net.combine("Mul", x, attention, f"1.{kind}_product"), f"1.{kind}_conv", channels, 1, activation=None)

    return Maps(branch("cmap", "Sigmoid", layout.heatmap_channels), branch("paf", "Tanh", layout.paf_channel_count))
