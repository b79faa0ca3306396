"""Leeds Sports Pose and its extended training set (Johnson & Everingham, BMVC 2010, CVPR 2011): joints.mat, PCK of the torso.

LSP's `joints` is 3x14xN: x, y, and whether the joint is hidden, all of which count. The extended set's is 14x3xN: x, y, and whether the
joint is labelled at all. Photographs are im0001.jpg or im00001.jpg by their place. Left and right are the person's own. Torso: left
shoulder to right hip, as the evaluation that published figures come from (PCK at 0.2) has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.datasets.base import locate
from posetrt.calib.datasets.parts import correspondence
from posetrt.calib.datasets.pck import PART_TITLES, AnnotatedPerson, PckJudged, judge_pck
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

_SHARE = 0.2
_LEFT_SHOULDER, _RIGHT_HIP = 9, 2
_WHOLE_LSP = 2000


@dataclass(frozen=True)
class LspPhotos:
    """LSP's photographs, one annotated person each; the largest person found is the one that is judged.

    Attributes:
        photographs: those with a torso.
        annotated: their people.
    """

    photographs: Sequence[Path]
    annotated: Sequence[AnnotatedPerson]
    notes: ClassVar[Sequence[str]] = ()
    name: ClassVar[str] = "LSP"
    titles: ClassVar[Mapping[str, str]] = {"pck": "PCK@0.2", **PART_TITLES}

    @property
    def boxes(self) -> Sequence[None]:
        """None: LSP's photographs are cut about their person, and are looked at as a whole."""
        return [None] * len(self.photographs)

    def judge(self, found: Sequence[People], skeleton: Skeleton) -> PckJudged:
        """PCK at 0.2 of the torso; see `AnnotatedPhotos.judge`."""
        matched = correspondence("lsp", skeleton)
        hits, labelled = judge_pck(self.annotated, [matched.take(people) for people in found], matched, _SHARE)
        return PckJudged("pck", hits, labelled, matched.parts, ("neck", "head_top"), matched.left_out)


def lsp_photos(path: Path, variables: Mapping[str, Any], images: Path, limit: int | None = None) -> LspPhotos:
    """Read joints.mat. Of LSP's own 2,000 photographs the second thousand is judged, which is its test set.

    Raises:
        PosetrtError: another shape, no torso anywhere, or photographs are missing.
    """
    try:
        joints = np.asarray(variables["joints"], np.float64)
    except (TypeError, ValueError) as error:
        raise PosetrtError(f"{path}: joints are not numbers ({error}); those of LSP are 3x14xN") from error
    if joints.ndim == 2:  # of one photograph
        joints = joints[..., None]
    extended = joints.ndim == 3 and joints.shape[:2] == (14, 3)
    if joints.ndim != 3 or not (extended or joints.shape[:2] == (3, 14)):
        raise PosetrtError(f"{path}: joints of LSP are 3x14xN, of its extended set 14x3xN; these are {'x'.join(map(str, joints.shape))}")
    by_image = joints.transpose(2, 0, 1) if extended else joints.transpose(2, 1, 0)
    first = _WHOLE_LSP // 2 if len(by_image) == _WHOLE_LSP and not extended else 0
    digits = 5 if extended else 4
    names: list[str] = []
    people = []
    for number, person in enumerate(by_image[first:], first + 1):
        labelled = (person[:, 2] == 1 if extended else np.ones(14, bool)) & np.isfinite(person[:, :2]).all(axis=1)
        torso = float(np.linalg.norm(person[_LEFT_SHOULDER, :2] - person[_RIGHT_HIP, :2]))
        if not labelled[[_LEFT_SHOULDER, _RIGHT_HIP]].all() or not torso > 0:
            continue
        # MATLAB counts pixels from 1.
        people.append(AnnotatedPerson(len(names), person[:, :2] - 1, _as_bool(labelled), torso))
        names.append(f"im{number:0{digits}}.jpg")
        if limit is not None and len(names) == limit:
            break
    if not names:
        raise PosetrtError(f"{path}: no photograph has both the left shoulder and the right hip labelled, which PCK is measured by")
    return LspPhotos(locate(names, images, path), people)


def _as_bool(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(values, bool)
