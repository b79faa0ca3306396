"""Skeletons: which parts a network finds, and which limbs join them for the eye."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError, printable
from posetrt.runtime.files import read_json

COCO_SIGMAS = (0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)
"""Tolerance of COCO's 17 key points in its key-point similarity (pycocotools, cocoeval.py): nose, eyes, ears, shoulders, ... ankles."""

OTHER_SIGMA = 0.079
"""Tolerance of a part that no data set gives one: that of COCO's shoulders."""

BOXES = "boxes"
"""The skeleton of a detector: no parts at all."""


@dataclass(frozen=True)
class Skeleton:
    """Anatomy: the parts of a network and the limbs between them.

    Attributes:
        name: short name, as in "coco18".
        parts: names of the K parts, in the network's order; none for a detector.
        limbs: C pairs of part indices, drawn as lines. For a network with PAFs they are its PAFs' limbs, from first to second part; redundant
            limbs (ear to shoulder) stand among the others.
        mirror: for each part the one that it becomes in a mirrored image; empty where unknown.
        coco17: for each of COCO's 17 key points the index of the part here; empty where they do not correspond.
        sigmas: tolerance of each part, as a share of the person's size (COCO's sigma); empty where none is published.
    """

    name: str
    parts: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    mirror: tuple[int, ...] = ()
    coco17: tuple[int, ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.parts)
        problems = []
        if len(set(self.parts)) != count:
            problems.append("parts must be different names")
        if any(not text or text != printable(text) for text in (self.name, *self.parts)):
            problems.append("names must be printable text")
        if count == 0 and self.name != BOXES:
            problems.append(f"parts must be one or more names; a detector's skeleton is {BOXES!r}")
        if any(not 0 <= end < count for limb in self.limbs for end in limb) or any(a == b for a, b in self.limbs):
            problems.append(f"limbs must join two different parts numbered 0 to {count - 1}")
        if self.mirror and (len(self.mirror) != count or any(not 0 <= m < count or self.mirror[m] != i for i, m in enumerate(self.mirror))):
            problems.append("mirror must name a partner for each part, and each partner must name it back")
        if self.coco17 and (len(self.coco17) != 17 or any(not 0 <= i < count for i in self.coco17)):
            problems.append(f"coco17 must hold 17 part numbers, 0 to {count - 1}")
        if self.sigmas and (len(self.sigmas) != count or not all(0 < sigma <= 1 for sigma in self.sigmas)):
            problems.append(f"sigmas must hold {count} numbers above 0, at most 1")
        if problems:
            raise UsageError(f"skeleton {self.name!r}: " + "; ".join(problems))

    def tolerances(self) -> NDArray[np.float64]:
        """(K,) float64: each part's sigma; where the skeleton gives none, COCO's for the parts that are COCO's, else 0.079."""
        if self.sigmas:
            return np.array(self.sigmas)
        found = np.full(len(self.parts), OTHER_SIGMA)
        if self.coco17:
            found[list(self.coco17)] = COCO_SIGMAS
        return found

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `skeleton_from_dict` reads it back."""
        return {
            "name": self.name,
            "parts": list(self.parts),
            "limbs": [list(limb) for limb in self.limbs],
            "mirror": list(self.mirror),
            "coco17": list(self.coco17),
            "sigmas": [round(float(sigma), 6) for sigma in self.tolerances()],
        }


_ANATOMY = {"name", "parts", "limbs", "mirror", "coco17", "sigmas"}
_CHANNELS = {"background", "paf_channels"}
"""A skeleton file may also say which map is what, for networks with heat maps and PAFs (`heads.paf.layout`)."""


def skeleton_from_dict(fields: Any, where: str = "skeleton") -> Skeleton:
    """Read a skeleton from its JSON form; `where` names the file in errors.

    Raises:
        UsageError: a field is missing, unknown or does not fit the others.
    """
    if not isinstance(fields, Mapping):
        raise UsageError(f"{where}: a skeleton is a JSON object with name, parts, limbs; got {type(fields).__name__}")
    known = _ANATOMY | _CHANNELS
    missing = {"name", "parts", "limbs"} - fields.keys()
    unknown = fields.keys() - known
    if missing or unknown:
        raise UsageError(f"{where}: missing fields {sorted(missing)}, unknown fields {sorted(unknown)}; a skeleton has {sorted(known)}")
    try:
        return Skeleton(
            name=str(fields["name"]),
            parts=tuple(str(part) for part in fields["parts"]),
            limbs=tuple((int(a), int(b)) for a, b in fields["limbs"]),
            mirror=tuple(int(part) for part in fields.get("mirror") or ()),
            coco17=tuple(int(part) for part in fields.get("coco17") or ()),
            sigmas=tuple(float(sigma) for sigma in fields.get("sigmas") or ()),
        )
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{where}: {error}; limbs are lists of two whole numbers, mirror and coco17 of whole numbers, sigmas of numbers"
        ) from error


@cache
def built_in_skeletons() -> tuple[str, ...]:
    """Names of the skeletons that come with posetrt."""
    folder = resources.files("posetrt.runtime.model").joinpath("skeletons")
    return tuple(sorted(each.name.removesuffix(".json") for each in folder.iterdir() if each.name.endswith(".json")))


def load_skeleton(name_or_path: str | Path) -> Skeleton:
    """A built-in skeleton by name, or any other from a JSON file.

    Raises:
        UsageError: neither a built-in name nor a file, or a file that is no skeleton.
    """
    return skeleton_from_dict(*skeleton_file(name_or_path))


def skeleton_file(name_or_path: str | Path) -> tuple[Any, str]:
    """What a skeleton's JSON file holds, and how errors name it; as `load_skeleton`."""
    if str(name_or_path) in built_in_skeletons():
        text = resources.files("posetrt.runtime.model").joinpath("skeletons").joinpath(f"{name_or_path}.json").read_text(encoding="utf-8")
        return json.loads(text), str(name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        raise UsageError(f"no skeleton {str(name_or_path)!r}: give one of {', '.join(built_in_skeletons())}, or the path of a JSON file")
    try:
        return read_json(path, "skeleton"), str(path)
    except PosetrtError as error:
        raise UsageError(str(error)) from error
