"""Annotated video, each frame at its own time. Alone imports PyAV."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import written_whole
from posetrt.runtime.packages import install_hint
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.draw import DRAWINGS

_TICK = Fraction(1, 60_000)
"""Of an .mp4: whole in 24, 25, 30, 50, 60 and 120 frames a second and in 29.97; MPEG-4 takes at most 65535 ticks a second."""
_LONGEST_GAP_S = 10.0
"""An .avi has no times: a gap is filled with repeated frames, and one of a camera that was away for longer is cut to this."""
_QUALITY = 118 * 4
"""libavcodec's lambda (118 a quantiser step) for a quantiser of 4, where drawn lines stay sharp."""


class _GivenUp(Exception):
    """Nothing is to take the video's name."""


@dataclass(frozen=True)
class _Kind:
    """How one suffix is written: libav's names of its container, its encoder and its pixels."""

    container: str
    encoder: str
    pixels: str


_KINDS = {".mp4": _Kind("mp4", "mpeg4", "yuv420p"), ".avi": _Kind("avi", "mjpeg", "yuvj420p")}


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
        self.draw = DRAWINGS[what]
        self.needs_outputs = what != "people"
        kind = _KINDS.get(path.suffix.lower())
        if kind is None:
            raise UsageError(f"a video is written as .mp4 or .avi; got {path.name}")
        if not 0 < fps < 100_000:
            raise UsageError(f"a video's rate lies between 0 and 100000 frames a second; got {fps:g}")
        self._kind = kind
        self._rate = Fraction(fps).limit_denominator(1001)
        if self._rate <= 0:
            self._rate = Fraction(1, 1001)
        self._constant = kind.container == "avi"
        self._tick = 1 / self._rate if self._constant else _TICK
        # Told now: a run of an hour must not end with a codec that is not there, or in a folder that takes no file.
        _try_encoder(kind, self._rate, self._tick)
        self._opened = ExitStack()
        self._temporary = self._opened.enter_context(written_whole(path))
        self._writing: _Writing | None = None
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
                self._writing = _Writing(self._temporary, self._kind, self._rate, self._tick, size_wh)
            if (image.shape[1], image.shape[0]) != self._writing.size_wh:
                image = np.asarray(cv2.resize(image, self._writing.size_wh, interpolation=cv2.INTER_AREA), np.uint8)
            self._writing.add(image, self._place(time_s))
        except _errors() as error:
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
        return PosetrtError(
            f"cannot write {self.path}: {reason}. What stood there before is unchanged; free space or choose a folder that you may write to"
        )

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
            _check_whole(self._temporary, self._writing.packets)
        except _errors() as error:
            raise self._failed(error) from error
        self._closed = True
        self._opened.close()


class _Writing:
    """An encoder and its container, written through a Python file: any name will do, and an error of the disk is an error here.

    Attributes:
        size_wh: of the video.
        packets: written so far.
    """

    def __init__(self, path: Path, kind: _Kind, rate: Fraction, tick: Fraction, size_wh: tuple[int, int]) -> None:
        av = _av()
        self.size_wh, self.packets = size_wh, 0
        self._tick, self._constant = tick, kind.container == "avi"
        self._file: IO[bytes] = path.open("wb", buffering=0)
        self._container: Any = av.open(self._file, "w", format=kind.container)
        self._stream = _with_encoder(self._container, kind, rate, tick, size_wh)
        self._first: int | None = None
        self._held: Any = None
        self._step = max(1, round(1 / rate / tick))

    def add(self, image: NDArray[np.uint8], place: int) -> None:
        """Append a (H, W, 3) uint8 BGR picture at a time in ticks; one that is not above the last is put right behind it."""
        av = _av()
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        self._first = place if self._first is None else self._first
        frame.pts, frame.time_base = place - self._first, self._tick
        if self._held is not None:
            frame.pts = max(frame.pts, self._held.pts + 1)
        self._pass_on(self._stream.encode(frame))

    def _pass_on(self, packets: Sequence[Any]) -> None:
        # A packet is held until the next says how long its frame is shown.
        for packet in packets:
            if self._held is not None:
                self._mux(packet.pts - self._held.pts)
            self._held = packet

    def _mux(self, length: int) -> None:
        packet, self._held = self._held, None
        self._step = length
        data, base = bytes(packet), packet.pts
        repeats = length if self._constant else 1
        for number in range(repeats):
            copy = _av().Packet(data) if number else packet
            copy.stream, copy.time_base = self._stream, packet.time_base
            copy.pts = copy.dts = base + number
            copy.duration = 1 if self._constant else length
            copy.is_keyframe = packet.is_keyframe
            self._container.mux(copy)
            self.packets += 1

    def finish(self) -> None:
        """Write all that is held, and the container's index."""
        self._pass_on(self._stream.encode(None))
        if self._held is not None:
            self._mux(1 if self._constant else self._step)
        self._container.close()
        self._file.close()

    def abandon(self) -> None:
        """Let go of everything; errors of a full disk come again here and are not news."""
        with contextlib.suppress(*_errors()):
            self._container.close()
        with contextlib.suppress(OSError):
            self._file.close()


def _with_encoder(container: Any, kind: _Kind, rate: Fraction, tick: Fraction, size_wh: tuple[int, int]) -> Any:
    stream = container.add_stream(kind.encoder, options={"flags": "+qscale", "global_quality": str(_QUALITY)})
    stream.width, stream.height = size_wh
    stream.pix_fmt = kind.pixels
    stream.codec_context.framerate = rate
    stream.time_base = stream.codec_context.time_base = tick
    return stream


def _try_encoder(kind: _Kind, rate: Fraction, tick: Fraction) -> None:
    """Encode a picture into memory.

    Raises:
        PosetrtError: PyAV is missing, or has no such encoder.
    """
    import io

    av = _av()
    try:
        with av.open(io.BytesIO(), "w", format=kind.container) as container:
            stream = _with_encoder(container, kind, rate, tick, (64, 64))
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="bgr24")
            frame.pts, frame.time_base = 0, tick
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    except _errors() as error:
        raise PosetrtError(
            f"this PyAV ({av.__version__}) cannot write {kind.encoder} at {float(rate):g} frames a second: {error}"
        ) from error


def _check_whole(path: Path, packets: int) -> None:
    """Raises: ValueError: the file does not hold that many frames: a disk may take bytes and keep none."""
    with path.open("rb") as file, _av().open(file) as container:
        found = sum(1 for packet in container.demux(video=0) if packet.size)
    if found != packets:
        raise ValueError(f"the finished file holds {found} of {packets} frames; is the disk full?")


def _errors() -> tuple[type[Exception], ...]:
    """What PyAV raises, and Python's own file under it."""
    return (OSError, ValueError, _av().FFmpegError)


def _av() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise PosetrtError(f"writing video needs the package av (PyAV): {install_hint('av')}") from error
    return av


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
        self.needs_outputs = what != "people"

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
