"""The people that a network finds on photographs, as accuracy is judged: whole frames, or the boxes that a data set gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from posetrt.calib.accuracy.coco import find_people, find_people_in_boxes
from posetrt.calib.accuracy.multiscale import MultiScale
from posetrt.calib.datasets.base import AnnotatedPhotos
from posetrt.runtime.engines.base import Engine
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.find.box_file import whole
from posetrt.runtime.find.cropped import Cropped
from posetrt.runtime.find.detected import Detected
from posetrt.runtime.find.tiles import Tiles
from posetrt.runtime.find.top_down import TopDown
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.heads.base import DecodeOptions, Preset
from posetrt.runtime.people import People
from posetrt.runtime.placement import Fit
from posetrt.runtime.pose import Pose

DETECTED = 0.05
"""Least score of a detected person where accuracy is judged: below it a detector's boxes cost time, and change average precision little."""


def people_of(
    engine: Engine,
    paths: Sequence[Path],
    annotated: AnnotatedPhotos | None = None,
    *,
    detector: WholeFrame | None = None,
    scales: Sequence[float] | None = None,
    tiles: Tiles | None = None,
    grow: float | None = None,
    preset: Preset = "evaluate",
    progress: Callable[[int], None] | None = None,
    broken: Callable[[PosetrtError], People] | None = None,
) -> list[People]:
    """People of each photograph, in its pixels.

    Args:
        engine: left open.
        paths: photographs.
        annotated: its boxes are looked at by a network for one person; without, each whole photograph is one crop.
        detector: left open; the boxes of its people are looked at in place of the annotated ones.
        scales: at which each photograph (or box) is looked at; the maps of all are averaged.
        tiles: how photographs are cut for a network that finds everybody; a detector has its own.
        grow: how much wider than a box a crop is; None takes what the manifest says.
        preset: how sure a person must be.
        progress: takes how many photographs are done.
        broken: gives what stands for a photograph that cannot be read; without it that is an error.

    Raises:
        UsageError: scales that this network cannot be shown; a detector for a network that finds everybody.
    """
    head = engine.manifest.head
    if tiles is not None and scales:
        raise UsageError("tiles and scales both say how a photograph is looked at: give one of them")
    in_boxes = detector is not None or (head.one_person and annotated is not None) or head.scope == "crop"
    if not in_boxes:
        pose = Pose(WholeFrame(engine, DecodeOptions(preset), tiles))
        return find_people(MultiScale(pose, scales) if scales else pose, paths, progress, broken)
    if tiles is not None and detector is None:
        raise UsageError(
            f"{engine.manifest.network} looks at one person in a box, and tiles are of a network that looks at whole frames: leave --tiles out, "
            "or give --detector"
        )
    own = engine.manifest.input.fit
    network = TopDown(engine, scales=scales or (1.0,), fit=Fit("crop", own.pad, own.grow if grow is None else grow))
    if detector is not None:
        return find_people(Pose(detector, [Detected(network)]), paths, progress, broken)
    if annotated is None:
        return find_people(Pose(None, [Cropped(network, whole)]), paths, progress, broken)
    return find_people_in_boxes(network, paths, annotated.boxes, progress, broken)
