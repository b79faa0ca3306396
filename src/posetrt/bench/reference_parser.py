"""What the parser is measured against: the plain decoder of the papers, and the floor that memory sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.people import People, nobody

_SAMPLES = 10


def read_once(heatmaps: NDArray[np.floating], pafs: NDArray[np.floating]) -> tuple[float, float]:
    """Touch every value of both maps once, as cheaply as NumPy can: no parser that looks at all of them is faster."""
    return float(heatmaps.max()), float(pafs.max())


class UpsamplingDecoder:
    """The decoder that comes with most trainings: maps upsampled by the stride, blurred, whole-pixel peaks, a loop over limbs.

    Written for comparison after arXiv 1611.08050 and the widely copied Python decoders; it uses OpenCV for the resize and the
    blur, and NumPy for the rest, on one thread.

    Args:
        layout: with PAF channels.
        scale: how much the maps are enlarged (bicubic, half-pixel centres).
        blur: sigma of the Gaussian that smooths the enlarged heat maps, in their pixels; 0 for none.
        peak_threshold, pair_threshold, pair_share: as in `ParserSettings`.
        min_parts: least parts of a person.
        min_score: least sum of part and limb scores over the number of parts.
    """

    def __init__(
        self,
        layout: MapLayout,
        *,
        scale: int = 8,
        blur: float = 3.0,
        peak_threshold: float = 0.1,
        pair_threshold: float = 0.05,
        pair_share: float = 0.8,
        min_parts: int = 4,
        min_score: float = 0.4,
    ) -> None:
        self.layout, self.skeleton, self.scale, self.blur = layout, layout.skeleton, scale, blur
        self.peak_threshold, self.pair_threshold, self.pair_share = peak_threshold, pair_threshold, pair_share
        self.min_parts, self.min_score = min_parts, min_score

    def parse(self, heatmaps: NDArray[np.floating], pafs: NDArray[np.floating]) -> People:
        """People of one frame, in cells of the maps as they came; shapes as in `PafParser.parse`."""
        parts = len(self.skeleton.parts)
        large = self._enlarge(heatmaps[:parts])
        fields = self._enlarge(pafs)
        peaks = [self._peaks(large[:, :, part]) for part in range(parts)]
        people: list[tuple[dict[int, int], float]] = []
        for limb, (first, second) in enumerate(self.skeleton.limbs):
            x_channel, y_channel = self.layout.paf_channels[limb]
            pairs = self._match(peaks[first], peaks[second], fields[:, :, x_channel], fields[:, :, y_channel])
            people = self._join(people, pairs, first, second, peaks)
        return self._people(people, peaks)

    def _enlarge(self, maps: NDArray[np.floating]) -> NDArray[np.float32]:
        """(C, h, w) to (h * scale, w * scale, C)."""
        import cv2

        last = np.ascontiguousarray(maps.transpose(1, 2, 0), np.float32)
        large: NDArray[np.float32] = cv2.resize(last, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_CUBIC)  # type: ignore[assignment]
        return large

    def _peaks(self, heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
        """(P, 3): column, row, score of one part's peaks, in enlarged pixels."""
        import cv2

        smooth = cv2.GaussianBlur(heatmap, (0, 0), self.blur) if self.blur else heatmap
        padded = np.pad(smooth, 1)
        peak = (
            (smooth > self.peak_threshold)
            & (smooth >= padded[1:-1, :-2])
            & (smooth > padded[1:-1, 2:])
            & (smooth >= padded[:-2, 1:-1])
            & (smooth > padded[2:, 1:-1])
        )
        rows, columns = np.nonzero(peak)
        return np.stack([columns, rows, heatmap[rows, columns]], axis=1).astype(np.float32)

    def _match(
        self, first: NDArray[np.float32], second: NDArray[np.float32], field_x: NDArray[np.float32], field_y: NDArray[np.float32]
    ) -> list[tuple[int, int, float]]:
        """One limb's pairs (first, second, score): line integrals of all, then greedy by score."""
        if not len(first) or not len(second):
            return []
        way = second[None, :, :2] - first[:, None, :2]
        length = np.maximum(np.linalg.norm(way, axis=2), 1e-6)
        steps = np.linspace(0, 1, _SAMPLES)[:, None]
        places = np.rint(first[:, None, None, :2] + steps * way[:, :, None]).astype(int)
        unit = way / length[:, :, None]
        along = field_x[places[..., 1], places[..., 0]] * unit[..., :1] + field_y[places[..., 1], places[..., 0]] * unit[..., 1:]
        score = along.mean(axis=2) + np.minimum(0.5 * field_x.shape[0] / length - 1, 0)
        good = ((along > self.pair_threshold).mean(axis=2) > self.pair_share) & (score > 0)
        pairs: list[tuple[int, int, float]] = []
        for flat in np.argsort(-score, axis=None):
            a, b = divmod(int(flat), len(second))
            if good[a, b] and all(a != pair[0] and b != pair[1] for pair in pairs):
                pairs.append((a, b, float(score[a, b])))
        return pairs

    @staticmethod
    def _join(
        people: list[tuple[dict[int, int], float]],
        pairs: list[tuple[int, int, float]],
        first: int,
        second: int,
        peaks: list[NDArray[np.float32]],
    ) -> list[tuple[dict[int, int], float]]:
        """Add one limb's pairs to the people found so far: extend, merge those that share no part, or begin."""
        for a, b, score in pairs:
            found = [index for index, (parts, _) in enumerate(people) if parts.get(first) == a or parts.get(second) == b]
            if len(found) == 1:
                parts, total = people[found[0]]
                if parts.get(second) != b and second not in parts:
                    parts[second] = b
                    people[found[0]] = parts, total + score + float(peaks[second][b, 2])
                elif parts.get(first) != a and first not in parts:
                    parts[first] = a
                    people[found[0]] = parts, total + score + float(peaks[first][a, 2])
            elif len(found) == 2:
                (one, one_total), (other, other_total) = people[found[0]], people[found[1]]
                if not one.keys() & other.keys():
                    people[found[0]] = one | other, one_total + other_total + score
                    del people[found[1]]
            elif not found:
                people.append(({first: a, second: b}, score + float(peaks[first][a, 2] + peaks[second][b, 2])))
        return people

    def _people(self, people: list[tuple[dict[int, int], float]], peaks: list[NDArray[np.float32]]) -> People:
        kept = [(parts, score) for parts, score in people if len(parts) >= self.min_parts and score / len(parts) >= self.min_score]
        kept.sort(key=lambda person: -person[1])
        if not kept:
            return nobody(len(peaks))
        keypoints = np.zeros((len(kept), len(peaks), 3), np.float32)
        for index, (parts, _) in enumerate(kept):
            for part, peak in parts.items():
                x, y, score = peaks[part][peak]
                keypoints[index, part] = (x + 0.5) / self.scale - 0.5, (y + 0.5) / self.scale - 0.5, max(score, 1e-6)
        return People(keypoints, np.array([score for _, score in kept], np.float32))
