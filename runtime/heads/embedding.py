"""Associative embedding: heat maps, and tags that are alike for the parts of one person (Newell et al. 2017, arXiv 1611.05424).

HigherHRNet, EfficientHRNet and OpenVINO's human-pose-estimation-0005 to 0007 are of this kind. Tags may have several dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Decoder, Head, Preset, Tensors
from posetrt.runtime.heads.paf.peaks import PeakFinder, Peaks
from posetrt.runtime.heads.subpixel import GRIDS, Grid, probability, to_pixels
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People, nobody

MOST_PEAKS = 30
"""Most peaks of a part. Source: HigherHRNet, MAX_NUM_PEOPLE."""

MOST_PEOPLE = 128
"""Most people that grow at the same time; on a map of noise every peak would be one."""


@dataclass(frozen=True)
class EmbeddingSettings:
    """Thresholds of a preset.

    Attributes:
        peak: least probability of a part that people are made of.
        weak: least probability of a part that fills a gap in a person, above 0.
        person: least score of a person.
        parts: least parts of a person.
    """

    peak: float = 0.3
    weak: float = 0.1
    person: float = 0.1
    parts: int = 3


PRESETS: Mapping[Preset, EmbeddingSettings] = {
    "balanced": EmbeddingSettings(),
    "precise": EmbeddingSettings(peak=0.4, person=0.25, parts=5),
    "all": EmbeddingSettings(peak=0.2, person=0.0, parts=2),
    "evaluate": EmbeddingSettings(weak=0.03, person=0.0, parts=1),
}
"""The peak of 0.3 comes from MoveNet's maps alone, on 110 everyday photographs with YOLO's people as truth: AP .317, beside .300 with 0.25 and .319
with 0.35. HigherHRNet's own is 0.1."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingHead(Head):
    """Outputs of K parts: `heatmaps` (N, K, h, w); `tags` (N, K * dimensions, h', w'); where the network has them, `fine` (N, K, 2h, 2w), heat maps
    of a higher resolution, which then give the places, while a score is the mean of both. Heat maps and tags may be one tensor: first the K
    heat maps, then the tags.

    Attributes:
        dimensions: of a tag.
        tag_order: whether the channels of a part's tag follow one another ("part"), or those of a dimension do ("dimension").
        tag_threshold: tags nearer than that are of one person, in the tags' own unit. Source: HigherHRNet, TAG_THRESHOLD.
        order: the parts in the order in which they are grouped, the surest first; empty for their own order.
        nms_radius: of the peaks of a part nearer than that along both axes, in cells, the highest stays. Source: HigherHRNet, NMS_KERNEL 5.
        logits: whether heat maps are logits.
        negated: whether the graph has negated each heat map's value that is no peak, as OpenVINO's do.
        grid: where cells lie in the network's input; see `subpixel.GRIDS`.
    """

    kind: ClassVar[str] = "embedding"
    roles: ClassVar[tuple[str, ...]] = ("heatmaps", "tags", "fine")

    dimensions: int = 1
    tag_order: Literal["part", "dimension"] = "part"
    tag_threshold: float = 1.0
    order: tuple[int, ...] = ()
    nms_radius: float = 2.0
    logits: bool = False
    negated: bool = False
    grid: Grid = "centre"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not {"heatmaps", "tags"} <= set(self.outputs):
            raise UsageError(f"a head 'embedding' has heatmaps and tags; got {', '.join(self.outputs)}")
        if not (isinstance(self.dimensions, int) and self.dimensions > 0) or not self.tag_threshold > 0:
            raise UsageError(f"dimensions and tag_threshold are above 0; got {self.dimensions!r} and {self.tag_threshold!r}")
        if self.tag_order not in ("part", "dimension") or self.grid not in GRIDS:
            raise UsageError(f"tag_order is part or dimension, grid one of {', '.join(GRIDS)}; got {self.tag_order!r} and {self.grid!r}")

    def check(self, skeleton: Skeleton) -> None:
        """Refuse a skeleton without parts, or an order that is not its parts'."""
        parts = len(skeleton.parts)
        if not parts or (self.order and sorted(self.order) != list(range(parts))):
            raise UsageError(
                f"a head 'embedding' groups each of the {parts} parts of skeleton {skeleton.name!r} once; got order {self.order!r}"
            )

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> Decoder:
        """A decoder for one thread."""
        self.check(skeleton)
        return EmbeddingDecoder(self, skeleton, options or DecodeOptions())

    def picture_names(self) -> tuple[str, ...]:
        """The heat maps."""
        return ("heatmaps",)

    def picture(self, name: str, tensors: Tensors, skeleton: Skeleton) -> NDArray[np.float32]:
        """The greatest of all heat maps, (h, w)."""
        if name != "heatmaps":
            return super().picture(name, tensors, skeleton)
        maps = self.tensor(tensors, "fine" if "fine" in self.outputs else "heatmaps")
        top = np.asarray(maps[0, : len(skeleton.parts)], np.float32)
        top = (np.abs(top) if self.negated else top).max(axis=0)
        return probability(top) if self.logits else top


