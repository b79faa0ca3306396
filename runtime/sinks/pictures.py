"""Annotated pictures and video."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import written_whole
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.draw import drawing


class Pictures(Sink):
    """Writes `DIR/NAME_rendered.png`.

    Args:
        folder: made where absent.
        what: "people", "heatmaps" or "pafs".
    """

    def __init__(self, folder: Path, what: str = "people") -> None:
        self.folder = folder
        self.draw = drawing(what)
        self.needs_tensors = what != "people"

    def write(self, result: Result) -> None:
        """Draw and write one picture, whole or not at all."""
        import cv2

        target = self.folder / f"{result.frame.name}_rendered.png"
        with written_whole(target) as temporary:
            if not cv2.imwrite(str(temporary), self.draw(result)):
                raise PosetrtError(f"OpenCV could not write {target}; is the disk full?")

    def close(self) -> None:
        """Nothing stays open."""


class VideoFile(Sink):
    """Writes one annotated video; it appears under its name when it is complete, or when the run was interrupted.

    Args:
        path: .mp4 (MPEG-4) or .avi (Motion JPEG).
        fps: of the source.
        what: "people", "heatmaps" or "pafs".
    """

    def __init__(self, path: Path, fps: float, what: str = "people") -> None:
        self.path = path
        self.fps = fps
        self.draw = drawing(what)
        self.needs_tensors = what != "people"
        if path.suffix.lower() not in (".mp4", ".avi"):
            raise PosetrtError(f"a video is written as .mp4 or .avi; got {path.name}")
        self._writer: Any = None
        self._whole: ExitStack | None = None
        self._temporary: Path | None = None
        self._size_wh = (0, 0)

    def write(self, result: Result) -> None:
        """Draw and append one frame; a frame of another size than the first is scaled to it.

        Raises:
            PosetrtError: the video cannot be begun; nothing is left of it.
        """
        import cv2

        image = self.draw(result)
        if self._whole is None:
            self._begin((image.shape[1] // 2 * 2, image.shape[0] // 2 * 2))
        if (image.shape[1], image.shape[0]) != self._size_wh:
            image = np.asarray(cv2.resize(image, self._size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        self._writer.write(image)

    def _begin(self, size_wh: tuple[int, int]) -> None:
        import cv2

        with ExitStack() as opening:
            self._temporary = opening.enter_context(written_whole(self.path))
            self._size_wh = size_wh
            code = cv2.VideoWriter.fourcc(*("mp4v" if self.path.suffix.lower() == ".mp4" else "MJPG"))
            self._writer = cv2.VideoWriter(str(self._temporary), code, self.fps, size_wh)
            if not self._writer.isOpened():
                raise PosetrtError(f"OpenCV cannot write {self.path}: this build lacks the encoder, or the disk refuses")
            self._whole = opening.pop_all()

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            PosetrtError: nothing was written; nothing is left of it.
        """
        if self._whole is None:
            return
        whole, self._whole = self._whole, None
        with whole:
            self._writer.release()
            if self._temporary is not None and self._temporary.stat().st_size == 0:
                raise PosetrtError(f"OpenCV wrote nothing to {self.path}; is the disk full?")


class VideoFiles(Sink):
    """An annotated video a source: FILE for one, FILE-LABEL for each of several.

    Args:
        path: .mp4 (MPEG-4) or .avi (Motion JPEG).
        rates: frames a second of the sources, in their order.
        what: "people", "heatmaps" or "pafs".
    """

    def __init__(self, path: Path, rates: list[float], what: str = "people") -> None:
        self._path = path
        self._rates = rates
        self._what = what
        # The first is made now, so that a wrong suffix is told before the first frame.
        self._files = {0: VideoFile(path, rates[0], what)} if len(rates) == 1 else {}
        self.needs_tensors = what != "people"

    def write(self, result: Result) -> None:
        """Append to the video of this frame's source."""
        number = result.frame.source
        if number not in self._files:
            path = self._path.with_stem(f"{self._path.stem}-{result.frame.label}")
            self._files[number] = VideoFile(path, self._rates[number], self._what)
        self._files[number].write(result)

    def close(self) -> None:
        """Finish all files, also after one of them fails."""
        with ExitStack() as closing:
            for file in reversed(self._files.values()):
                closing.callback(file.close)
