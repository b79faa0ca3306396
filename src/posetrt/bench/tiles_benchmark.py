"""What tiles find of small people, and what they cost: photographs shrunk into large canvases, one pass beside tiles."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.accuracy.coco import CocoPhotos, find_people
from posetrt.calib.accuracy.detections import titles_of
from posetrt.calib.scenes.canvases import strew
from posetrt.runtime.engines.base import Engine
from posetrt.runtime.find.tiles import Tiles
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.heads.base import DecodeOptions
from posetrt.runtime.people import People


def bench_tiles(
    engine: Engine, photos: CocoPhotos, cuts: Sequence[Tiles], *, size_wh: tuple[int, int], shrink: float, seed: int = 0
) -> dict[str, Any]:
    """Look at canvases whole, and with each of `cuts`.

    Args:
        engine: of a network that looks at whole frames; left open.
        photos: with key points; each is laid on a canvas once.
        cuts: how canvases are cut.
        size_wh: of a canvas.
        shrink: by which photographs are made smaller.
        seed: of the places.

    Returns:
        `canvases`, `photographs`, `people`, `median_height_px`, `titles` of the figures, and `rows`: one for each way to look, with
        `tiles`, `pictures`, `figures`, `found` people of a score above 0.3, `ms` per canvas (the median) and `picture_ms` for each picture
        beyond the first.

    Raises:
        UsageError: a network for crops, or photographs that do not fit in a canvas.
    """
    with tempfile.TemporaryDirectory() as folder:
        canvases = strew(photos, Path(folder), size_wh=size_wh, shrink=shrink, seed=seed)
        rows: list[dict[str, Any]] = []
        titles: dict[str, str] = {}
        for tiles in (None, *cuts):
            whole = WholeFrame(engine, DecodeOptions("evaluate"), tiles)
            spent: list[float] = []

            def timed(image: NDArray[np.uint8], whole: WholeFrame = whole, spent: list[float] = spent) -> People:
                began = time.perf_counter()
                people = whole.find(image)
                spent.append((time.perf_counter() - began) * 1000)
                return people

            whole.find(np.full((size_wh[1], size_wh[0], 3), 128, np.uint8))
            found = find_people(timed, canvases.photographs)
            judged = canvases.judge(found, engine.manifest.skeleton)
            titles = dict(titles_of(judged, canvases))
            ms = statistics.median(spent)
            rows.append(
                {
                    "tiles": "one pass" if tiles is None else str(tiles),
                    "pictures": whole.pictures,
                    "figures": dict(judged.figures),
                    "found": sum(int((people.scores > 0.3).sum()) for people in found),
                    "ms": ms,
                    "picture_ms": (ms - rows[0]["ms"]) / (whole.pictures - 1) if tiles is not None else None,
                }
            )
    people = [one for one in canvases.truth["annotations"] if one["num_keypoints"]]
    return {
        "canvases": len(canvases),
        "photographs": len(photos),
        "people": len(people),
        "median_height_px": statistics.median([one["bbox"][3] for one in people]) if people else 0.0,
        "titles": titles,
        "rows": rows,
    }
