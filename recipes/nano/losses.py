"""What training makes small."""

from __future__ import annotations

import numpy as np
import torch
from batches import PEAK_CELLS, mirrored_channels
from network import HEATMAPS
from torch import Tensor
from torch.nn import functional

from posetrt.runtime.heads.paf.layout import MapLayout

LEAST_PEAK = 0.4
LEAST_HEAT = 0.03
# Mean square of the teacher's features, by which their loss is about 1 for a network that gives nothing.
FEATURE_POWER = 0.05


def map_loss(guess: Tensor, target: Tensor, weighed: Tensor, known: Tensor, pafs: float = 0.7) -> Tensor:
    """Squared error with the rare cells that hold something weighed up, scaled so that guessing nothing costs about 1.

    Heat maps: 1 + 12 t, PAFs: 1 + 6 |t|, where t is the greater of what is wanted and what is given: a person who is not there costs as
    much as one who is missed. With what is wanted alone, a network in doubt marks .6 where one time in ten is right. The background
    counts a fifth, since it repeats what the others say.

    Args:
        weighed: the maps that t is taken of in the weights: `either_side` of the target.
        known: the paper's W: 1 where the target is sure, less where it is not.
        pafs: weight of the PAFs.
    """
    background = target[:, HEATMAPS - 1 : HEATMAPS]
    error = (guess - target) ** 2 * known
    weighed = torch.maximum(weighed.abs(), guess.detach().abs()).clamp(0, 1)
    loss_heat = (error[:, : HEATMAPS - 1] * (1 + 12 * weighed[:, : HEATMAPS - 1].clamp(0, 1))).mean()
    loss_background = (error[:, HEATMAPS - 1 : HEATMAPS] * (2 - background).clamp(1, 2)).mean()
    loss_paf = (error[:, HEATMAPS:] * (1 + 6 * weighed[:, HEATMAPS:].abs())).mean()
    return 120 * loss_heat + 120 * pafs * loss_paf + 5 * loss_background


def either_side(target: Tensor, layout: MapLayout) -> Tensor:
    """Maps as high as the target of their own or of the other side.

    With the target itself as the weight, a false right knee on the left one costs a thirteenth of a right knee that is missed, so that a
    network in doubt marks both, and the parser cannot tell them apart.
    """
    source, _ = mirrored_channels(layout)
    return torch.maximum(target.abs(), target[:, torch.from_numpy(source)].abs())


def place_loss(guess: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """How far the peaks lie from where they should, in cells; squared error hardly feels it where peaks are wide.

    At each peak of the target above LEAST_PEAK the logarithms of the two neighbours in a row, and in a column, tell where the maximum of a
    Gaussian of the target's width lies, as they do for the parser. How high the guess is does not matter.

    Args:
        weights: (18,) of the parts, 1 on average.
    """
    parts = len(weights)
    wanted, given = target[:, :parts], guess[:, :parts]
    inside = wanted[:, :, 1:-1, 1:-1]
    peaks = ((inside > LEAST_PEAK) & (inside >= functional.max_pool2d(wanted, 3, 1))).float()
    wrong = given.clamp(min=LEAST_HEAT).log() - wanted.clamp(min=LEAST_HEAT).log()
    half = PEAK_CELLS**2 / 2
    offsets = torch.stack([wrong[:, :, 1:-1, 2:] - wrong[:, :, 1:-1, :-2], wrong[:, :, 2:, 1:-1] - wrong[:, :, :-2, 1:-1]]) * half
    error = functional.smooth_l1_loss(offsets, torch.zeros_like(offsets), beta=0.1, reduction="none").sum(dim=0)
    return (error * peaks * weights[None, :, None, None]).sum() / peaks.sum().clamp(min=1)


def place_weights(layout: MapLayout) -> Tensor:
    """(18,) by the inverse of OKS's sigmas: what is judged by less tolerance counts more."""
    inverse = 1 / layout.skeleton.tolerances()
    return torch.from_numpy((inverse / inverse.mean()).astype(np.float32))


def feature_loss(guess: Tensor, target: Tensor, hinted: Tensor) -> Tensor:
    """Squared error against the teacher's features, where there are any."""
    per_crop = ((guess - target) ** 2).mean(dim=(1, 2, 3)) / FEATURE_POWER
    return (per_crop * hinted).sum() / hinted.sum().clamp(min=1)
