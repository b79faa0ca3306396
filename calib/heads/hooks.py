"""What calibration asks of a kind of head: its module here says, and what it does not say has a default.

A module `calib/heads/KIND.py` may define `shows_anybody(head, skeleton, tensors)`, `error(head, skeleton, wanted, given)` and
`encode(head, skeleton, people, size_wh)`. A kind that another package adds may have them as static methods of its class.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import UsageError
from posetrt.runtime.heads.base import DecodeOptions, Head, Tensors
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People


def hook(head: Head, name: str) -> Any:
    """The function of that name of the head's kind; None where the kind leaves it to the default."""
    module = f"posetrt.calib.heads.{head.kind.replace('-', '_')}"
    if importlib.util.find_spec(module) is not None:
        return getattr(importlib.import_module(module), name, None)
    return getattr(type(head), name, None)


def shows_anybody(head: Head, skeleton: Skeleton, tensors: Tensors, size_wh: tuple[int, int]) -> bool:
    """Whether outputs of one picture show a person: calibration on photographs of nobody finds ranges that clip people."""
    asked = hook(head, "shows_anybody")
    if asked is not None:
        return bool(asked(head, skeleton, tensors))
    found = head.decoder(skeleton, DecodeOptions("balanced")).decode(tensors, size_wh)[0]
    return bool(len(found) and found.scores.max() > 0)


def output_error(head: Head, skeleton: Skeleton, wanted: Tensors, given: Tensors) -> float:
    """How far outputs of one picture are from those of the float network, where people are: not below 0, and 0 where they are the same.

    By default the squared error of each output, against the squares of what it should hold: right for maps, which are nearly all zero.
    """
    asked = hook(head, "error")
    if asked is not None:
        return float(asked(head, skeleton, wanted, given))
    return sum(relative_error(wanted[name], given[name]) for name in wanted)


def relative_error(wanted: NDArray[Any], given: NDArray[Any], weight: NDArray[Any] | float = 1.0) -> float:
    """Weighted squared error against the weighted squares of what is wanted; `weight` broadcasts to both arrays."""
    wanted = np.asarray(wanted, np.float64)
    return float((weight * np.square(wanted - given)).sum() / max(float((weight * np.square(wanted)).sum()), 1e-12))


def encode(head: Head, skeleton: Skeleton, people: Sequence[People], size_wh: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Exact outputs for known people, one of the batch each: for tests and benchmarks.

    Args:
        people: in pixels of the network's input.
        size_wh: of the input.

    Raises:
        UsageError: the kind has no encoder.
    """
    asked = hook(head, "encode")
    if asked is None:
        raise UsageError(f"a head {head.kind!r} has no encoder")
    made: dict[str, NDArray[Any]] = asked(head, skeleton, people, size_wh)
    return made
