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
DEEPER = (1, 4, 2)


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
    """Stem to stride 8, a residual trunk, a first guess of the maps and refinements that see the features and the guess before.

    It begins with five blocks in the trunk and one refinement; `grow` gives it three blocks and one refinement more, as what it ships with.
    forward gives the guesses (N, 57, h, w), heat maps first, best last, and the hint (N, 32, h, w), which training alone reads.
    """

    def __init__(self, width: int = 64, dilations: tuple[int, ...] = (1, 2, 1, 4, 2), stem: tuple[int, int] = (16, 32)) -> None:
        super().__init__()
        self.grown = False
        self.stem = nn.Sequential(ConvReLU(3, stem[0], 3, 2), ConvReLU(stem[0], stem[1], 3, 2), ConvReLU(stem[1], width, 3, 2))
        self.trunk = nn.Sequential(*(Residual(width, dilation) for dilation in dilations))
        self.first = nn.Sequential(ConvReLU(width, 2 * width, 1), nn.Conv2d(2 * width, MAPS, 1))
        self.squeeze, self.refine, self.second = refinement(width)
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
            self.deeper = nn.Sequential(*(Residual(width, dilation) for dilation in DEEPER))
            self.squeeze_again, self.refine_again, self.third = refinement(width)

    def grow(self) -> None:
        """Wake the other blocks, which change nothing yet, and the other refinement, which begins as a copy of the first."""
        self.grown = True
        for new, old in ((self.squeeze_again, self.squeeze), (self.refine_again, self.refine), (self.third, self.second)):
            new.load_state_dict(old.state_dict())

    def imitate(self, x: Tensor) -> Tensor:
        """(N, 64, h, w): the teacher's early features, guessed from the stem and the first blocks of the trunk. For training alone."""
        guess: Tensor = self.early(self.trunk[:EARLY_BLOCKS](self.stem(x)))
        return guess

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        features = self.trunk(self.stem(x))
        if self.grown:
            features = self.deeper(features)
        guesses = [self.first(features)]
        guesses.append(self.second(self.refine(self.squeeze(torch.cat([features, guesses[-1]], 1)))))
        if self.grown:
            guesses.append(self.third(self.refine_again(self.squeeze_again(torch.cat([features, guesses[-1]], 1)))))
        return guesses, self.hint(features)


def refinement(width: int) -> tuple[ConvReLU, nn.Sequential, nn.Sequential]:
    """What brings features and a guess together, two blocks, and the head of a better guess."""
    return (
        ConvReLU(width + MAPS, width, 1),
        nn.Sequential(Residual(width, 2), Residual(width, 4)),
        nn.Sequential(ConvReLU(width, 2 * width, 1), nn.Conv2d(2 * width, MAPS, 1)),
    )
