"""Skeletons: which parts a network finds, which limbs join them, and where each limb's PAF lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import read_json

BUILT_IN = ("coco18", "body25", "mpi15", "trtpose18", "car12", "hand21", "face70", "mpi14")


@dataclass(frozen=True)
class Skeleton:
    """Parts, limbs and PAF channels of a network.

    Attributes:
        name: short name, as in "coco18".
        parts: names of the K parts, in the order of the heat maps.
        limbs: C pairs of part indices, from first to second part, as the PAF points. Redundant limbs
            (ear to shoulder) stand among the others.
        paf_channels: for each limb its x and y channel, counted from the first PAF channel; empty for a
            network that has heat maps only (CPM, hand, face), whose limbs then serve drawing alone.
        background: whether a background map follows the parts' heat maps.
        mirror: for each part the one that it becomes in a mirrored image; empty where unknown.
        coco17: for each of COCO's 17 key points the index of the part here; empty where they do not correspond.
        sigmas: COCO's constant of each part, for object key-point similarity; empty where unknown.
    """

    name: str
    parts: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    paf_channels: tuple[tuple[int, int], ...] = ()
    background: bool = True
    mirror: tuple[int, ...] = ()
    coco17: tuple[int, ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.parts)
        problems = []
        if len(set(self.parts)) != count:
            problems.append("parts must be one or more different names")
        if any(not 0 <= end < count for limb in self.limbs for end in limb) or any(a == b for a, b in self.limbs):
            problems.append(f"limbs must join two different parts numbered 0 to {count - 1}")
        if self.paf_channels:
            channels = sorted(channel for pair in self.paf_channels for channel in pair)
            if len(self.paf_channels) != len(self.limbs) or channels != list(range(2 * len(self.limbs))):
                problems.append(
                    f"paf_channels must give each of the {len(self.limbs)} limbs its own x and y channel, 0 to {2 * len(self.limbs) - 1}"
                )
        if self.mirror and (len(self.mirror) != count or any(not 0 <= m < count or self.mirror[m] != i for i, m in enumerate(self.mirror))):
            problems.append("mirror must name a partner for each part, and each partner must name it back")
        if self.coco17 and (len(self.coco17) != 17 or any(not 0 <= i < count for i in self.coco17)):
            problems.append(f"coco17 must hold 17 part numbers, 0 to {count - 1}")
        if problems:
            raise UsageError(f"skeleton {self.name!r}: " + "; ".join(problems))

    @property
    def heatmap_channels(self) -> int:
        """Number of heat maps, the background's included."""
        return len(self.parts) + int(self.background)

    @property
    def paf_channel_count(self) -> int:
        """Number of PAF channels: two a limb, or none."""
        return 2 * len(self.paf_channels)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `skeleton_from_dict` reads it back."""
        return {
            "name": self.name,
            "parts": list(self.parts),
            "background": self.background,
            "limbs": [list(limb) for limb in self.limbs],
            "paf_channels": [list(pair) for pair in self.paf_channels],
            "mirror": list(self.mirror),
            "coco17": list(self.coco17),
        }


def skeleton_from_dict(fields: Any, where: str = "skeleton") -> Skeleton:
    """Read a skeleton from its JSON form; `where` names the file in errors.

    Raises:
        UsageError: a field is missing, unknown or does not fit the others.
    """
    if not isinstance(fields, Mapping):
        raise UsageError(f"{where}: a skeleton is a JSON object with name, parts, limbs; got {type(fields).__name__}")
    known = {"name", "parts", "background", "limbs", "paf_channels", "mirror", "coco17", "sigmas"}
    missing = {"name", "parts", "limbs"} - fields.keys()
    unknown = fields.keys() - known
    if missing or unknown:
        raise UsageError(f"{where}: missing fields {sorted(missing)}, unknown fields {sorted(unknown)}; a skeleton has {sorted(known)}")
    try:
        return Skeleton(
            name=str(fields["name"]),
            parts=tuple(str(part) for part in fields["parts"]),
            limbs=tuple((int(a), int(b)) for a, b in fields["limbs"]),
            paf_channels=tuple((int(x), int(y)) for x, y in fields.get("paf_channels") or ()),
            background=bool(fields.get("background", True)),
            mirror=tuple(int(part) for part in fields.get("mirror") or ()),
            coco17=tuple(int(part) for part in fields.get("coco17") or ()),
            sigmas=tuple(float(sigma) for sigma in fields.get("sigmas") or ()),
        )
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{where}: {error}; limbs and paf_channels are lists of two whole numbers, mirror and coco17 of whole numbers"
        ) from error


def built_in_skeletons() -> tuple[str, ...]:
    """Names of the skeletons that come with posetrt."""
    folder = resources.files("posetrt.runtime.model").joinpath("skeletons")
    return tuple(sorted(each.name.removesuffix(".json") for each in folder.iterdir() if each.name.endswith(".json")))


def load_skeleton(name_or_path: str | Path) -> Skeleton:
    """A built-in skeleton by name, or any other from a JSON file.

    Raises:
        UsageError: neither a built-in name nor a file, or a file that is no skeleton.
    """
    if str(name_or_path) in built_in_skeletons():
        text = resources.files("posetrt.runtime.model").joinpath("skeletons").joinpath(f"{name_or_path}.json").read_text(encoding="utf-8")
        return skeleton_from_dict(json.loads(text), str(name_or_path))
    path = Path(name_or_path)
    if not path.is_file():
        raise UsageError(f"no skeleton {str(name_or_path)!r}: give one of {', '.join(BUILT_IN)}, or the path of a JSON file")
    try:
        fields = read_json(path, "skeleton")
    except PosetrtError as error:
        raise UsageError(str(error)) from error
    return skeleton_from_dict(fields, str(path))
