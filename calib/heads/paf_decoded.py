"""Peaks and pairs: how a person shows in them."""

from __future__ import annotations

from posetrt.calib.heads.paf import PERSON_PEAK
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.heads.paf.head import PafDecodedHead
from posetrt.runtime.model.skeleton import Skeleton


def shows_anybody(head: PafDecodedHead, skeleton: Skeleton, tensors: Tensors) -> bool:  # noqa: ARG001 every kind is given it
    """Whether the highest peak is a person's."""
    return bool(head.tensor(tensors, "peaks")[..., 2].max() >= PERSON_PEAK)
