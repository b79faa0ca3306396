"""The parser: heat maps and PAFs of the network's own resolution to people, in NumPy."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from operator import itemgetter
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.paf.assembly import Assembler
from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.heads.paf.matching import match_exactly
from posetrt.runtime.heads.paf.pairs import Pairs, PairScorer, ranked
from posetrt.runtime.heads.paf.peaks import PeakFinder, Peaks
from posetrt.runtime.people import People, nobody

Assignment = Literal["exact", "greedy"]
_score_of = itemgetter(0)


@dataclass(frozen=True)
class ParserSettings:
    """Thresholds of the parser.

    Attributes:
        peak_threshold: least heat-map value of a peak, above 0.
        noisy_from: a part with more peaks than this has a noisy map, of which
        noisy_threshold: is the least value of a peak.
        max_peaks: most peaks a part; the best by value stay.
        samples: places along a limb at which its PAF is read, 1 to 255.
        middle_threshold: least PAF along the limb in its middle; pairs below it are not looked at further.
        pair_threshold: a sample agrees where the PAF along the limb is above this.
        pair_share: least share of the samples that must agree.
        pair_score: a limb's mean PAF must be above this.
        max_pairs: most candidate pairs that are scored in full, all limbs together.
        min_parts: least parts of a person; toes and heels do not count.
        min_score: least score of a person; below it textures are found more often than somebody.
    """

    peak_threshold: float = 0.06
    noisy_from: int = 32
    noisy_threshold: float = 0.15
    max_peaks: int = 100
    samples: int = 8
    middle_threshold: float = 0.05
    pair_threshold: float = 0.0
    pair_share: float = 0.6
    pair_score: float = 0.03
    max_pairs: int = 10_000
    min_parts: int = 5
    min_score: float = 0.5


PRESETS = {
    "balanced": ParserSettings(),
    "precise": ParserSettings(min_parts=5, min_score=0.8),
    "all": ParserSettings(min_parts=2, min_score=0.0),
}


class PafParser:
    """Turns a network's maps into people. Made once for a layout, used for every frame, from one thread.

    Args:
        layout: which map is what.
        preset: "balanced"; "precise" drops small and doubtful people; "all" keeps any two joined parts that are no toes or heels.
        assignment: "exact": for each limb the matching of the greatest total rank; "greedy": best first.
        overrides: fields of `ParserSettings` that replace the preset's.

    Raises:
        UsageError: an unknown preset, assignment or field.
    """

    def __init__(self, layout: MapLayout, *, preset: str = "balanced", assignment: Assignment = "exact", **overrides: float) -> None:
        known = {each.name for each in fields(ParserSettings)}
        if preset not in PRESETS:
            raise UsageError(f"no parser preset {preset!r}: give one of {', '.join(PRESETS)}")
        if assignment not in get_args(Assignment):
            raise UsageError(f'assignment must be "exact" or "greedy", not {assignment!r}')
        if overrides.keys() - known:
            raise UsageError(f"unknown parser settings {sorted(overrides.keys() - known)}; there are {sorted(known)}")
        changes: dict[str, Any] = dict(overrides)
        skeleton = layout.skeleton
        self.layout, self.skeleton, self.settings = layout, skeleton, replace(PRESETS[preset], **changes)
        settings = self.settings
        if not (settings.peak_threshold > 0 and 1 <= settings.samples <= 255):
            raise UsageError(f"peak_threshold must be above 0 and samples 1 to 255, not {settings.peak_threshold} and {settings.samples}")
        self._assembler = Assembler(skeleton.limbs)
        # A foot has up to four key points in a cell or two: a leg would be a person by its toes alone.
        self._counting = sum(1 << part for part, name in enumerate(skeleton.parts) if not name.lower().endswith(("toe", "heel")))
        self._exact, self._least = assignment == "exact", (settings.min_parts, settings.min_score)
        self._shapes: tuple[tuple[int, ...], ...] = ()
        self._peaks = PeakFinder(
            len(skeleton.parts),
            threshold=settings.peak_threshold,
            limit=settings.max_peaks,
            noisy_from=settings.noisy_from,
            noisy_threshold=settings.noisy_threshold,
        )
        self._pairs = PairScorer(
            layout,
            samples=settings.samples,
            middle=settings.middle_threshold,
            agree=settings.pair_threshold,
            share=settings.pair_share,
            least=settings.pair_score,
            limit=settings.max_pairs,
        )

    def parse(self, heatmaps: NDArray[np.floating], pafs: NDArray[np.floating]) -> People:
        """People of one frame.

        Args:
            heatmaps: (J or J+1, h, w) float32 or float16, any memory order; a background map is not looked at.
            pafs: (2C, h, w) of the same kind.

        Returns:
            People with x, y in heat-map cells, centres at integers.

        Raises:
            UsageError: the shapes are not the skeleton's.
        """
        shapes = heatmaps.shape, pafs.shape
        if shapes != self._shapes:
            self._check(heatmaps, pafs)
            self._shapes = shapes
        with np.errstate(all="ignore"):
            peaks = self._peaks.find(heatmaps)
            return self._people(peaks, self._pairs.score(pafs, peaks))

    def parse_decoded(self, peaks: NDArray[np.float32], pairs: NDArray[np.float32]) -> People:
        """People of one frame whose peaks and line integrals the graph itself has found.

        Args:
            peaks: (J, K, 3) float32: x, y in heat-map cells, score; score 0 marks an empty slot.
            pairs: (C, K, K) float32: score of peak a of the limb's first part with peak b of its second, 0 for no pair.

        Raises:
            UsageError: the shapes are not the skeleton's.
        """
        parts, limbs = len(self.skeleton.parts), len(self.layout.paf_channels)
        if peaks.ndim != 3 or peaks.shape[0] != parts or peaks.shape[2] != 3:
            raise UsageError(f"peaks of skeleton {self.skeleton.name!r} have shape ({parts}, K, 3), not {tuple(peaks.shape)}")
        slots = peaks.shape[1]
        if pairs.shape != (limbs, slots, slots):
            raise UsageError(
                f"pairs of skeleton {self.skeleton.name!r} beside {slots} peaks a part have shape {(limbs, slots, slots)}, "
                f"not {tuple(pairs.shape)}"
            )
        with np.errstate(all="ignore"):
            valid = (peaks[..., 2] > self.settings.peak_threshold) & np.isfinite(peaks).all(axis=2)
            found = Peaks(peaks[valid].T, valid.nonzero()[0], valid.sum(axis=1))
            first, second = np.array(self.skeleton.limbs, np.int64).T
            usable = (pairs > 0) & (pairs < np.inf) & valid[first, :, None] & valid[second, None, :]
            limb, a, b = usable.nonzero()
            number = valid.cumsum().reshape(valid.shape) - 1
            score = pairs[usable]
            return self._people(found, ranked(np.stack([limb, number[first[limb], a], number[second[limb], b]]), score, found))

    def parse_batch(self, heatmaps: NDArray[np.floating], pafs: NDArray[np.floating]) -> list[People]:
        """People of each frame of a batch: heat maps (N, J or J+1, h, w), PAFs (N, 2C, h, w)."""
        if len(pafs) != len(heatmaps):
            raise UsageError(f"{len(heatmaps)} frames of heat maps came with {len(pafs)} of PAFs; give as many of each")
        return [self.parse(*maps) for maps in zip(heatmaps, pafs, strict=True)]

    def time_stages(self, heatmaps: NDArray[np.floating], pafs: NDArray[np.floating]) -> dict[str, float]:
        """Milliseconds of processor time of each stage on one frame: peaks, pairs (line integrals), people (matching and assembly)."""
        with np.errstate(all="ignore"):
            times = [time.thread_time()]
            peaks = self._peaks.find(heatmaps)
            times.append(time.thread_time())
            pairs = self._pairs.score(pafs, peaks)
            times.append(time.thread_time())
            self._people(peaks, pairs)
            times.append(time.thread_time())
        return {stage: (times[i + 1] - times[i]) * 1e3 for i, stage in enumerate(("peaks", "pairs", "people"))}

    def _check(self, heatmaps: NDArray[np.floating], pafs: NDArray[np.floating]) -> None:
        """Refuse maps of another skeleton."""
        parts, limbs = len(self.skeleton.parts), len(self.layout.paf_channels)
        if heatmaps.ndim != 3 or heatmaps.shape[0] not in (parts, parts + 1):
            raise UsageError(
                f"heat maps of skeleton {self.skeleton.name!r} have shape ({parts} or {parts + 1}, h, w), not {tuple(heatmaps.shape)}; "
                "give one frame, and the skeleton that the network was trained on"
            )
        if pafs.shape != (2 * limbs, *heatmaps.shape[1:]):
            raise UsageError(f"PAFs must have shape {(2 * limbs, *heatmaps.shape[1:])} beside these heat maps, not {tuple(pafs.shape)}")

    def _people(self, peaks: Peaks, pairs: Pairs) -> People:
        """Match, assemble, score and filter."""
        candidates = pairs.rows()
        if self._exact:
            chosen = match_exactly(pairs, len(peaks.part))
            if len(chosen) < len(candidates):
                candidates = [candidates[pair] for pair in chosen]
        part, values = peaks.part.tolist(), peaks.points[2].tolist()
        parts, counting, (least, least_score) = len(peaks.counts), self._counting, self._least
        found: list[tuple[float, list[int]]] = []
        for person in self._assembler.assemble(candidates, len(values)):
            if (person.parts & counting).bit_count() >= least:
                nodes = person.peaks
                score = (sum([values[node] for node in nodes]) + person.limb_score) / len(nodes)
                if score >= least_score:
                    found.append((score, nodes))
        if not found:
            return nobody(parts)
        found.sort(key=_score_of, reverse=True)
        nothing = len(values)
        nodes_of_all: list[int] = []
        for _, nodes in found:
            row = [nothing] * parts
            for node in nodes:
                row[part[node]] = node
            nodes_of_all += row
        points = np.zeros((nothing + 1, 3), np.float32)
        points[:nothing] = peaks.points.T
        keypoints = points.take(np.fromiter(nodes_of_all, np.int64), axis=0).reshape(-1, parts, 3)
        return People(keypoints, np.fromiter([score for score, _ in found], np.float32))
