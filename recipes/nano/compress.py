"""The beginning of nano's weights: those of human-pose-estimation-0001, with fewer dimensions where its activations use fewer.

Layer after layer, a factored convolution is fitted to what the large network's layer gives, from what the small network has at that
place (reduced-rank regression), so that a layer makes up for the ones before it. It takes a minute, and no training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from network import HEATMAPS, MAPS, PAFS, Factored, Head, Nano
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

# Layers of the large network, in the order of the small one's.
EARLY = ("conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv4_1")
LATE = ("conv4_2", "conv5_1", "conv5_2", "conv5_3", "conv5_4", "conv5_5")
NARROW, MIDDLE = "conv4_3_CPM/al/WithoutBiases", "conv4_4_CPM/WithoutBiases"
GUESS = tuple(f"conv5_{number}_CPM_L1/WithoutBiases" for number in (1, 2, 3))
HIDDEN = {"pafs": "conv5_4_CPM_L1/WithoutBiases", "heatmaps": "conv5_4_CPM_L2/WithoutBiases"}
MAPS_OUT = ("Mconv7_stage2_L2", "Mconv7_stage2_L1")
RIDGE = 1e-4
# Cells that each layer is fitted to.
ROWS = 30_000


class Large:
    """The large network in PyTorch: its weights by layer, and what each layer gives before its activation."""

    def __init__(self, path: Path) -> None:
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(str(path)).graph
        self.nodes = list(graph.node)
        arrays = {one.name: torch.from_numpy(np.array(numpy_helper.to_array(one), np.float32)) for one in graph.initializer}
        self.constants = arrays
        self.weights = {node.name: [arrays[name] for name in node.input if name in arrays] for node in self.nodes}

    def outputs(self, pictures: Tensor, wanted: set[str]) -> dict[str, Tensor]:
        """What the layers in `wanted` (node names) give for (N, 3, H, W) BGR, 0 to 255."""
        values: dict[str, Tensor] = {"data": pictures}
        kept: dict[str, Tensor] = {}
        for node in self.nodes:
            taken = [values[name] if name in values else self.constants[name] for name in node.input]
            settings = {one.name: list(one.ints) or one.i for one in node.attribute if one.name != "alpha"}
            values[node.output[0]] = self.apply(node.op_type, taken, settings)
            if node.name in wanted or node.output[0] in wanted:
                kept[node.name if node.name in wanted else node.output[0]] = values[node.output[0]]
        return kept

    @staticmethod
    def apply(kind: str, taken: list[Tensor], settings: dict[str, object]) -> Tensor:
        """One node of the few kinds that it has."""
        simple: dict[str, Callable[[], Tensor]] = {
            "Mul": lambda: taken[0] * taken[1],
            "Add": lambda: taken[0] + taken[1],
            "Relu": lambda: torch.relu(taken[0]),
            "Elu": lambda: functional.elu(taken[0]),
            "Concat": lambda: torch.cat(taken, 1),
        }
        if kind == "Conv":
            return functional.conv2d(
                *taken,
                stride=settings["strides"],
                padding=settings["pads"][:2],
                dilation=settings["dilations"],
                groups=settings["group"],  # type: ignore
            )
        return simple[kind]()


def fitted(inputs: Tensor, wanted: Tensor, rank: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """The best linear way, of at most a rank, from inputs (n, d) to what is wanted (n, m).

    Returns:
        inner (r, d), whose outputs vary by 1, outer (m, r), bias (m,); without a rank inner is (m, d) and outer the identity.
    """
    x, y = inputs.double(), wanted.double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    covariance = x.T @ x / len(x)
    covariance += RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
    whole = torch.linalg.solve(covariance, x.T @ y / len(x))
    if rank is None:
        return whole.T.float(), torch.eye(whole.shape[1]), (mean_y - mean_x @ whole).float()
    scale = y.std(0).clamp(min=1e-4).sqrt()
    weighed = whole / scale
    _, vectors = torch.linalg.eigh(weighed.T @ covariance @ weighed)
    basis = vectors[:, -rank:]
    inner = weighed @ basis
    spread = (inner * (covariance @ inner)).sum(0).sqrt().clamp(min=1e-6)
    inner, outer = inner / spread, (basis * spread) * scale[:, None]
    return inner.T.float(), outer.float(), (mean_y - mean_x @ inner @ outer.T).float()


def columns(x: Tensor, kernel: int, rows: NDArray[np.intp] | None) -> Tensor:
    """(n, c * kernel * kernel) of what a convolution sees at each cell of (N, c, h, w), or at the cells in `rows`."""
    if kernel > 1:
        x = functional.unfold(x, kernel, padding=kernel // 2).reshape(len(x), -1, *x.shape[2:])
    flat = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    return flat if rows is None else flat[torch.from_numpy(rows)]


def fit_factored(layer: Factored, x: Tensor, wanted: Tensor, rows: NDArray[np.intp]) -> None:
    """Fit a factored convolution from (N, c, h, w) to (N, m, h, w)."""
    kernel = layer.inner.kernel_size[0]
    inner, outer, bias = fitted(columns(x, kernel, rows), columns(wanted, 1, rows), layer.inner.out_channels)
    layer.inner.weight.copy_(inner.reshape(layer.inner.weight.shape))
    layer.outer.weight.copy_(outer[:, :, None, None])
    assert layer.outer.bias is not None
    layer.outer.bias.copy_(bias)


def fit_head(head: Head, x: Tensor, hidden: Tensor, wanted: Tensor, rows: NDArray[np.intp]) -> None:
    """Fit a head: the hidden channels that vary most of the large network's, then maps from them."""
    spread = torch.relu(columns(hidden, 1, rows)).std(0)
    chosen = spread.argsort(descending=True)[: head.hidden.out_channels]
    weight, _, bias = fitted(columns(x, 1, rows), columns(hidden, 1, rows)[:, chosen], None)
    for layer, (matrix, shift) in ((head.hidden, (weight, bias)),):
        layer.weight.copy_(matrix[:, :, None, None])
        layer.bias.copy_(shift)  # type: ignore[union-attr]
    weight, _, bias = fitted(columns(torch.relu(head.hidden(x)), 1, rows), columns(wanted, 1, rows), None)
    head.maps.weight.copy_(weight[:, :, None, None])
    head.maps.bias.copy_(bias)  # type: ignore[union-attr]


