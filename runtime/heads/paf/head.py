"""Heads with Part Affinity Fields: maps that the parser reads, or peaks and pairs that the graph has found itself.

Source: OpenPose (Cao et al., arXiv 1611.08050 and 1812.08008).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Head, Tensors
from posetrt.runtime.heads.cells import check_stride, in_pixels
from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.heads.paf.parser import PafParser
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People


@dataclass(frozen=True, kw_only=True)
class PafHead(Head):
    """Heat maps and PAFs of a whole frame, as OpenPose's networks give them.

    Attributes:
        stride: network pixels per cell.
        paf_channels: for each limb of the skeleton its x and y channel.
        background: whether a background map follows the parts' heat maps.
        least: least score of a person with the preset "balanced", where this network's differs; None keeps the preset's.
    """

    kind: ClassVar[str] = "paf"
    roles: ClassVar[tuple[str, ...]] = ("heatmaps", "pafs")
    maps: ClassVar[tuple[str, ...]] = ("heatmaps", "pafs")

    stride: int
    paf_channels: tuple[tuple[int, int], ...]
    background: bool = True
    least: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stride(self.kind, self.stride)
        _check_least(self.kind, self.least)
        if set(self.outputs) != set(self.roles):
            raise UsageError(f"head {self.kind!r} needs the outputs {' and '.join(self.roles)}; got {', '.join(self.outputs)}")

    def layout(self, skeleton: Skeleton) -> MapLayout:
        """Which map is what.

        Raises:
            UsageError: the skeleton has other limbs than the head has channels for.
        """
        if not self.paf_channels:
            raise UsageError(f"head {self.kind!r}: paf_channels must give each limb its x and y channel")
        return MapLayout(skeleton, self.paf_channels, self.background)

    def check(self, skeleton: Skeleton) -> None:
        """See `Head.check`."""
        self.layout(skeleton)

    def map_stride(self) -> int:
        """See `Head.map_stride`."""
        return self.stride

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> PafDecoder:
        """See `Head.decoder`."""
        return PafDecoder(self, skeleton, options or DecodeOptions())

    def picture_names(self) -> tuple[str, ...]:
        """See `Head.picture_names`."""
        return "heatmaps", "pafs"

    def picture(self, name: str, tensors: Tensors, skeleton: Skeleton) -> NDArray[np.float32]:
        """The strongest of the parts' heat maps, or of the PAFs, at each place; see `Head.picture`."""
        if name == "heatmaps":
            return np.asarray(self.tensor(tensors, "heatmaps")[0, : len(skeleton.parts)].max(axis=0), np.float32)
        if name != "pafs":
            return super().picture(name, tensors, skeleton)
        fields = self.tensor(tensors, "pafs")[0].astype(np.float32)[np.asarray(self.paf_channels)]
        strongest = np.hypot(fields[:, 0], fields[:, 1]).argmax(axis=0)[None, None]
        chosen = np.take_along_axis(fields, np.broadcast_to(strongest, (1, 2, *strongest.shape[2:])), axis=0)[0]
        return np.asarray(chosen, np.float32)


class PafDecoder:
    """The parser, and the way from cells to pixels of the network's input."""

    def __init__(self, head: PafHead, skeleton: Skeleton, options: DecodeOptions) -> None:
        self._head = head
        self.parser = _parser(head.layout(skeleton), options, head.least)

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:  # noqa: ARG002 cells know their place
        """See `Decoder.decode`."""
        heatmaps, pafs = (self._head.tensor(tensors, role) for role in ("heatmaps", "pafs"))
        return [in_pixels(people, self._head.stride) for people in self.parser.parse_batch(heatmaps, pafs)]


@dataclass(frozen=True, kw_only=True)
class PafDecodedHead(Head):
    """Peaks and pair scores that the graph has found itself (`posetrt export --decode in-graph`).

    Its outputs are peaks (N, J, K, 3) float32: x, y in cells, score, 0 for an empty slot, best first; and pairs (N, C, K, K) float32: the
    line integral of peak a of the limb's first part with peak b of its second, 0 for no pair.

    Attributes:
        stride: network pixels per cell.
        least: as in `PafHead`.
    """

    kind: ClassVar[str] = "paf-decoded"
    roles: ClassVar[tuple[str, ...]] = ("peaks", "pairs")

    stride: int
    least: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stride(self.kind, self.stride)
        _check_least(self.kind, self.least)
        if set(self.outputs) != set(self.roles):
            raise UsageError(f"head {self.kind!r} needs the outputs {' and '.join(self.roles)}; got {', '.join(self.outputs)}")

    @property
    def decoded_in_graph(self) -> bool:
        """Peaks are coordinates."""
        return True

    def check(self, skeleton: Skeleton) -> None:
        """See `Head.check`."""
        if not skeleton.limbs:
            raise UsageError(f"head {self.kind!r} joins parts by limbs, and skeleton {skeleton.name!r} has none")

    def map_stride(self) -> int:
        """See `Head.map_stride`."""
        return self.stride

    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> PafDecodedDecoder:
        """See `Head.decoder`."""
        self.check(skeleton)
        return PafDecodedDecoder(self, skeleton, options or DecodeOptions())


class PafDecodedDecoder:
    """Matching and assembly alone."""

    def __init__(self, head: PafDecodedHead, skeleton: Skeleton, options: DecodeOptions) -> None:
        self._head = head
        # The graph has read the PAFs; which channel was whose no longer matters.
        channels = tuple((2 * limb, 2 * limb + 1) for limb in range(len(skeleton.limbs)))
        self.parser = _parser(MapLayout(skeleton, channels), options, head.least)

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:  # noqa: ARG002 cells know their place
        """See `Decoder.decode`."""
        peaks, pairs = (self._head.tensor(tensors, role) for role in ("peaks", "pairs"))
        return [in_pixels(self.parser.parse_decoded(*each), self._head.stride) for each in zip(peaks, pairs, strict=True)]


EVALUATED_SCORE = 0.3
"""Least score of a person with the preset "evaluate": average precision ranks people, so a weak one costs little and may be right."""


def _check_least(kind: str, least: float | None) -> None:
    """Refuse a least score that is no number from 0 on."""
    if least is not None and not (isinstance(least, (int, float)) and np.isfinite(least) and least >= 0):
        raise UsageError(f"head {kind!r}: least, the least score of a person, is a number from 0 on or null; got {least!r}")


def _parser(layout: MapLayout, options: DecodeOptions, of_network: float | None) -> PafParser:
    evaluated = options.preset == "evaluate"
    least = options.min_score
    if least is None:
        least = EVALUATED_SCORE if evaluated else of_network if options.preset == "balanced" else None
    preset = "balanced" if evaluated else options.preset
    return PafParser(layout, preset=preset) if least is None else PafParser(layout, preset=preset, min_score=least)
