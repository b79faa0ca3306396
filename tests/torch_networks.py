"""The PyTorch networks as their authors describe them, for comparison: written from the papers and the published parameter names."""

from __future__ import annotations

import torch
from torch import nn


def conv(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    bn: bool = False,
    relu: bool = True,
    bias: bool = True,
) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, bias=bias)]
    layers += [nn.BatchNorm2d(outputs)] if bn else []
    layers += [nn.ReLU()] if relu else []
    return nn.Sequential(*layers)


def separable(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, dilation, dilation, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def separable_elu(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False),
        nn.ELU(),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.ELU(),
    )


class Squeeze(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.align = conv(512, 128, 1)
        self.trunk = nn.Sequential(*(separable_elu(128) for _ in range(3)))
        self.conv = conv(128, 128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.align(x)
        return self.conv(x + self.trunk(x))


class Heads(nn.Module):
    def __init__(self, width: int, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.heatmaps = nn.Sequential(conv(128, width, 1), conv(width, 19, 1, relu=False))
        self.pafs = nn.Sequential(conv(128, width, 1), conv(width, 38, 1, relu=False))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.trunk(x)
        return self.heatmaps(x), self.pafs(x)


class Refinement(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.initial = conv(inputs, 128, 1)
        self.trunk = nn.Sequential(conv(128, 128, bn=True), conv(128, 128, dilation=2, bn=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.initial(x)
        return x + self.trunk(x)


class LightweightOpenPose(nn.Module):
    """arXiv 1811.12004, one refinement stage."""

    def __init__(self) -> None:
        super().__init__()
        plan = [(32, 64), (64, 128, 2), (128, 128), (128, 256, 2), (256, 256), (256, 512), (512, 512, 1, 2), *[(512, 512)] * 4]
        self.model = nn.Sequential(conv(3, 32, stride=2, bn=True, bias=False), *(separable(*entry) for entry in plan))
        self.cpm = Squeeze()
        self.initial_stage = Heads(512, nn.Sequential(*(conv(128, 128) for _ in range(3))))
        self.refinement_stages = nn.ModuleList([Heads(128, nn.Sequential(Refinement(185), *(Refinement(128) for _ in range(4))))])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.cpm(self.model(x))
        maps, pafs = self.initial_stage(features)
        maps, pafs = self.refinement_stages[0](torch.cat([features, maps, pafs], 1))
        return maps, pafs


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """arXiv 1512.03385, with torchvision's parameter names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class DenseLayer(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 128, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(128), nn.Conv2d(128, 32, 3, 1, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        new = self.conv2(torch.relu(self.norm2(self.conv1(torch.relu(self.norm1(x))))))
        return torch.cat([x, new], 1)


class DenseNet121(nn.Module):
    """arXiv 1608.06993, with torchvision's parameter names; `features` only."""

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {"conv0": nn.Conv2d(3, 64, 7, 2, 3, bias=False), "norm0": nn.BatchNorm2d(64)}
        layers |= {"relu0": nn.ReLU(), "pool0": nn.MaxPool2d(3, 2, 1)}
        channels = 64
        for block, count in enumerate((6, 12, 24, 16), start=1):
            dense = nn.Sequential()
            for layer in range(count):
                dense.add_module(f"denselayer{layer + 1}", DenseLayer(channels + 32 * layer))
            layers[f"denseblock{block}"] = dense
            channels += 32 * count
            if block < 4:
                transition = nn.Sequential()
                transition.add_module("norm", nn.BatchNorm2d(channels))
                transition.add_module("relu", nn.ReLU())
                transition.add_module("conv", nn.Conv2d(channels, channels // 2, 1, bias=False))
                transition.add_module("pool", nn.AvgPool2d(2, 2))
                layers[f"transition{block}"] = transition
                channels //= 2
        layers["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential()
        for name, module in layers.items():
            self.features.add_module(name, module)
        self.classifier = nn.Linear(channels, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)


class Wrapped(nn.Module):
    """trt_pose keeps its backbone under the backbone's name."""

    def __init__(self, name: str, backbone: nn.Module) -> None:
        super().__init__()
        self.add_module(name, backbone)
        self._kept = name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.get_submodule(self._kept)(x)


def doubling(inputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(3):
        layers += [nn.ConvTranspose2d(inputs if index == 0 else 256, 256, 4, 2, 1), nn.BatchNorm2d(256), nn.ReLU()]
    return nn.Sequential(*layers)


class AttentionHead(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.cmap_up, self.paf_up = doubling(inputs), doubling(inputs)
        self.cmap_att, self.paf_att = nn.Conv2d(256, 256, 3, 1, 1), nn.Conv2d(256, 256, 3, 1, 1)
        self.cmap_conv, self.paf_conv = nn.Conv2d(256, 18, 1), nn.Conv2d(256, 42, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps, pafs = self.cmap_up(x), self.paf_up(x)
        return self.cmap_conv(maps * torch.sigmoid(self.cmap_att(maps))), self.paf_conv(pafs * torch.tanh(self.paf_att(pafs)))


def trt_pose(kind: str) -> nn.Sequential:
    """`resnet18_baseline_att` or `densenet121_baseline_att`."""
    if kind == "resnet18":
        return nn.Sequential(Wrapped("resnet", ResNet18()), AttentionHead(512))
    return nn.Sequential(Wrapped("densenet", DenseNet121()), AttentionHead(1024))


def randomise(network: nn.Module) -> nn.Module:
    """He-initialised weights and BatchNorms that do something; activations stay near 1."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=(2 / (module.weight.shape[0] * 4)) ** 0.5)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.6, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.7, 1.5)  # type: ignore[arg-type]
    return network.eval()
