"""Annotated video, each frame at its own time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import write_remedy, written_whole
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.draw import drawing
from posetrt.runtime.sinks.encoder import KINDS, TICK, Encoder, check_whole, errors, try_encoder

_LONGEST_GAP_S = 10.0
"""An .avi has no times: a gap is filled with repeated frames, and one of a camera that was away for longer is cut to this."""


class _GivenUp(Exception):
    """Nothing is to take the video's name."""


class VideoFile(Sink):
    """Writes one annotated video; it appears under its name when it is complete, or when the run was interrupted.

    An .mp4 has each frame at its `time_s`; one whose time does not rise, as a photograph's, comes 1 / fps later. An .avi has a constant rate,
    so frames are repeated where the next comes later.

    Args:
        path: .mp4 (MPEG-4) or .avi (Motion JPEG).
        fps: of the source, any positive number.
        what: "people", "heatmaps" or "pafs".

    Raises:
        UsageError: another suffix.
        PosetrtError: the file cannot be made there, or PyAV or its encoder is missing: before the first frame.
    """

    def __init__(self, path: Path, fps: float, what: str = "people") -> None:
        self.path = path
        self.draw = drawing(what)
        self.needs_tensors = what != "people"
        kind = KINDS.get(path.suffix.lower())
        if kind is None:
            raise UsageError(f"a video is written as .mp4 or .avi; got {path.name}")
        if not 0 < fps < 100_000:
            raise UsageError(f"a video's rate lies between 0 and 100000 frames a second; got {fps:g}")
        self._kind = kind
        self._rate = Fraction(fps).limit_denominator(1001)
        if self._rate <= 0:
            self._rate = Fraction(1, 1001)
        self._constant = kind.container == "avi"
        self._tick = 1 / self._rate if self._constant else TICK
        # Told now: a run of an hour must not end with a codec that is not there, or in a folder that takes no file.
        try_encoder(kind, self._rate, self._tick)
        self._opened = ExitStack()
        self._temporary = self._opened.enter_context(written_whole(path))
        self._writing: Encoder | None = None
        self._last_s: float | None = None
        self._skipped_s = 0.0
        self._closed = False

    def write(self, result: Result) -> None:
        """Draw and append one frame; see `append`."""
        self.append(self.draw(result), result.frame.time_s)

    def append(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Append a picture; one of another size than the first is scaled to it.

        Args:
            image: (H, W, 3) uint8 BGR.
            time_s: when it is shown, counted from any moment.

        Raises:
            PosetrtError: the disk is full, or the encoder failed; what stood under the name before is unchanged.
        """
        import cv2

        if self._closed:
            raise PosetrtError(f"{self.path} was closed")
        try:
            if self._writing is None:
                size_wh = max(2, image.shape[1] // 2 * 2), max(2, image.shape[0] // 2 * 2)
                self._writing = Encoder(self._temporary, self._kind, self._rate, self._tick, size_wh)
            if (image.shape[1], image.shape[0]) != self._writing.size_wh:
                image = np.asarray(cv2.resize(image, self._writing.size_wh, interpolation=cv2.INTER_AREA), np.uint8)
            self._writing.add(image, self._place(time_s))
        except errors() as error:
            raise self._failed(error) from error

    def _place(self, time_s: float) -> int:
        """The frame's time in ticks since the first, above that of the frame before."""
        time_s -= self._skipped_s
        if self._last_s is not None:
            if time_s <= self._last_s:
                time_s = self._last_s + float(1 / self._rate)
            elif self._constant and time_s - self._last_s > _LONGEST_GAP_S:
                self._skipped_s += time_s - self._last_s - _LONGEST_GAP_S
                time_s = self._last_s + _LONGEST_GAP_S
        self._last_s = time_s
        return round(Fraction(time_s) / self._tick)

    def _failed(self, error: Exception) -> PosetrtError:
        """Give the file up: what it holds cannot be played."""
        self._give_up()
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        return PosetrtError(f"cannot write {self.path}: {reason}. What stood there before is unchanged; {write_remedy(error)}")

    def _give_up(self) -> None:
        self._closed = True
        if self._writing is not None:
            self._writing.abandon()
        # Leaving with an exception removes the temporary.
        self._opened.__exit__(_GivenUp, _GivenUp(), None)

    def close(self) -> None:
        """Finish the file and give it its name, once it has been read back and holds every frame; closing twice is harmless.

        Raises:
            PosetrtError: it cannot be finished; nothing is left of it, and what stood under the name before is unchanged.
        """
        if self._closed:
            return
        if self._writing is None:
            self._give_up()
            return
        try:
            self._writing.finish()
            check_whole(self._temporary, self._writing.packets)
        except errors() as error:
            raise self._failed(error) from error
        self._closed = True
        self._opened.close()


class VideoFiles(Sink):
    """An annotated video a source: FILE for one, FILE-LABEL for each of several.

    Args:
        path: .mp4 (MPEG-4) or .avi (Motion JPEG).
        rates: frames a second of the sources, in their order.
        what: "people", "heatmaps" or "pafs".

    Raises:
        UsageError, PosetrtError: as `VideoFile`, before the first frame.
    """

    def __init__(self, path: Path, rates: Sequence[float], what: str = "people") -> None:
        self._path = path
        self._rates = list(rates)
        self._what = what
        # The first is made now, so that what cannot be is told before the first frame; of several the names are not known yet.
        self._files = {0: VideoFile(path, rates[0], what)} if len(rates) == 1 else {}
        if not self._files:
            for rate in self._rates:
                VideoFile(path, rate, what).close()
        self._refused: dict[int, str] = {}
        self.needs_tensors = what != "people"

    def write(self, result: Result) -> None:
        """Append to the video of this frame's source; where that failed, the others' go on, and `close` raises it again."""
        number = result.frame.source
        if number in self._refused:
            return
        try:
            if number not in self._files:
                path = self._path.with_stem(f"{self._path.stem}-{result.frame.label}")
                self._files[number] = VideoFile(path, self._rates[number], self._what)
            self._files[number].write(result)
        except PosetrtError as error:
            if len(self._rates) == 1:
                raise
            self._refused[number] = str(error)

    def close(self) -> None:
        """Finish all files, also after one of them fails."""
        with ExitStack() as closing:
            for file in reversed(self._files.values()):
                closing.callback(file.close)
        if self._refused:
            refused, self._refused = "; ".join(self._refused.values()), {}
            raise PosetrtError(refused)
