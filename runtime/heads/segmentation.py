"""Segmentation: heat maps, and masks of body parts that join them (Xia et al. 2017, joint pose and part segmentation, arXiv 1708.03383).

Two peaks are of one person where the mask of the limb between them is high along the way. Where people overlap, a mask covers the ways
between their parts as well. Then the matching counts that makes the sum of the squared lengths least: it joins the parts of two people
who are one the other shifted as they belong, for `|a1 - b1|^2 + |a2 - b2|^2` is least where `a1 - a2` and `b1 - b2` point alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Decoder, Head, Preset, Tensors
from posetrt.runtime.heads.paf.assembly import Assembler
from posetrt.runtime.heads.paf.matching import match_exactly
from posetrt.runtime.heads.paf.pairs import Pairs
from posetrt.runtime.heads.paf.peaks import PeakFinder, Peaks
from posetrt.runtime.heads.subpixel import GRIDS, Grid, probability, to_pixels
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People, nobody

SAMPLES = 12
"""Places along a limb at which its mask is read, evenly spaced between its two ends."""

MOST_PEAKS = 100
"""Most peaks of a part; the best by value stay. It bounds the work on a noisy map: 10,000 pairs of a limb."""

SQUARE_WEIGHT = np.float32(10)
"""How much the square of a limb's length, as a share of the map's diagonal, counts beside the mean of its mask, when limbs are matched. From 1
to 20 serve alike on drawn people with blurred and noisy masks."""

_LEAST_RANK = np.float32(1e-3)


@dataclass(frozen=True)
class SegmentationSettings:
    """Thresholds of a preset.

    Attributes:
        peak: least probability of a part, above 0.
        limb: least mean of the mask along a limb.
        inside: least share of the samples where the mask is above a half.
        parts: least parts of a person.
        person: least score of a person.
    """

    peak: float = 0.1
    limb: float = 0.5
    inside: float = 0.75
    parts: int = 3
    person: float = 0.1


PRESETS: Mapping[Preset, SegmentationSettings] = {
    "balanced": SegmentationSettings(),
    "precise": SegmentationSettings(peak=0.2, limb=0.6, parts=5, person=0.25),
    "all": SegmentationSettings(parts=2, person=0.0),
    "evaluate": SegmentationSettings(parts=2, person=0.0),
}


@dataclass(frozen=True, kw_only=True)
class SegmentationHead(Head):
    """Outputs: `heatmaps` (N, K or K + 1, h, w), a background behind them is not read; `masks` (N, P, h', w') of body parts.

    Attributes:
        limb_masks: for each limb of the skeleton the channel of the mask that covers it, as both upper arms may have one; empty where each limb
            has its own, in the skeleton's order.
        heatmap_logits, mask_logits: whether they are logits.
        grid: where cells lie in the network's input; see `subpixel.GRIDS`.
    """

    kind: ClassVar[str] = "segmentation"
    roles: ClassVar[tuple[str, ...]] = ("heatmaps", "masks")
    maps: ClassVar[tuple[str, ...]] = ("heatmaps", "masks")

    limb_masks: tuple[int, ...] = ()
    heatmap_logits: bool = False
    mask_logits: bool = False
    grid: Grid = "centre"

    def __post_init__(self) -> None:
        super().__post_init__()
        if set(self.outputs) != set(self.roles):
            raise UsageError(f"a head 'segmentation' has the outputs heatmaps and masks; got {', '.join(self.outputs)}")
        if self.grid not in GRIDS or any(not isinstance(mask, int) or mask < 0 for mask in self.limb_masks):
            raise UsageError(f"grid is one of {', '.join(GRIDS)}, limb_masks are channels; got {self.grid!r} and {self.limb_masks!r}")

    def masks_of(self, skeleton: Skeleton) -> tuple[int, ...]:
        """For each limb the channel of its mask."""
        return self.limb_masks or tuple(range(len(skeleton.limbs)))

    def check(self, skeleton: Skeleton) -> None:
        """Refuse a skeleton without limbs, or with others than there are masks for."""
        if not skeleton.limbs or len(self.masks_of(skeleton)) != len(skeleton.limbs):
            raise UsageError(
                f"a head 'segmentation' joins parts along limbs, each with a mask; skeleton {skeleton.name!r} has {len(skeleton.limbs)} limbs, and "
                f"limb_masks names {len(self.limb_masks) or 'one for each'}"
            )

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> Decoder:
        """A decoder for one thread."""
        self.check(skeleton)
        return SegmentationDecoder(self, skeleton, options or DecodeOptions())

    def picture_names(self) -> tuple[str, ...]:
        """Both."""
        return ("heatmaps", "masks")

    def picture(self, name: str, tensors: Tensors, skeleton: Skeleton) -> NDArray[np.float32]:
        """The greatest of all heat maps, or of all limbs' masks, (h, w)."""
        if name not in self.picture_names():
            return super().picture(name, tensors, skeleton)
        maps = np.asarray(self.tensor(tensors, name)[0], np.float32)
        logits = self.heatmap_logits if name == "heatmaps" else self.mask_logits
        chosen = maps[: len(skeleton.parts)] if name == "heatmaps" else maps[sorted(set(self.masks_of(skeleton)))]
        top = chosen.max(axis=0)
        return probability(top) if logits else top


