"""SimCC: for each part two distributions over positions, one along x and one along y (Li et al. 2022, arXiv 2107.03332).

RTMPose, RTMW, DWPose and CIGPose give them. A position's bin is a fraction of a pixel of the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Decoder, Head, Scope, Tensors
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

STEP = 4
"""Bins from the best one to the two that a parabola is laid through. On Gaussians of 4.9 to 6.9 bins, as networks are trained on, with noise of
2 % the error is .28 to .57 of the best bin's alone. No step is best for all: 6 to 8 bins
have up to a fifth less error on the widest, 3 a little less on the narrowest."""

FLATTEST = 1e-6
"""Least bend of the parabola, which keeps its vertex finite."""

_REACH, _FLATTEST, _INFINITE, _NOTHING, _ONE = (np.array(value, np.float32) for value in (STEP / 2, FLATTEST, np.inf, 0, 1))


@dataclass(frozen=True, kw_only=True)
class SimccHead(Head):
    """Two outputs, `x` (N, K, W * split_ratio) and `y` (N, K, H * split_ratio): logits or probabilities.

    Attributes:
        split_ratio: bins per pixel of the network's input; bin b lies at pixel b / split_ratio.
        refine: whether a parabola through the best bin and two beside it gives the place within the bin.
    """

    kind: ClassVar[str] = "simcc"
    roles: ClassVar[tuple[str, ...]] = ("x", "y")

    scope: Scope = field(default="crop")
    split_ratio: float = 2.0
    refine: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if set(self.outputs) != set(self.roles):
            raise UsageError(f"a head 'simcc' has two outputs, x and y; got {', '.join(self.outputs)}")
        if not (isinstance(self.split_ratio, int | float) and 0 < self.split_ratio < 100):
            raise UsageError(f"split_ratio is how many bins a pixel has, above 0; got {self.split_ratio!r}")

    def check(self, skeleton: Skeleton) -> None:
        """Refuse a skeleton without parts."""
        if not skeleton.parts:
            raise UsageError("a head 'simcc' finds parts, and this skeleton has none; name another with --skeleton")

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> Decoder:
        """A decoder for one thread; the options change nothing, as each crop is one person."""
        del options
        self.check(skeleton)
        return SimccDecoder(self, skeleton)


class SimccDecoder:
    """One person of each crop.

    A part's score is the lesser of its two maxima, as mmpose has it (`get_simcc_maximum`), at most 1. For raw logits that is no probability,
    but networks are trained with them close to a Gaussian of height 1. A part whose score is not above 0 is not found. A person's score is
    the mean of the parts'.

    Args:
        head: what the outputs are.
        skeleton: of the network.
    """

    def __init__(self, head: SimccHead, skeleton: Skeleton) -> None:
        self._head, self._parts = head, len(skeleton.parts)

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:
        """See `Decoder.decode`."""
        both = [self._bins(tensors, role, size) for role, size in zip(("x", "y"), size_wh, strict=True)]
        count = len(both[0])
        if len(both[1]) != count:
            raise UsageError(f"a head 'simcc' got x of {count} crops and y of {len(both[1])}; give the outputs of one batch")
        points = np.empty((3, count * self._parts), np.float32)
        with np.errstate(all="ignore"):
            best = best_bins(both, self._head.refine, points[:2])
            points[:2] *= np.float32(1 / self._head.split_ratio)
            score = np.minimum(best[0], best[1], out=points[2])
            # Of one comparison each: what is no number is neither above 0 nor below infinity.
            found = np.maximum(best[0], best[1]) < _INFINITE
            found &= score > _NOTHING
        np.minimum(score, _ONE, out=score)
        if not found.all():
            points[:, ~found] = 0
        keypoints = points.T.reshape(count, self._parts, 3)
        return one_each(keypoints, keypoints[..., 2].mean(axis=1))

    def _bins(self, tensors: Tensors, role: str, size: int) -> NDArray[np.float32]:
        bins = self._head.tensor(tensors, role)
        expected = round(size * self._head.split_ratio)
        if bins.ndim != 3 or bins.shape[1:] != (self._parts, expected):
            raise UsageError(
                f"a head 'simcc' with {self._parts} parts and {self._head.split_ratio:g} bins per pixel has {role} (crops, {self._parts}, "
                f"{expected}) for an input of {size} pixels; got {tuple(bins.shape)}"
            )
        return np.ascontiguousarray(bins, np.float32)


def best_bins(both: Sequence[NDArray[np.float32]], refine: bool, places: NDArray[np.float32]) -> NDArray[np.float32]:
    """The best bin of each part along both axes.

    Args:
        both: along x and along y: (N, K, bins) float32.
        refine: whether a parabola gives the place within the bin.
        places: (2, N * K) float32 that take the places in bins.

    Returns:
        (2, N * K) float32: the maxima.
    """
    near = np.empty((3, 2, places.shape[1]), np.float32)
    inner = np.empty(places.shape, np.bool_)
    for axis, bins in enumerate(both):
        width = bins.shape[2]
        best = bins.argmax(axis=2).reshape(-1)
        places[axis] = best
        if refine:
            np.less(np.abs(best + best - (width - 1)), width - 2 * STEP, out=inner[axis])
        best += np.arange(0, bins.size, width)
        flat = bins.reshape(-1)
        flat.take(best, out=near[1, axis], mode="clip")
        if refine:
            flat.take(best - STEP, out=near[0, axis], mode="clip")
            flat.take(best + STEP, out=near[2, axis], mode="clip")
    before, value, after = near
    if refine:
        bend = value + value
        bend -= before
        bend -= after
        after -= before
        after /= np.fmax(bend, _FLATTEST, out=bend)
        after *= _REACH
        # Near the end of the bins there is nothing to lay a parabola through.
        after *= inner
        places += np.fmin(np.fmax(after, -_REACH, out=after), _REACH, out=after)
    return value


def one_each(keypoints: NDArray[np.float32], scores: NDArray[Any]) -> list[People]:
    """One person of each crop: key points (N, K, 3) and scores (N,)."""
    return [People(keypoints[i : i + 1], np.asarray(scores[i : i + 1], np.float32)) for i in range(len(keypoints))]
