"""nano: a small PAF network of plain convolutions, for training. `export/networks/nano.py` writes the same network as ONNX."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEATMAPS = 19
PAFS = 38
MAPS = HEATMAPS + PAFS
HINTS = 32
EARLY_HINTS = 64
EARLY_BLOCKS = 2


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


class Nano(nn.Module):
    """Stem to stride 8, a residual trunk, a first guess of the maps and one refinement that sees the guess.

    forward gives both guesses (N, 57, h, w), heat maps first, and the hint (N, 32, h, w), which training alone reads.
    """

    def __init__(self, width: int = 64, dilations: tuple[int, ...] = (1, 2, 1, 4, 2), stem: tuple[int, int] = (16, 32)) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvReLU(3, stem[0], 3, 2), ConvReLU(stem[0], stem[1], 3, 2), ConvReLU(stem[1], width, 3, 2))
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
        with torch.random.fork_rng():
            self.early = nn.Conv2d(width, EARLY_HINTS, 1)

    def imitate(self, x: Tensor) -> Tensor:
        """(N, 64, h, w): the teacher's early features, guessed from the stem and the first blocks of the trunk. For training alone."""
        guess: Tensor = self.early(self.trunk[:EARLY_BLOCKS](self.stem(x)))
        return guess

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.trunk(self.stem(x))
        first = self.first(features)
        refined = self.refine(self.squeeze(torch.cat([features, first], 1)))
        return first, self.second(refined), self.hint(features)
