"""Anchors of a detector whose graph does not hold them, read from a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from posetrt.runtime.errors import UsageError

MOST_BYTES = 64 << 20
"""Largest file that is read: a million anchors take less."""


def read_anchors(path: Path) -> tuple[tuple[float, float, float, float], ...]:
    """Centre x, y, width and height of each anchor, as fractions of the input's size, in the order of the candidates.

    Raises:
        UsageError: there is no such file, or it holds something else.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} has more than {MOST_BYTES >> 20} MB; anchors are a row of four numbers each")
        given = np.load(path, allow_pickle=False) if path.suffix == ".npy" else json.loads(path.read_text())
        rows = np.asarray(given, np.float64).reshape(-1, 4)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"{path} is no list of anchors: {error}. Give .npy or .json with a row of centre x, y, width, height each"
        ) from error
    if not len(rows) or not np.isfinite(rows).all() or rows[:, 2:].min() <= 0 or rows.max() > 4:
        raise UsageError(
            f"{path}: anchors are centre x, y, width and height as fractions of the input, sizes above 0; "
            f"got {len(rows)} rows of {rows.min(initial=0):g} to {rows.max(initial=0):g}"
        )
    return tuple((x, y, width, height) for x, y, width, height in rows.tolist())
