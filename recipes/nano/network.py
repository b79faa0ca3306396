"""nano: a small PAF network of plain convolutions, for training. `export/networks/nano.py` writes the same network as ONNX."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

HEATMAPS = 19
PAFS = 38
MAPS = HEATMAPS + PAFS
HINTS = 32
# Output channels and stride of each block of the stem, and what the teacher calls it.
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
TEACHER_NAMES = ("conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv4_1")


class ConvReLU(nn.Module):
    """Convolution without bias, batch norm, ReLU: one convolution once folded."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, dilation * (kernel - 1) // 2, dilation, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Residual(nn.Module):
    """Two 3x3 convolutions beside a skip; the second may be dilated, which widens the view at no cost."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = ConvReLU(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, dilation, dilation, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.second(self.first(x))))


class Stem(nn.Module):
    """The teacher's first layers, to stride 8, with the teacher's weights: a convolution and five depthwise separable ones. Never trained.

    Attributes:
        first: 3x3, stride 2.
        depthwise, pointwise: of each block of `BLOCKS`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, 2, 1)
        inputs = (32, *(channels for channels, _ in BLOCKS))
        self.depthwise = nn.ModuleList(
            nn.Conv2d(before, before, 3, stride, 1, groups=before) for before, (_, stride) in zip(inputs, BLOCKS, strict=False)
        )
        self.pointwise = nn.ModuleList(nn.Conv2d(before, after, 1) for before, (after, _) in zip(inputs, BLOCKS, strict=False))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        for depthwise, pointwise in zip(self.depthwise, self.pointwise, strict=True):
            x = torch.relu(pointwise(torch.relu(depthwise(x))))
        return x

    def take(self, teacher: Path) -> None:
        """Load the teacher's weights from its ONNX file. Its normalisation is (x - 128) / 255, nano's is (x - 128) / 256."""
        import onnx

        arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(str(teacher)).graph.initializer}
        self.first.weight.data = torch.tensor(arrays["conv1.weight"] * (256 / 255))
        self.first.bias.data = torch.tensor(arrays["conv1.bias"])
        for name, depthwise, pointwise in zip(TEACHER_NAMES, self.depthwise, self.pointwise, strict=True):
            for kind, layer in (("dw", depthwise), ("sep", pointwise)):
                layer.weight.data = torch.tensor(arrays[f"{name}/{kind}.weight"])
                layer.bias.data = torch.tensor(arrays[f"{name}/{kind}.bias"])


class Nano(nn.Module):
    """The teacher's stem to stride 8, a residual trunk, a first guess of the maps and one refinement that sees the guess.

    forward gives both guesses (N, 57, h, w), heat maps first, and the hint (N, 32, h, w), which training alone reads.
    """

    def __init__(self, width: int = 64, dilations: tuple[int, ...] = (1, 2, 1, 4, 2)) -> None:
        super().__init__()
        self.stem = Stem()
        self.reduce = ConvReLU(BLOCKS[-1][0], width, 1)
        self.trunk = nn.Sequential(*(Residual(width, dilation) for dilation in dilations))
        self.first = nn.Sequential(ConvReLU(width, 2 * width, 1), nn.Conv2d(2 * width, MAPS, 1))
        self.squeeze = ConvReLU(width + MAPS, width, 1)
        self.refine = nn.Sequential(Residual(width, 2), Residual(width, 4))
        self.second = nn.Sequential(ConvReLU(width, 2 * width, 1), nn.Conv2d(2 * width, MAPS, 1))
        self.hint = nn.Conv2d(width, HINTS, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for head in (self.first[1], self.second[1]):
            nn.init.normal_(head.weight, std=0.001)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.trunk(self.reduce(self.stem(x)))
        first = self.first(features)
        refined = self.refine(self.squeeze(torch.cat([features, first], 1)))
        return first, self.second(refined), self.hint(features)
