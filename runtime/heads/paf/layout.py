"""Which map is what: the channels of networks with heat maps and Part Affinity Fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import Skeleton, skeleton_file, skeleton_from_dict


@dataclass(frozen=True)
class MapLayout:
    """A skeleton with the channels of its maps.

    Attributes:
        skeleton: parts in the order of the heat maps, limbs in the order of `paf_channels`.
        paf_channels: for each limb its x and y channel, counted from the first PAF channel; empty for a network with heat maps alone.
        background: whether a background map follows the parts' heat maps.
    """

    skeleton: Skeleton
    paf_channels: tuple[tuple[int, int], ...] = ()
    background: bool = True

    def __post_init__(self) -> None:
        limbs = len(self.skeleton.limbs)
        channels = sorted(channel for pair in self.paf_channels for channel in pair)
        if self.paf_channels and (len(self.paf_channels) != limbs or channels != list(range(2 * limbs))):
            raise UsageError(
                f"skeleton {self.skeleton.name!r}: paf_channels must give each of the {limbs} limbs its own x and y channel, 0 to {2 * limbs - 1}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of a skeleton file with its channels; `load_layout` reads it back."""
        return {**self.skeleton.to_dict(), "paf_channels": _lists(self.paf_channels), "background": self.background}

    @property
    def heatmap_channels(self) -> int:
        """Number of heat maps, the background's included."""
        return len(self.skeleton.parts) + int(self.background)

    @property
    def paf_channel_count(self) -> int:
        """Number of PAF channels: two for each limb, or none."""
        return 2 * len(self.paf_channels)


def _lists(pairs: tuple[tuple[int, int], ...]) -> list[list[int]]:
    return [list(pair) for pair in pairs]


def load_layout(name_or_path: str | Path) -> MapLayout:
    """The layout in a skeleton's file: `paf_channels` and `background` beside the anatomy.

    Args:
        name_or_path: as `load_skeleton`.

    Raises:
        UsageError: there is no such skeleton, or its channels do not fit its limbs.
    """
    fields, where = skeleton_file(name_or_path)
    return layout_from_dict(fields, skeleton_from_dict(fields, where), where)


def layout_from_dict(fields: Mapping[str, Any], skeleton: Skeleton, where: str) -> MapLayout:
    """The channels that a skeleton's JSON form gives; `where` names the file in errors.

    Raises:
        UsageError: they are misshapen, or do not fit.
    """
    try:
        channels = tuple((int(x), int(y)) for x, y in fields.get("paf_channels") or ())
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: paf_channels is a list of two whole numbers for each limb ({error})") from error
    # A file of before heads that gives PAFs alone means a background as well.
    background = fields.get("background", bool(channels))
    if not isinstance(background, bool):
        raise UsageError(f"{where}: background is true or false, not {background!r}")
    return MapLayout(skeleton, channels, background)
