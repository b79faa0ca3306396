"""Offsets: heat maps, short offsets and mid-range displacements (Papandreou et al. 2018, PersonLab, arXiv 1803.08225), as PoseNet has them.

A short offset leads from a cell to the part whose heat map is high there; a displacement from a part to another part of the same person,
along the edges of a tree, forward (parent to child) and backward. People are grown from their best parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Decoder, Head, Preset, Tensors
from posetrt.runtime.heads.subpixel import probability
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People, nobody

POSENET_EDGES: tuple[tuple[int, int], ...] = (
    *((0, 1), (1, 3), (0, 2), (2, 4), (0, 5), (5, 7), (7, 9), (5, 11), (11, 13), (13, 15)),
    *((0, 6), (6, 8), (8, 10), (6, 12), (12, 14), (14, 16)),
)
"""Parent and child of each edge, in the order of the displacements' channels. Source: PoseNet for TensorFlow.js, keypoints.ts."""

MOST_ROOTS = 512
"""Most parts that people are grown from in one frame; the best stay. It bounds the work on a noisy map."""

MOST_PEOPLE = 100
"""Most people of one frame; those with the best roots stay."""

REFINEMENTS = 2
"""How often a displaced point is refined by the short offset of the cell where it lies. Source: PoseNet, offsetRefineStep."""


@dataclass(frozen=True)
class OffsetsSettings:
    """Thresholds of a preset.

    Attributes:
        root: least probability of a part that a person is grown from.
        part: least probability of a part that counts as found.
        person: least score of a person.
    """

    root: float = 0.3
    part: float = 0.1
    person: float = 0.15


PRESETS: Mapping[Preset, OffsetsSettings] = {
    "balanced": OffsetsSettings(),
    "precise": OffsetsSettings(root=0.5, part=0.2, person=0.3),
    "all": OffsetsSettings(root=0.3, part=0.02, person=0.0),
    "evaluate": OffsetsSettings(root=0.3, part=0.0, person=0.0),
}


@dataclass(frozen=True, kw_only=True)
class OffsetsHead(Head):
    """Outputs of K parts and E edges: `heatmaps` (K channels), `offsets` (2 K), `forward` and `backward` (2 E each), maps of one size.

    Cell (column, row) lies at pixel (column, row) * stride: an input of 16 n + 1 pixels has n + 1 cells at stride 16, the outer ones on its
    outer pixels.

    Attributes:
        stride: pixels between two cells.
        edges: parent and child part of each edge, in the order of the channels; together a tree over all parts.
        channels: whether the maps are (N, h, w, C), "last", or (N, C, h, w), "first".
        y_first: whether an offset's and a displacement's first half of the channels is along y.
        logits: whether heat maps are logits.
        nms_radius: a root nearer than that to the same part of a person already found, in pixels, is that person's.
    """

    kind: ClassVar[str] = "offsets"
    roles: ClassVar[tuple[str, ...]] = ("heatmaps", "offsets", "forward", "backward")

    stride: int = 16
    edges: tuple[tuple[int, int], ...] = POSENET_EDGES
    channels: Literal["first", "last"] = "first"
    y_first: bool = True
    logits: bool = True
    nms_radius: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if set(self.outputs) != set(self.roles):
            raise UsageError(f"a head 'offsets' has the outputs {', '.join(self.roles)}; got {', '.join(self.outputs)}")
        if not (isinstance(self.stride, int) and self.stride > 0) or not self.nms_radius > 0:
            raise UsageError(f"stride and nms_radius are pixels, above 0; got {self.stride!r} and {self.nms_radius!r}")
        if self.channels not in ("first", "last"):
            raise UsageError(f'channels are "first" or "last"; got {self.channels!r}')

    def check(self, skeleton: Skeleton) -> None:
        """Refuse a skeleton whose parts the edges do not join to one tree."""
        parts = len(skeleton.parts)
        reached = {0}
        for _ in self.edges:
            reached |= {end for edge in self.edges for end in edge if reached & set(edge)}
        if len(self.edges) != parts - 1 or reached != set(range(parts)):
            raise UsageError(
                f"a head 'offsets' joins parts along {len(self.edges)} edges, {list(self.edges)}; they must make one tree of the {parts} parts of "
                f"skeleton {skeleton.name!r}"
            )

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> Decoder:
        """A decoder for one thread."""
        self.check(skeleton)
        return OffsetsDecoder(self, skeleton, options or DecodeOptions())

    def picture_names(self) -> tuple[str, ...]:
        """The heat maps."""
        return ("heatmaps",)

    def picture(self, name: str, tensors: Tensors, skeleton: Skeleton) -> NDArray[np.float32]:
        """The greatest of all heat maps, (h, w)."""
        if name != "heatmaps":
            return super().picture(name, tensors, skeleton)
        maps = np.asarray(self.tensor(tensors, "heatmaps")[0], np.float32)
        top = maps.max(axis=-1 if self.channels == "last" else 0)
        return probability(top) if self.logits else top