class SegmentationDecoder:
    """Peaks, pairs along the masks, and the parser's assembly.

    A person's score is the mean of what all parts and as many limbs have: probabilities and masks, 0 for what was not found; at most 1.

    Args:
        head: what the outputs are.
        skeleton: of the network.
        options: of the user.
    """

    def __init__(self, head: SegmentationHead, skeleton: Skeleton, options: DecodeOptions) -> None:
        self._head, self._parts = head, len(skeleton.parts)
        self._settings = PRESETS[options.preset]
        self._least = self._settings.person if options.min_score is None else options.min_score
        self._limbs, self._masks = np.array(skeleton.limbs, np.int64), head.masks_of(skeleton)
        self._assembler = Assembler(skeleton.limbs)
        least = self._settings.peak
        self._finder = PeakFinder(self._parts, threshold=least, limit=MOST_PEAKS, noisy_from=1 << 30, noisy_threshold=least)

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:
        """See `Decoder.decode`."""
        heat, masks = self._head.tensor(tensors, "heatmaps"), self._head.tensor(tensors, "masks")
        needed = max(self._masks) + 1
        if (
            heat.ndim != 4
            or masks.ndim != 4
            or heat.shape[1] not in (self._parts, self._parts + 1)
            or masks.shape[1] < needed
            or len(heat) != len(masks)
        ):
            raise UsageError(
                f"a head 'segmentation' with {self._parts} parts has heat maps (N, {self._parts} or {self._parts + 1}, h, w) and {needed} or more "
                f"masks; got {tuple(heat.shape)} and {tuple(masks.shape)}"
            )
        with np.errstate(all="ignore"):
            return [self._frame(heat[i, : self._parts], masks[i], size_wh) for i in range(len(heat))]

    def _frame(self, heat: NDArray[np.floating], masks: NDArray[np.floating], size_wh: tuple[int, int]) -> People:
        """People of one frame."""
        heat = np.ascontiguousarray(heat, np.float32)
        peaks = self._finder.find(probability(heat) if self._head.heatmap_logits else heat)
        if not len(peaks.part):
            return nobody(self._parts)
        pairs = self._pairs(peaks, masks, heat.shape[1:])
        pairs = pairs.take(np.array(match_exactly(pairs, len(peaks.part)), np.int64))
        points = np.ascontiguousarray(peaks.points.T)
        np.minimum(points[:, 2], np.float32(1), out=points[:, 2])
        to_pixels(points, (heat.shape[1], heat.shape[2]), size_wh, grid=self._head.grid)
        found = []
        for person in self._assembler.assemble(pairs.rows(), len(points)):
            if len(person.peaks) >= self._settings.parts:
                score = (float(points[person.peaks, 2].sum()) + person.limb_score) / (2 * self._parts)
                if score >= self._least:
                    found.append((min(score, 1.0), person.peaks))
        found.sort(key=lambda each: -each[0])
        keypoints = np.zeros((len(found), self._parts, 3), np.float32)
        for row, (_, nodes) in enumerate(found):
            keypoints[row, peaks.part[nodes]] = points[nodes]
        return People(keypoints, np.array([score for score, _ in found], np.float32))

    def _pairs(self, peaks: Peaks, masks: NDArray[np.floating], shape_hw: tuple[int, ...]) -> Pairs:
        """Every two peaks that a limb's mask joins, best first."""
        height, width = masks.shape[1:]
        scale = np.array([width / shape_hw[1], height / shape_hw[0]], np.float32)
        places = (peaks.points[:2].T + np.float32(0.5)) * scale - np.float32(0.5)
        begin = peaks.counts.cumsum() - peaks.counts
        way = np.linspace(0, 1, SAMPLES, dtype=np.float32)[:, None]
        diagonal = np.float32(np.hypot(height, width))
        numbers, scores, ranks = [], [], []
        for limb, ((first, second), mask) in enumerate(zip(self._limbs.tolist(), self._masks, strict=True)):
            a, b = (begin[part] + np.arange(peaks.counts[part]) for part in (first, second))
            one, other = (each.reshape(-1) for each in np.meshgrid(a, b, indexing="ij"))
            if not len(one):
                continue
            start, stop = places[one], places[other]
            column, row = (
                np.rint(start[:, axis] + way * (stop[:, axis] - start[:, axis])).astype(np.int64).clip(0, size - 1)
                for axis, size in ((0, width), (1, height))
            )
            along = np.asarray(masks[mask], np.float32)[row, column]
            if self._head.mask_logits:
                along = probability(along)
            mean = along.mean(axis=0)
            good = (mean > self._settings.limb) & ((along > 0.5).mean(axis=0) >= self._settings.inside)
            score = np.minimum(mean[good], 1)
            square = (((stop - start)[good] / diagonal) ** 2).sum(axis=1)
            numbers.append(np.stack([np.full(len(score), limb), one[good], other[good]]))
            scores.append(score)
            ranks.append(np.maximum(1 + score - SQUARE_WEIGHT * square, _LEAST_RANK))
        if not numbers:
            return Pairs(np.zeros((3, 0), np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
        rank = np.concatenate(ranks)
        order = np.argsort(-rank, kind="stable")
        return Pairs(np.concatenate(numbers, axis=1)[:, order], np.concatenate(scores)[order], rank[order])
