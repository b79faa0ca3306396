"""nano: human-pose-estimation-0001 made a fifth as large, for training. `export/networks/nano.py` writes it as ONNX.

Every layer is a convolution with a bias, and ReLU or nothing after it: no batch norm, so that what trains is what ships.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

HEATMAPS = 19
PAFS = 38
MAPS = HEATMAPS + PAFS
FEATURES = 128
# Of the trunk's first blocks, up to stride 8: channels of the pointwise convolution, stride of the depthwise one.
EARLY = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
# Dilations of the depthwise convolutions of its other blocks.
DILATED = (1, 2, 1, 1, 1, 1)
# Of the blocks with a wide view: channels inside, dilations.
WIDE, DILATIONS = 48, (3,)
HIDDEN = 128


@dataclass(frozen=True)
class Size:
    """What differs between the wider network, which the first steps train, and the one that ships.

    Attributes:
        late: channels of the blocks at stride 8.
        ranks: of their pointwise convolutions.
        middle, guess: ranks of the 3x3 convolutions: of the one that gives the features, and of the first guess.
    """

    late: int
    ranks: tuple[int, ...]
    middle: int
    guess: tuple[int, ...]


WIDER = Size(late=512, ranks=(80, 72, 72, 108, 104, 88), middle=56, guess=(40, 40, 32))
# Multiples of 16: a processor with AVX-512 computes so many channels at once.
SHIPPED = Size(late=384, ranks=(80, 64, 64, 96, 96, 80), middle=48, guess=(32, 32, 32))


class Depthwise(nn.Module):
    """A 3x3 convolution of each channel by itself, ReLU, and a 1x1 one of all, in two factors where a rank is given; ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1, rank: int | None = None) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, dilation, dilation, inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1) if rank is None else Factored(inputs, outputs, rank, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.depthwise.dilation == (1, 1):
            return torch.relu(self.pointwise(torch.relu(self.depthwise(x))))
        # PyTorch 2.13's gradient of a dilated depthwise convolution's weights in bfloat16 on the CPU reads memory that is not its own.
        with torch.autocast(x.device.type, enabled=False):
            x = torch.relu(self.depthwise(x.float()))
        return torch.relu(self.pointwise(x))


class Factored(nn.Module):
    """A convolution as two: to `rank` channels, without a bias, and from there by 1x1; nothing between."""

    def __init__(self, inputs: int, outputs: int, rank: int, kernel: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(inputs, rank, kernel, 1, kernel // 2, bias=False)
        self.outer = nn.Conv2d(rank, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.outer(self.inner(x))
        return y


class Wide(nn.Module):
    """What a dilated convolution sees around, added; begins as nothing."""

    def __init__(self, channels: int, inside: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, inside, 1)
        self.second = nn.Conv2d(inside, inside, 3, 1, dilation, dilation)
        self.third = nn.Conv2d(inside, channels, 1)
        nn.init.zeros_(self.third.weight)
        nn.init.zeros_(self.third.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.third(torch.relu(self.second(torch.relu(self.first(x))))))


class Head(nn.Module):
    """Maps from features, by way of HIDDEN channels."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(FEATURES, HIDDEN, 1)
        self.maps = nn.Conv2d(HIDDEN, maps, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.maps(torch.relu(self.hidden(x)))
        return y


class Nano(nn.Module):
    """(N, 3, H, W) BGR as (x - 128) / 256, H and W multiples of 8, to maps (N, 57, h, w), heat maps first, and features (N, 128, h, w)."""

    def __init__(self, size: Size = SHIPPED) -> None:
        super().__init__()
        self.size = size
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        blocks, width = [], 32
        for outputs, stride in EARLY:
            blocks.append(Depthwise(width, outputs, stride))
            width = outputs
        for dilation, rank in zip(DILATED, size.ranks, strict=True):
            blocks.append(Depthwise(width, size.late, 1, dilation, rank))
            width = size.late
        self.trunk = nn.Sequential(*blocks)
        self.narrow = nn.Conv2d(width, FEATURES, 1)
        self.middle = Factored(FEATURES, FEATURES, size.middle, 3)
        self.guess = nn.ModuleList(Factored(FEATURES, FEATURES, rank, 3) for rank in size.guess)
        self.wide = nn.ModuleList(Wide(FEATURES, WIDE, dilation) for dilation in DILATIONS)
        self.heatmaps = Head(HEATMAPS)
        self.pafs = Head(PAFS)

    def early_trains(self, trains: bool) -> None:
        """Whether the blocks up to stride 8, which are the large network's own, learn as well."""
        for module in (self.stem, *self.trunk[: len(EARLY)]):
            module.requires_grad_(trains)

    def narrowed(self, x: Tensor) -> Tensor:
        """(N, 128, h, w): what the trunk gives."""
        y: Tensor = torch.relu(self.narrow(self.trunk(torch.relu(self.stem(x)))))
        return y

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(self.narrowed(x))

    def head(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps and features from what the trunk gives."""
        features = torch.relu(self.middle(x))
        x = features
        for layer in self.guess:
            x = torch.relu(layer(x))
        for layer in self.wide:
            x = layer(x)
        return torch.cat([self.heatmaps(x), self.pafs(x)], 1), features


def size_of(state: dict[str, Tensor]) -> Size:
    """The size of the network that weights are of.

    Raises:
        ValueError: it is neither `WIDER` nor `SHIPPED`.
    """
    late, middle = state["narrow.weight"].shape[1], state["middle.inner.weight"].shape[0]
    for size in (WIDER, SHIPPED):
        if (size.late, size.middle) == (late, middle):
            return size
    raise ValueError(f"expected weights of nano, of {WIDER.late} or {SHIPPED.late} channels at stride 8; found {late}")
