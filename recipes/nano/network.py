"""nano: human-pose-estimation-0001 made a fifth as large, for training. `export/networks/nano.py` writes it as ONNX.

Every layer is a convolution with a bias, and ReLU or nothing after it: no batch norm, so that what trains is what ships.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

HEATMAPS = 19
PAFS = 38
MAPS = HEATMAPS + PAFS
FEATURES = 128
# Of the trunk's first blocks, up to stride 8: channels of the pointwise convolution, stride of the depthwise one.
EARLY = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
# Dilations of the depthwise convolutions of its other blocks.
DILATED = (1, 2, 1, 1, 1, 1)
# Channels inside the blocks with a wide view, and inside the one that looks at stride 4.
WIDE, DETAIL = 48, 32
# Of the blocks up to stride 8, the one that gives the detail.
AT_STRIDE_4 = 2


@dataclass(frozen=True)
class Size:
    """What differs between the networks that were trained one after another; the last ships.

    Attributes:
        late: channels of the blocks at stride 8.
        ranks: of their pointwise convolutions.
        middle, guess: ranks of the 3x3 convolutions: of the one that gives the features, and of the first guess.
        dilations: of the blocks with a wide view.
        detail: whether the heat maps see stride 4.
        narrow: rank of the convolution behind the trunk; None: it is whole.
        hidden: channels inside a head.
    """

    late: int
    ranks: tuple[int, ...]
    middle: int
    guess: tuple[int, ...]
    dilations: tuple[int, ...] = (3,)
    detail: bool = False
    narrow: int | None = None
    hidden: int = 128


WIDER = Size(late=512, ranks=(80, 72, 72, 108, 104, 88), middle=56, guess=(40, 40, 32))
# Multiples of 16: a processor with AVX-512 computes so many channels at once.
SLIM = Size(late=384, ranks=(80, 64, 64, 96, 96, 80), middle=48, guess=(32, 32, 32))
FARTHER = replace(SLIM, dilations=(3, 9, 5), detail=True)
SHIPPED = replace(FARTHER, narrow=64, hidden=96)
SIZES = (WIDER, SLIM, FARTHER, SHIPPED)


class Depthwise(nn.Module):
    """A 3x3 convolution of each channel by itself, ReLU, and a 1x1 one of all, in two factors where a rank is given; ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1, rank: int | None = None) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, dilation, dilation, inputs)
        self.pointwise = pointwise(inputs, outputs, rank)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.pointwise(torch.relu(self.around(x))))

    def around(self, x: Tensor) -> Tensor:
        """What the 3x3 convolution gives.

        A dilated one is computed without dilation on every second (third, ...) row and column by itself, which is the same: the gradient of a
        dilated depthwise convolution's weights in bfloat16 on the CPU reads memory that is not its own (PyTorch 2.13), and is slow in float32.
        """
        layer, step = self.depthwise, self.depthwise.dilation[0]
        count, channels, rows, columns = x.shape
        if step == 1:
            y: Tensor = layer(x)
            return y
        if rows % step or columns % step:
            with torch.autocast(x.device.type, enabled=False):
                return functional.conv2d(x.float(), layer.weight, layer.bias, 1, step, step, channels)
        x = x.permute(0, 2, 3, 1).reshape(count, rows // step, step, columns // step, step, channels)
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(-1, rows // step, columns // step, channels).permute(0, 3, 1, 2)
        x = functional.conv2d(x, layer.weight, layer.bias, 1, 1, 1, channels)
        x = x.permute(0, 2, 3, 1).reshape(count, step, step, rows // step, columns // step, channels)
        return x.permute(0, 3, 1, 4, 2, 5).reshape(count, rows, columns, channels).permute(0, 3, 1, 2)


class Factored(nn.Module):
    """A convolution as two: to `rank` channels, without a bias, and from there by 1x1; nothing between."""

    def __init__(self, inputs: int, outputs: int, rank: int, kernel: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(inputs, rank, kernel, 1, kernel // 2, bias=False)
        self.outer = nn.Conv2d(rank, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.outer(self.inner(x))
        return y


def pointwise(inputs: int, outputs: int, rank: int | None) -> nn.Module:
    """A 1x1 convolution, in two factors where a rank is given."""
    return nn.Conv2d(inputs, outputs, 1) if rank is None else Factored(inputs, outputs, rank, 1)


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


class Detail(nn.Module):
    """What stride 4 shows of a place, beside what is known of it at stride 8, added; begins as nothing."""

    def __init__(self, fine: int, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(fine, fine, 3, 2, 1, 1, fine)
        self.pointwise = nn.Conv2d(fine, DETAIL, 1)
        self.beside = nn.Conv2d(channels, DETAIL, 1)
        self.second = nn.Conv2d(DETAIL, DETAIL, 3, 1, 1)
        self.third = nn.Conv2d(DETAIL, channels, 1)
        nn.init.zeros_(self.third.weight)
        nn.init.zeros_(self.third.bias)

    def forward(self, x: Tensor, fine: Tensor) -> Tensor:
        both = torch.relu(self.pointwise(torch.relu(self.depthwise(fine))) + self.beside(x))
        return torch.relu(x + self.third(torch.relu(self.second(both))))


class Head(nn.Module):
    """Maps from features, by way of hidden channels."""

    def __init__(self, maps: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(FEATURES, hidden, 1)
        self.maps = nn.Conv2d(hidden, maps, 1)

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
        self.narrow = pointwise(width, FEATURES, size.narrow)
        self.middle = Factored(FEATURES, FEATURES, size.middle, 3)
        self.guess = nn.ModuleList(Factored(FEATURES, FEATURES, rank, 3) for rank in size.guess)
        self.wide = nn.ModuleList(Wide(FEATURES, WIDE, dilation) for dilation in size.dilations)
        self.detail = Detail(EARLY[AT_STRIDE_4][0], FEATURES) if size.detail else None
        self.heatmaps = Head(HEATMAPS, size.hidden)
        self.pafs = Head(PAFS, size.hidden)

    def early_trains(self, trains: bool) -> None:
        """Whether the blocks up to stride 8, which are the large network's own, learn as well."""
        for module in (self.stem, *self.trunk[: len(EARLY)]):
            module.requires_grad_(trains)

    def narrowed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the trunk gives: (N, 128, h, w) at its end, and (N, 128, 2 h, 2 w) at stride 4."""
        fine: Tensor = self.trunk[: AT_STRIDE_4 + 1](torch.relu(self.stem(x)))
        return torch.relu(self.narrow(self.trunk[AT_STRIDE_4 + 1 :](fine))), fine

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(*self.narrowed(x))

    def head(self, x: Tensor, fine: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Maps and features from what the trunk gives."""
        features = torch.relu(self.middle(x))
        x = features
        for layer in self.guess:
            x = torch.relu(layer(x))
        for layer in self.wide:
            x = layer(x)
        detailed = x if self.detail is None or fine is None else self.detail(x, fine)
        return torch.cat([self.heatmaps(detailed), self.pafs(x)], 1), features


def size_of(state: dict[str, Tensor]) -> Size:
    """The size of the network that weights are of.

    Raises:
        ValueError: it is none of `SIZES`.
    """
    names = {name: tuple(value.shape) for name, value in state.items()}
    for size in SIZES:
        if {name: tuple(value.shape) for name, value in Nano(size).state_dict().items()} == names:
            return size
    raise ValueError(f"expected weights of nano, in one of the sizes of recipes/nano/network.py; found {len(names)} arrays of other shapes")
