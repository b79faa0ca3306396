"""A trained network with fewer channels and lower ranks: each layer fitted to what the wider network's gives (see `compress.py`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from compress import ROWS, columns, error, fit_factored, fitted, take
from network import Depthwise, Factored, Head, Nano
from numpy.typing import NDArray
from torch import Tensor, nn


@torch.no_grad()
def slim(wide: Nano, net: Nano, pictures: NDArray[np.uint8], seed: int = 0, report: Callable[[str], None] = lambda _: None) -> None:
    """Fill `net` from `wide` and what it gives for (N, H, W, 3) BGR pictures.

    Of the channels of a block those stay that matter most to the next.
    """
    given = (torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32)) - 128) / 256
    take(net.stem, _weights(wide.stem))
    given = torch.relu(wide.stem(given))
    x, kept = given, torch.arange(given.shape[1])
    rows: NDArray[np.intp] | None = None
    blocks: list[tuple[Depthwise, Depthwise]] = list(zip(wide.trunk, net.trunk, strict=True))  # type: ignore[arg-type]
    for index, (large, small) in enumerate(blocks):
        weight, bias = _weights(large.depthwise)
        take(small.depthwise, [weight[kept], bias[kept]])
        given, x = (torch.relu(block.depthwise(value)) for block, value in ((large, given), (small, x)))
        given = large.pointwise(given)
        if isinstance(small.pointwise, Factored):
            if rows is None:
                rows = np.random.default_rng(seed).permutation(given.shape[0] * given.shape[2] * given.shape[3])[:ROWS]
            after = blocks[index + 1][0] if index + 1 < len(blocks) else wide.narrow
            kept = most_important(torch.relu(given), after, small.pointwise.outer.out_channels)
            fit_factored(small.pointwise, x, given[:, kept], rows)
        else:
            take(small.pointwise, _weights(large.pointwise))
            kept = torch.arange(given.shape[1])
        x = small.pointwise(x)
        report(f"trunk.{index}: error {error(x, given[:, kept]):.3f}")
        given, x = torch.relu(given), torch.relu(x)
    given = wide.narrow(given)
    weight, _, bias = fitted(columns(x, 1, rows), columns(given, 1, rows), None)
    take(net.narrow, [weight[:, :, None, None], bias])
    given, x = torch.relu(given), torch.relu(net.narrow(x))
    for name, large, small in zip(
        ("middle", "guess.0", "guess.1", "guess.2"), (wide.middle, *wide.guess), (net.middle, *net.guess), strict=True
    ):
        given = large(given)
        fit_factored(small, x, given, rows)  # type: ignore[arg-type]
        x = small(x)
        report(f"{name}: error {error(x, given):.3f}")
        given, x = torch.relu(given), torch.relu(x)
    for part in ("wide", "heatmaps", "pafs"):
        getattr(net, part).load_state_dict(getattr(wide, part).state_dict())


@torch.no_grad()
def trim(large: Nano, net: Nano, pictures: NDArray[np.uint8], seed: int = 0) -> None:
    """Fill `net` from `large`, whose trunk has as many channels: the layer behind it in factors, and heads of fewer hidden channels.

    Both are fitted to what `large` gives for (N, H, W, 3) BGR pictures; all else is copied.
    """
    x = (torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32)) - 128) / 256
    own, old = net.state_dict(), large.state_dict()
    net.load_state_dict({name: old[name] if name in old and old[name].shape == value.shape else value for name, value in own.items()})
    x = large.trunk(torch.relu(large.stem(x)))
    rows = np.random.default_rng(seed).permutation(x.shape[0] * x.shape[2] * x.shape[3])[:ROWS]
    given = large.narrow(x)
    fit_factored(net.narrow, x, given, rows)  # type: ignore[arg-type]
    x = torch.relu(large.middle(torch.relu(given)))
    for layer in large.guess:
        x = torch.relu(layer(x))
    for layer in large.wide:
        x = layer(x)
    for name in ("heatmaps", "pafs"):
        _fewer_hidden(getattr(large, name), getattr(net, name), x, rows)


def _fewer_hidden(large: Head, small: Head, x: Tensor, rows: NDArray[np.intp]) -> None:
    """The hidden channels that matter most to the maps, and the maps fitted from them."""
    hidden = torch.relu(large.hidden(x))
    kept = most_important(hidden, large.maps, small.hidden.out_channels)
    take(small.hidden, [weight[kept] for weight in _weights(large.hidden)])  # type: ignore[index]
    weight, _, bias = fitted(columns(hidden[:, kept], 1, rows), columns(large.maps(hidden), 1, rows), None)
    take(small.maps, [weight[:, :, None, None], bias])


def most_important(given: Tensor, after: nn.Module, count: int) -> Tensor:
    """(count,) channels of (N, c, h, w), in order, whose changes change most what the layer `after` them gives."""
    if isinstance(after, Depthwise):
        pointwise = after.pointwise
        given = torch.relu(after.depthwise(given))
        weight = (
            (pointwise.outer.weight[:, :, 0, 0] @ pointwise.inner.weight[:, :, 0, 0])
            if isinstance(pointwise, Factored)
            else pointwise.weight
        )
    else:
        weight = after.weight
    matters = given.std((0, 2, 3)) * weight.reshape(weight.shape[0], -1).norm(dim=0)
    return matters.argsort(descending=True)[:count].sort().values


def _weights(layer: nn.Module) -> list[Tensor]:
    """Weight and bias of a convolution."""
    return [layer.weight, layer.bias]  # type: ignore[list-item]