@dataclass(frozen=True)
class _Maps:
    """One frame's maps, flat: (h * w, channels)."""

    shape_hw: tuple[int, int]
    heat: NDArray[np.float32]
    short: NDArray[np.float32]
    way: NDArray[np.float32]


class OffsetsDecoder:
    """People from their best parts on, as PoseNet for TensorFlow.js grows them, all of them at once.

    A person's score is the mean of the parts' probabilities, where a part nearer than the NMS radius to the same part of a better person
    counts 0.

    Args:
        head: what the outputs are.
        skeleton: of the network.
        options: of the user.
    """

    def __init__(self, head: OffsetsHead, skeleton: Skeleton, options: DecodeOptions) -> None:
        self._head, self._parts = head, len(skeleton.parts)
        self._settings = PRESETS[options.preset]
        self._least = self._settings.person if options.min_score is None else options.min_score
        self._walk = _walks(head.edges, self._parts)

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:
        """See `Decoder.decode`."""
        del size_wh
        widths = {
            "heatmaps": self._parts,
            "offsets": 2 * self._parts,
            "forward": 2 * len(self._head.edges),
            "backward": 2 * len(self._head.edges),
        }
        maps = {role: self._head.tensor(tensors, role) for role in widths}
        last = self._head.channels == "last"
        shape = maps["heatmaps"].shape
        if len(shape) != 4 or not maps["heatmaps"].size:
            raise UsageError(f"heat maps of a head 'offsets' have four axes, none of them 0; got {tuple(shape)}")
        grid = shape[1:3] if last else shape[2:]
        for role, width in widths.items():
            expected = (shape[0], *grid, width) if last else (shape[0], width, *grid)
            if maps[role].shape != expected:
                raise UsageError(f"{role} of a head 'offsets' beside these heat maps have shape {expected}; got {tuple(maps[role].shape)}")
        with np.errstate(all="ignore"):
            return [self._frame({role: array[frame] for role, array in maps.items()}, (grid[0], grid[1])) for frame in range(shape[0])]

    def _frame(self, maps: dict[str, NDArray[np.floating]], shape_hw: tuple[int, int]) -> People:
        """People of one frame."""

        def flat(role: str) -> NDArray[np.float32]:
            array = maps[role] if self._head.channels == "last" else np.moveaxis(maps[role], 0, -1)
            return np.nan_to_num(np.asarray(array, np.float32).reshape(shape_hw[0] * shape_hw[1], -1))

        heat = flat("heatmaps")
        heat = probability(heat) if self._head.logits else heat
        part, cell = self._roots(heat, shape_hw)
        if not len(part):
            return nobody(self._parts)
        ways = np.concatenate([flat("forward"), flat("backward")], axis=1)
        return self._best(self._grow(_Maps(shape_hw, heat, flat("offsets"), ways), part, cell), part)

    def _roots(self, heat: NDArray[np.float32], shape_hw: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Part and cell of local maxima above the threshold, best first."""
        height, width = shape_hw
        padded = np.zeros((height + 2, width + 2, self._parts), np.float32)
        padded[1:-1, 1:-1] = heat.reshape(height, width, -1)
        middle = padded[1:-1, 1:-1]
        rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
        top = np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
        cell, part = ((middle >= top) & (middle > self._settings.root)).reshape(-1, self._parts).nonzero()
        order = np.argsort(-heat[cell, part], kind="stable")[:MOST_ROOTS]
        return part[order], cell[order]

    def _grow(self, maps: _Maps, part: NDArray[np.int64], cell: NDArray[np.int64]) -> NDArray[np.float32]:
        """(R, K, 3): the person of each root; x, y in pixels, probability."""
        stride = np.float32(self._head.stride)
        height, width = maps.shape_hw
        limit = np.array([width - 1, height - 1], np.int64)
        both = np.array([1, 0] if self._head.y_first else [0, 1])
        index = np.arange(len(part))
        people = np.zeros((len(part), self._parts, 3), np.float32)

        def nearest(points: NDArray[np.float32]) -> NDArray[np.int64]:
            cells: NDArray[np.int64] = np.rint(points / stride).astype(np.int64).clip(0, limit)
            return cells

        def refined(cells: NDArray[np.int64], parts: NDArray[np.int64]) -> NDArray[np.float32]:
            place = cells[:, 1] * width + cells[:, 0]
            short = maps.short[place[:, None], both * self._parts + parts[:, None]]
            result: NDArray[np.float32] = cells * stride + short
            return result

        def put(points: NDArray[np.float32], parts: NDArray[np.int64]) -> None:
            cells = nearest(points)
            people[index, parts, :2] = points
            people[index, parts, 2] = maps.heat[cells[:, 1] * width + cells[:, 0], parts]

        people[index, part, :2] = refined(np.stack([cell % width, cell // width], axis=1), part)
        people[index, part, 2] = maps.heat[cell, part]
        edges = len(self._head.edges)
        for source, target, channel in self._walk[part].transpose(1, 2, 0):
            start = people[index, source, :2]
            cells = nearest(start)
            place = cells[:, 1] * width + cells[:, 0]
            points = start + maps.way[place[:, None], both * edges + channel[:, None]]
            for _ in range(REFINEMENTS):
                points = refined(nearest(points), target)
            put(points, target)
        return people

    def _best(self, people: NDArray[np.float32], part: NDArray[np.int64]) -> People:
        """Of the people grown, best root first, those whose root is nobody else's; scored, filtered and sorted."""
        index = np.arange(len(people))
        roots = people[index, part, :2]
        near = np.float32(self._head.nms_radius) ** 2
        # Whether the root of one lies on the same part of another.
        same = ((roots[:, None] - people[:, part, :2].transpose(1, 0, 2)) ** 2).sum(axis=2) <= near
        kept: list[int] = []
        taken = np.zeros(len(people), np.bool_)
        for number in range(len(people)):
            if not taken[number]:
                kept.append(number)
                taken |= same[:, number]
        people = people[kept[:MOST_PEOPLE]]
        apart = ((people[:, None, :, :2] - people[None, :, :, :2]) ** 2).sum(axis=3) > near
        better = np.tri(len(people), k=-1, dtype=np.bool_)
        alone = (apart | ~better[..., None]).all(axis=1)
        np.minimum(people[..., 2], np.float32(1), out=people[..., 2])
        scores = np.where(alone, people[..., 2], 0).mean(axis=1)
        people[people[..., 2] < self._settings.part] = 0
        chosen = np.argsort(-scores, kind="stable")
        chosen = chosen[scores[chosen] >= max(self._least, 1e-6)]
        return People(people[chosen], scores[chosen].astype(np.float32))


def _walks(edges: tuple[tuple[int, int], ...], parts: int) -> NDArray[np.int64]:
    """(K, E, 3): from each root along the tree: source, target and the displacement's channel, backward ones behind the forward ones'."""
    walks = np.zeros((parts, len(edges), 3), np.int64)
    for root in range(parts):
        reached, step = [root], 0
        for source in reached:
            for edge, (parent, child) in enumerate(edges):
                for start, target, offset in ((parent, child, 0), (child, parent, 2 * len(edges))):
                    if start == source and target not in reached:
                        walks[root, step] = source, target, offset + edge
                        reached.append(target)
                        step += 1
    return walks
