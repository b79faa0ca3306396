"""People, events and pictures as a rerun recording, or live in a viewer."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import written_whole
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.packages import install_hint
from posetrt.runtime.sinks.address import split_options, whole_number, yes_or_no
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sources.names import path_part

FORM = "rerun=FILE.rrd, or rerun=rerun+http://HOST:9876/proxy for a viewer"
_CONNECT_S = 2.0
"""For a viewer to answer."""
_FLUSH_S = 10.0
"""For what waits to reach the file or the viewer at the end."""

OPTIONS = {"image": "yes or no: the frames too; default yes", "quality": "of their JPEG, 1 to 100; default 80"}


def open_rerun(argument: str, say: Callable[[str], None]) -> Sink:  # noqa: ARG001 rerun keeps its connection itself
    """The sink `rerun=FILE.rrd`, or `rerun=rerun+http://...` for a viewer that runs.

    Raises:
        UsageError: another suffix, or options that do not exist.
        PosetrtError: rerun-sdk is missing, or the recording cannot be made.
    """
    place, options = split_options(argument, OPTIONS, FORM)
    if "://" not in place and Path(place).suffix.lower() != ".rrd":
        raise UsageError(f"a rerun recording is called .rrd; got {place}. Write {FORM}")
    return RerunLog(place, image=yes_or_no(options, "image", True), quality=whole_number(options, "quality", 80, 1, 100))


class RerunLog(Sink):
    """Logs each frame at its time. A file appears under its name when it is complete, or when the run was interrupted.

    Entities of each source, with its label in place of SOURCE: SOURCE/image, SOURCE/people/ID (key points with their names and limbs, the box,
    and the points in space where people were triangulated) and SOURCE/events. Timelines are `frame`, and `time` since the source began.

    Args:
        place: a file, or the address of a viewer.
        image: log the frames too.
        quality: of their JPEG.

    Raises:
        PosetrtError: rerun-sdk is missing, or the recording cannot be made.
    """

    def __init__(self, place: str, *, image: bool = True, quality: int = 80) -> None:
        try:
            import rerun
        except ModuleNotFoundError as error:
            raise PosetrtError(f"a rerun recording needs the package rerun-sdk: {install_hint('rerun')}") from error
        self._rerun, self._place, self._image, self._quality = rerun, place, image, quality
        self._recording: Any = rerun.RecordingStream("posetrt")
        self._opened = ExitStack()
        try:
            if "://" in place:
                _check_viewer(place)
                self._recording.connect_grpc(place)
            else:
                self._recording.save(self._opened.enter_context(written_whole(Path(place))))
        except PosetrtError:
            raise
        except Exception as error:
            self._opened.close()
            raise PosetrtError(f"cannot record to {place}: {error}") from error
        self._there: dict[str, set[str]] = {}

    def write(self, result: Result) -> None:
        """Log one frame."""
        rerun, recording, people = self._rerun, self._recording, result.people
        source = path_part(result.frame.label)
        recording.set_time("frame", sequence=result.frame.index)
        recording.set_time("time", duration=result.frame.time_s)
        if source not in self._there:
            self._there[source] = set()
            recording.log(source, self._context(result.manifest.skeleton), static=True)
        if self._image:
            import cv2

            encoded = cv2.imencode(".jpg", result.frame.image, [cv2.IMWRITE_JPEG_QUALITY, self._quality])[1]
            recording.log(f"{source}/image", rerun.EncodedImage(contents=encoded.tobytes(), media_type="image/jpeg"))
        now = set()
        for person in range(len(people)):
            entity = f"{source}/people/{person if people.ids is None else people.ids[person]}"
            now.add(entity)
            self._person(entity, result, person)
        for gone in self._there[source] - now:
            recording.log(gone, rerun.Clear(recursive=True))
        self._there[source] = now
        for event in result.events or ():
            recording.log(f"{source}/events", rerun.TextLog(json.dumps(event.to_dict()), level=rerun.TextLogLevel.INFO))

    def _person(self, entity: str, result: Result, person: int) -> None:
        """One person's parts and box; rerun counts from the corner of the first pixel, and key points from its centre."""
        rerun, people = self._rerun, result.people
        points = people.keypoints[person]
        seen = np.flatnonzero(points[:, 2] > 0)
        if len(points):
            self._recording.log(
                f"{entity}/parts", rerun.Points2D(points[seen, :2] + 0.5, class_ids=0, keypoint_ids=seen.astype(np.uint16), radii=2.0)
            )
        if people.boxes is not None:
            box = people.boxes[person]
            self._recording.log(f"{entity}/box", rerun.Boxes2D(mins=[box[:2]], sizes=[box[2:]], class_ids=0))
        if people.keypoints_3d is not None:
            spots = people.keypoints_3d[person]
            known = np.flatnonzero(spots[:, 3] > 0)
            self._recording.log(f"{entity}/space", rerun.Points3D(spots[known, :3], class_ids=0, keypoint_ids=known.astype(np.uint16)))

    def _context(self, skeleton: Skeleton) -> Any:
        """The names of the parts, and the limbs between them."""
        rerun = self._rerun
        parts = [rerun.AnnotationInfo(id=number, label=part) for number, part in enumerate(skeleton.parts)]
        person = rerun.ClassDescription(
            info=rerun.AnnotationInfo(id=0, label="person"),
            keypoint_annotations=parts,
            keypoint_connections=[tuple(limb) for limb in skeleton.limbs],
        )
        return rerun.AnnotationContext([person])

    def close(self) -> None:
        """Finish the recording and give it its name; closing twice is harmless.

        Raises:
            PosetrtError: it could not be finished.
        """
        recording, self._recording = self._recording, None
        if recording is None:
            return
        with self._opened:
            try:
                recording.flush(timeout_sec=_FLUSH_S)
                recording.disconnect()
            except Exception as error:
                raise PosetrtError(f"cannot finish {self._place}: {error}") from error


def _check_viewer(address: str) -> None:
    """Rerun itself waits for a viewer that is not there until the end of the run.

    Raises:
        UsageError: no address of a viewer.
        PosetrtError: nobody listens there.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or 9876
    except ValueError as error:
        raise UsageError(f"{address} is no address ({error}); write {FORM}") from error
    if parts.scheme not in ("rerun+http", "rerun+https", "rerun") or not host:
        raise UsageError(f"{address}: write {FORM}")
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as error:
        raise PosetrtError(f"no rerun viewer listens at {host}:{port} ({error.strerror or error}); start one there with: rerun") from error