@torch.no_grad()
def compress(net: Nano, large: Large, pictures: NDArray[np.uint8], seed: int = 0, report: Callable[[str], None] = lambda _: None) -> None:
    """Fill `net` from the large network and what it gives for (N, H, W, 3) BGR pictures."""
    images = torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32))
    wanted = {f"{name}/sep" for name in LATE} | {NARROW, MIDDLE, *GUESS, *HIDDEN.values(), *MAPS_OUT}
    parts = [large.outputs(images[first : first + 4], wanted) for first in range(0, len(images), 4)]
    given = {name: torch.cat([part[name] for part in parts]) for name in wanted}
    cells = given[NARROW].shape[0] * given[NARROW].shape[2] * given[NARROW].shape[3]
    rows = np.random.default_rng(seed).permutation(cells)[:ROWS]
    take(net.stem, large.weights["conv1"])
    x = (images - 128) / 256
    x = torch.relu(net.stem(x))
    for block, name in zip(net.trunk, (*EARLY, *LATE), strict=True):
        take(block.depthwise, large.weights[f"{name}/dw"])  # type: ignore[union-attr, arg-type]
        x = torch.relu(block.depthwise(x))  # type: ignore[operator, union-attr]
        if name in EARLY:
            take(block.pointwise, large.weights[f"{name}/sep"])  # type: ignore[union-attr, arg-type]
        else:
            fit_factored(block.pointwise, x, given[f"{name}/sep"], rows)  # type: ignore[union-attr, arg-type]
        x = block.pointwise(x)  # type: ignore[operator, union-attr]
        if name not in EARLY:
            report(f"{name}: error {error(x, given[f'{name}/sep']):.3f}")
        x = torch.relu(x)
    weight, _, bias = fitted(columns(x, 1, rows), columns(given[NARROW], 1, rows), None)
    take(net.narrow, [weight[:, :, None, None], bias])
    x = torch.relu(net.narrow(x))
    for layer, name in zip((net.middle, *net.guess), (MIDDLE, *GUESS), strict=True):
        fit_factored(layer, x, given[name], rows)  # type: ignore[arg-type]
        x = layer(x)
        report(f"{name}: error {error(x, given[name]):.3f}")
        x = torch.relu(x)
    for head, name, maps in ((net.heatmaps, "heatmaps", MAPS_OUT[0]), (net.pafs, "pafs", MAPS_OUT[1])):
        fit_head(head, x, given[HIDDEN[name]], given[maps], rows)
        report(f"{name}: error {error(head(x), given[maps]):.3f}")


def take(layer: torch.nn.Conv2d, weights: list[Tensor]) -> None:
    """Copy weight and bias as they are."""
    layer.weight.copy_(weights[0])
    assert layer.bias is not None
    layer.bias.copy_(weights[1])


def error(given: Tensor, wanted: Tensor) -> float:
    """Share of the variance that is missed, of what a ReLU lets through."""
    given, wanted = torch.relu(given), torch.relu(wanted)
    return float(((given - wanted) ** 2).sum() / ((wanted - wanted.mean((0, 2, 3), keepdim=True)) ** 2).sum())


assert HEATMAPS + PAFS == MAPS
