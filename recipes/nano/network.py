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
FINE_BLOCKS = 2


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

    It begins with five blocks in the trunk and one refinement, and grows twice: by three blocks and one refinement; and by two blocks at
    stride 4, where noses and eyes still have a shape, and a way from there straight to the last refinement. It ships as what it is then.
    The last refinement is for the heat maps alone, which are what a small network finds hard; the PAFs of the guess before stand.
    forward gives the guesses (N, 57, h, w), heat maps first, best last, and the hint (N, 32, h, w), which training alone reads.
    """

    def __init__(self, width: int = 64, dilations: tuple[int, ...] = (1, 2, 1, 4, 2), stem: tuple[int, int] = (16, 32)) -> None:
        super().__init__()
        self.grown = 0
        self.stem = nn.Sequential(ConvReLU(3, stem[0], 3, 2), ConvReLU(stem[0], stem[1], 3, 2), ConvReLU(stem[1], width, 3, 2))
        self.trunk = nn.Sequential(*(Residual(width, dilation) for dilation in dilations))
        self.first = nn.Sequential(ConvReLU(width, 2 * width, 1), nn.Conv2d(2 * width, MAPS, 1))
        self.squeeze, self.refine, self.second = refinement(width, MAPS)
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
            self.squeeze_again, self.refine_again, self.third = refinement(width, HEATMAPS, width)
            self.fine = nn.Sequential(*(Residual(stem[1], 1) for _ in range(FINE_BLOCKS)))
            self.detail = ConvReLU(stem[1], width, 3, 2)

    def grow(self, times: int) -> None:
        """Grow up to once or twice. What is new changes nothing yet: the new refinement begins as a copy of the first."""
        if self.grown < 1 <= times:
            self.refine_again.load_state_dict(self.refine.state_dict())
            self.third[0].load_state_dict(self.second[0].state_dict())
            self.squeeze_again.norm.load_state_dict(self.squeeze.norm.state_dict())
            with torch.no_grad():
                known = self.squeeze.conv.weight
                self.squeeze_again.conv.weight.zero_()[:, : known.shape[1]] = known
                self.third[1].weight.copy_(self.second[1].weight[:HEATMAPS])
                self.third[1].bias.copy_(self.second[1].bias[:HEATMAPS])
        self.grown = max(self.grown, times)

    def imitate(self, x: Tensor) -> Tensor:
        """(N, 64, h, w): the teacher's early features, guessed from the stem and the first blocks of the trunk. For training alone."""
        guess: Tensor = self.early(self.trunk[:EARLY_BLOCKS](self.stem(x)))
        return guess

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        quarter = self.stem[:2](x)
        if self.grown > 1:
            quarter = self.fine(quarter)
        features = self.trunk(self.stem[2](quarter))
        if self.grown:
            features = self.deeper(features)
        guesses = [self.first(features)]
        guesses.append(self.second(self.refine(self.squeeze(torch.cat([features, guesses[-1]], 1)))))
        if self.grown:
            detail = self.detail(quarter) if self.grown > 1 else torch.zeros_like(features)
            heatmaps = self.third(self.refine_again(self.squeeze_again(torch.cat([features, guesses[-1], detail], 1))))
            guesses.append(torch.cat([heatmaps, guesses[-1][:, HEATMAPS:].detach()], 1))
        return guesses, self.hint(features)


def refinement(width: int, maps: int, detail: int = 0) -> tuple[ConvReLU, nn.Sequential, nn.Sequential]:
    """What brings features, a guess and `detail` channels more together, two blocks, and the head of a better guess of `maps` maps."""
    return (
        ConvReLU(width + MAPS + detail, width, 1),
        nn.Sequential(Residual(width, 2), Residual(width, 4)),
        nn.Sequential(ConvReLU(width, 2 * width, 1), nn.Conv2d(2 * width, maps, 1)),
    )