class EmbeddingDecoder:
    """Groups the peaks of a part at a time with the people so far, by the distance of their tags, as HigherHRNet does (nearest first).

    A person's score is the mean of the probabilities of all parts, 0 for those not found.

    Args:
        head: what the outputs are.
        skeleton: of the network.
        options: of the user.
    """

    def __init__(self, head: EmbeddingHead, skeleton: Skeleton, options: DecodeOptions) -> None:
        self._head, self._parts = head, len(skeleton.parts)
        self._settings = PRESETS[options.preset]
        self._least = self._settings.person if options.min_score is None else options.min_score
        self._order = head.order or tuple(range(self._parts))
        self._finder = PeakFinder(
            self._parts, threshold=self._settings.weak, limit=MOST_PEAKS, noisy_from=1 << 30, noisy_threshold=self._settings.weak
        )

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:
        """See `Decoder.decode`."""
        heat, tags, fine = self._read(tensors)
        with np.errstate(all="ignore"):
            return [self._frame(heat[i], tags[i], None if fine is None else fine[i], size_wh) for i in range(len(heat))]

    def _read(self, tensors: Tensors) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating] | None]:
        """Heat maps (N, K, h, w), tags (N, K, dimensions, h, w) and finer heat maps."""
        head, parts = self._head, self._parts
        width = parts * head.dimensions
        heat, tags = head.tensor(tensors, "heatmaps"), head.tensor(tensors, "tags")
        fine = head.tensor(tensors, "fine") if "fine" in head.outputs else None
        joint = head.outputs["heatmaps"] == head.outputs["tags"]
        if joint and heat.ndim == 4 and heat.shape[1] == parts + width:
            heat, tags = heat[:, :parts], tags[:, parts:]
        elif tags.ndim == 5 and tags.shape[-1] == head.dimensions:
            tags = np.moveaxis(tags, -1, 2).reshape(len(tags), width, *tags.shape[2:4])
        maps_fit = all(each is None or (each.ndim == 4 and each.shape[1] == parts and each.size) for each in (heat, fine))
        if not maps_fit or tags.ndim != 4 or tags.shape[:2] != (len(heat), width) or (fine is not None and len(fine) != len(heat)):
            came = ", ".join(f"{role} {tuple(head.tensor(tensors, role).shape)}" for role in head.outputs)
            raise UsageError(
                f"a head 'embedding' with {parts} parts and tags of {head.dimensions} has heat maps (N, {parts}, h, w) and tags "
                f"(N, {width}, h, w), or both in one; got {came}"
            )
        by_part = (len(tags), parts, head.dimensions) if head.tag_order == "part" else (len(tags), head.dimensions, parts)
        tags = tags.reshape(*by_part, *tags.shape[2:])
        return heat, tags if head.tag_order == "part" else tags.swapaxes(1, 2), fine

    def _frame(
        self, heat: NDArray[np.floating], tags: NDArray[np.floating], fine: NDArray[np.floating] | None, size_wh: tuple[int, int]
    ) -> People:
        """People of one frame."""
        maps = heat if fine is None else fine
        sure = np.ascontiguousarray(maps, np.float32)
        if self._head.negated:
            sure = np.abs(sure)
        peaks = _highest(self._finder.find(probability(sure) if self._head.logits else sure), self._head.nms_radius)
        if not len(peaks.part):
            return nobody(self._parts)
        points = np.ascontiguousarray(peaks.points.T)
        if fine is not None:
            coarse = _read_at(heat, peaks, fine.shape[1:])
            points[:, 2] = (points[:, 2] + (probability(coarse) if self._head.logits else coarse)) / 2
        np.minimum(points[:, 2], np.float32(1), out=points[:, 2])
        own = _read_at(tags.swapaxes(1, 2).swapaxes(2, 3), peaks, maps.shape[1:])
        members, means = self._group(peaks, points[:, 2], own)
        self._fill(members, means, peaks, points[:, 2], own)
        found = members >= 0
        to_pixels(points, (maps.shape[1], maps.shape[2]), size_wh, grid=self._head.grid)
        keypoints = np.where(found[..., None], points[members], np.float32(0))
        scores = keypoints[..., 2].mean(axis=1)
        kept = np.argsort(-scores, kind="stable")
        kept = kept[(scores[kept] >= max(self._least, 1e-6)) & (found[kept].sum(axis=1) >= self._settings.parts)]
        return People(keypoints[kept], scores[kept])

    def _group(self, peaks: Peaks, values: NDArray[np.float32], tags: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """People of the sure peaks.

        Args:
            peaks: P of them.
            values: (P,): probabilities.
            tags: (P, dimensions).

        Returns:
            (G, K): the number of each person's peak of each part, -1 for none; (G, dimensions): the mean of each person's tags.
        """
        members = np.full((MOST_PEOPLE, self._parts), -1, np.int64)
        sums = np.zeros((MOST_PEOPLE, tags.shape[1]), np.float32)
        counts = np.zeros(MOST_PEOPLE, np.float32)
        people = 0
        begin = peaks.counts.cumsum() - peaks.counts
        tags = np.where(np.isfinite(tags), tags, np.float32(1e18))
        for part in self._order:
            mine = np.arange(begin[part], begin[part] + peaks.counts[part])
            mine = mine[values[mine] >= self._settings.peak]
            mine = mine[np.argsort(-values[mine], kind="stable")]
            free = np.ones(len(mine), np.bool_)
            if people and len(mine):
                means = sums[:people] / counts[:people, None]
                apart = np.sqrt(((tags[mine, None] - means) ** 2).sum(axis=2)) / np.float32(self._head.tag_threshold)
                one, other = (apart < 1).nonzero()
                # Of tags about as near the higher peak first. Source: HigherHRNet, group.py (USE_DETECTION_VAL).
                cost = apart[one, other] - 0.1 * values[mine[one]]
                best = np.argsort(cost, kind="stable")
                taken: set[int] = set()
                for peak, person in zip(one[best].tolist(), other[best].tolist(), strict=True):
                    if free[peak] and person not in taken:
                        free[peak] = False
                        taken.add(person)
                        members[person, part] = mine[peak]
                        sums[person] += tags[mine[peak]]
                        counts[person] += 1
            new = mine[free][: MOST_PEOPLE - people]
            members[people : people + len(new), part] = new
            sums[people : people + len(new)] = tags[new]
            counts[people : people + len(new)] = 1
            people += len(new)
        return members[:people], sums[:people] / counts[:people, None]

    def _fill(
        self,
        members: NDArray[np.int64],
        means: NDArray[np.float32],
        peaks: Peaks,
        values: NDArray[np.float32],
        tags: NDArray[np.float32],
    ) -> None:
        """Give people their missing parts, in place: of the peaks that nobody has, the weak ones too, the best by value and tag.

        Source: HigherHRNet, group.py, refine.
        """
        free = np.ones(len(values), np.bool_)
        free[members[members >= 0]] = False
        begin = peaks.counts.cumsum() - peaks.counts
        for part in range(self._parts):
            spare = begin[part] + free[begin[part] : begin[part] + peaks.counts[part]].nonzero()[0]
            lacking = (members[:, part] < 0).nonzero()[0]
            if not len(spare) or not len(lacking):
                continue
            apart = np.sqrt(((tags[spare] - means[lacking, None]) ** 2).sum(axis=2)) / np.float32(self._head.tag_threshold)
            worth = np.where(apart < 1, values[spare] * (1 - apart), np.float32(0))
            best = worth.argmax(axis=1)
            good = worth[np.arange(len(lacking)), best] > 0
            members[lacking[good], part] = spare[best[good]]


def _highest(peaks: Peaks, radius: float) -> Peaks:
    """Those that no higher peak of the same part is near to."""
    x, y, value = peaks.points
    near = peaks.part[:, None] == peaks.part
    near &= np.abs(x[:, None] - x) <= radius
    near &= np.abs(y[:, None] - y) <= radius
    higher = value[:, None] < value
    higher |= (value[:, None] == value) & np.tri(len(value), k=-1, dtype=np.bool_)
    kept = ~(near & higher).any(axis=1)
    return Peaks(peaks.points[:, kept], peaks.part[kept], np.bincount(peaks.part[kept], minlength=len(peaks.counts)))


def _read_at(maps: NDArray[np.floating], peaks: Peaks, shape_hw: tuple[int, ...]) -> NDArray[np.float32]:
    """Of maps (K, h, w) or (K, h, w, dimensions) each peak's value at the cell nearest to it; `shape_hw` is of the maps that peaks were found in."""
    height, width = maps.shape[1:3]
    column = np.rint((peaks.points[0] + 0.5) * (width / shape_hw[1]) - 0.5).astype(np.int64).clip(0, width - 1)
    row = np.rint((peaks.points[1] + 0.5) * (height / shape_hw[0]) - 0.5).astype(np.int64).clip(0, height - 1)
    return np.asarray(maps[peaks.part, row, column], np.float32)
