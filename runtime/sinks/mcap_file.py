"""People, events and pictures in an MCAP file, in Foxglove's own messages."""

from __future__ import annotations

import colorsys
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import written_whole
from posetrt.runtime.packages import install_hint
from posetrt.runtime.sinks.address import split_options, whole_number, yes_or_no
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sources.names import path_part

_GOLDEN = 0.618034
"""Hues of people whose numbers follow each other lie this far apart: never near."""

OPTIONS = {"image": "yes or no: the frames too; default yes", "quality": "of their JPEG, 1 to 100; default 80"}


def open_mcap(argument: str, say: Callable[[str], None]) -> Sink:  # noqa: ARG001 a file does not go away
    """The sink `mcap=FILE.mcap`.

    Raises:
        UsageError: another suffix, or options that do not exist.
        PosetrtError: foxglove-sdk is missing, or the file cannot be made.
    """
    place, options = split_options(argument, OPTIONS, "mcap=FILE.mcap")
    if Path(place).suffix.lower() != ".mcap":
        raise UsageError(f"an MCAP file is called .mcap; got {place}")
    return McapFile(Path(place), image=yes_or_no(options, "image", True), quality=whole_number(options, "quality", 80, 1, 100))


class McapFile(Sink):
    """Writes one file; it appears under its name when it is complete, or when the run was interrupted.

    Topics of each source, with its label in place of SOURCE: /SOURCE/image (CompressedImage), /SOURCE/people (ImageAnnotations: parts, limbs,
    boxes, ids), /SOURCE/scene (SceneUpdate: limbs in space, see `_scene`) and /SOURCE/events (Log).

    Args:
        path: of the file.
        image: write the frames too.
        quality: of their JPEG.

    Raises:
        PosetrtError: foxglove-sdk is missing, or the file cannot be made.
    """

    def __init__(self, path: Path, *, image: bool = True, quality: int = 80) -> None:
        try:
            import foxglove
            from foxglove import channels, messages
        except ModuleNotFoundError as error:
            raise PosetrtError(f"an MCAP file needs the package foxglove-sdk: {install_hint('foxglove')}") from error
        self._types, self._channels_of = messages, channels
        self._path, self._image, self._quality = path, image, quality
        self._context = foxglove.Context()
        self._opened = ExitStack()
        temporary = self._opened.enter_context(written_whole(path))
        try:
            self._writer: Any = foxglove.open_mcap(temporary, context=self._context, allow_overwrite=True)
        except Exception as error:
            self._opened.close()
            raise PosetrtError(f"cannot write {path}: {error}") from error
        self._channels: dict[tuple[str, str], Any] = {}

    def write(self, result: Result) -> None:
        """Add one frame's messages, each at the frame's time: of a live source that of the day, of a file from 1970 on."""
        age = result.age_s
        log_time = round(result.frame.time_s * 1e9) if age is None else time.time_ns() - round(age * 1e9)
        stamp = self._types.Timestamp(log_time // 1_000_000_000, log_time % 1_000_000_000)
        label = path_part(result.frame.label)
        if self._image:
            import cv2

            encoded = cv2.imencode(".jpg", result.frame.image, [cv2.IMWRITE_JPEG_QUALITY, self._quality])[1]
            message = self._types.CompressedImage(timestamp=stamp, frame_id=label, data=encoded.tobytes(), format="jpeg")
            self._channel(label, "image", "CompressedImageChannel").log(message, log_time=log_time)
        self._channel(label, "people", "ImageAnnotationsChannel").log(self._annotations(result, stamp), log_time=log_time)
        self._channel(label, "scene", "SceneUpdateChannel").log(self._scene(result, stamp, label), log_time=log_time)
        for event in result.events or ():
            message = self._types.Log(
                timestamp=stamp, level=self._types.LogLevel.Info, message=json.dumps(event.to_dict()), name=event.name
            )
            self._channel(label, "events", "LogChannel").log(message, log_time=log_time)

    def _channel(self, label: str, what: str, kind: str) -> Any:
        if (label, what) not in self._channels:
            self._channels[label, what] = getattr(self._channels_of, kind)(f"/{label}/{what}", context=self._context)
        return self._channels[label, what]

    def _annotations(self, result: Result, stamp: Any) -> Any:
        """Parts, limbs, boxes and ids; Foxglove counts from the corner of the first pixel, and key points from its centre."""
        types, people, limbs = self._types, result.people, result.manifest.skeleton.limbs
        points, texts = [], []
        kinds = types.PointsAnnotationType
        for person in range(len(people)):
            colour = self._colour(result, person)
            keypoints = people.keypoints[person]
            seen = keypoints[:, 2] > 0
            places = [types.Point2(x=float(x) + 0.5, y=float(y) + 0.5) for x, y, _ in keypoints]
            ends = [places[end] for limb in limbs if seen[list(limb)].all() for end in limb]
            if ends:
                points.append(
                    types.PointsAnnotation(timestamp=stamp, type=kinds.LineList, points=ends, outline_color=colour, thickness=2.0)
                )
            found = [place for place, sure in zip(places, seen, strict=True) if sure]
            if found:
                points.append(types.PointsAnnotation(timestamp=stamp, type=kinds.Points, points=found, outline_color=colour, thickness=4.0))
            corner = found[0] if found else None
            if people.boxes is not None:
                x, y, width, height = (float(value) for value in people.boxes[person])
                corners = [types.Point2(x=at, y=down) for at, down in ((x, y), (x + width, y), (x + width, y + height), (x, y + height))]
                points.append(
                    types.PointsAnnotation(timestamp=stamp, type=kinds.LineLoop, points=corners, outline_color=colour, thickness=1.0)
                )
                corner = corners[0]
            if people.ids is not None and corner is not None:
                texts.append(
                    types.TextAnnotation(timestamp=stamp, position=corner, text=str(people.ids[person]), font_size=16.0, text_color=colour)
                )
        return types.ImageAnnotations(points=points, texts=texts)

    def _scene(self, result: Result, stamp: Any, label: str) -> Any:
        """Limbs in space, where people were triangulated in the cameras' world; else in the picture's plane: x to the right, y down, and the
        frame's height is 1. Each frame takes the place of the one before."""
        types, people = self._types, result.people
        flat = people.keypoints_3d is None
        entities = []
        for person in range(len(people)):
            spots = _flat(people.keypoints[person], result.frame.size_wh[1]) if people.keypoints_3d is None else people.keypoints_3d[person]
            seen = spots[:, 3] > 0
            ends = [
                types.Point3(x=float(spots[end, 0]), y=float(spots[end, 1]), z=float(spots[end, 2]))
                for limb in result.manifest.skeleton.limbs
                if seen[list(limb)].all()
                for end in limb
            ]
            line = types.LinePrimitive(
                type=types.LinePrimitiveLineType.LineList,
                points=ends,
                thickness=3.0,
                scale_invariant=True,
                color=self._colour(result, person),
            )
            name = str(person if people.ids is None else people.ids[person])
            entities.append(types.SceneEntity(timestamp=stamp, frame_id=label if flat else "world", id=name, lines=[line]))
        gone = types.SceneEntityDeletion(timestamp=stamp, type=types.SceneEntityDeletionType.All)
        return types.SceneUpdate(deletions=[gone], entities=entities)

    def _colour(self, result: Result, person: int) -> Any:
        number = person if result.people.ids is None else int(result.people.ids[person])
        red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.8, 1.0)
        return self._types.Color(r=red, g=green, b=blue, a=1.0)

    def close(self) -> None:
        """Finish the file and give it its name; closing twice is harmless.

        Raises:
            PosetrtError: it could not be finished.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        with self._opened:
            try:
                writer.close()
            except Exception as error:
                raise PosetrtError(f"cannot finish {self._path}: {error}") from error


def _flat(keypoints: NDArray[np.float32], height: int) -> NDArray[np.float64]:
    """(K, 4): x, y of the frame with a height of 1, z of 0, and score."""
    x, y, score = ((keypoints[:, 0] + 0.5) / height, (keypoints[:, 1] + 0.5) / height, keypoints[:, 2])
    return np.stack([x, y, np.zeros_like(x), score], axis=1).astype(np.float64)
