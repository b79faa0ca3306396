"""Pictures to the bytes of a video file. Alone imports PyAV."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.packages import install_hint

TICK = Fraction(1, 60_000)
"""Of an .mp4: whole in 24, 25, 30, 50, 60 and 120 frames a second and in 29.97; MPEG-4 takes at most 65535 ticks a second."""
_QUALITY = 118 * 4
"""libavcodec's lambda (118 a quantiser step) for a quantiser of 4, where drawn lines stay sharp."""


@dataclass(frozen=True)
class Kind:
    """How one suffix is written: libav's names of its container, its encoder and its pixels."""

    container: str
    encoder: str
    pixels: str


KINDS = {".mp4": Kind("mp4", "mpeg4", "yuv420p"), ".avi": Kind("avi", "mjpeg", "yuvj420p")}


class Encoder:
    """An encoder and its container, written through a Python file: any name will do, and an error of the disk is an error here.

    Attributes:
        size_wh: of the video.
        packets: written so far.
    """

    def __init__(self, path: Path, kind: Kind, rate: Fraction, tick: Fraction, size_wh: tuple[int, int]) -> None:
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
        with contextlib.suppress(*errors()):
            self._container.close()
        with contextlib.suppress(OSError):
            self._file.close()


def _with_encoder(container: Any, kind: Kind, rate: Fraction, tick: Fraction, size_wh: tuple[int, int]) -> Any:
    stream = container.add_stream(kind.encoder, options={"flags": "+qscale", "global_quality": str(_QUALITY)})
    stream.width, stream.height = size_wh
    stream.pix_fmt = kind.pixels
    stream.codec_context.framerate = rate
    stream.time_base = stream.codec_context.time_base = tick
    return stream


def try_encoder(kind: Kind, rate: Fraction, tick: Fraction) -> None:
    """Encode a picture into memory.

    Raises:
        PosetrtError: PyAV is missing, or has no such encoder.
    """
    av = _av()
    try:
        with av.open(io.BytesIO(), "w", format=kind.container) as container:
            stream = _with_encoder(container, kind, rate, tick, (64, 64))
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="bgr24")
            frame.pts, frame.time_base = 0, tick
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    except errors() as error:
        raise PosetrtError(
            f"this PyAV ({av.__version__}) cannot write {kind.encoder} at {float(rate):g} frames a second: {error}"
        ) from error


def check_whole(path: Path, packets: int) -> None:
    """Raises: ValueError: the file does not hold that many frames: a disk may take bytes and keep none."""
    with path.open("rb") as file, _av().open(file) as container:
        found = sum(1 for packet in container.demux(video=0) if packet.size)
    if found != packets:
        raise ValueError(f"the finished file holds {found} of {packets} frames; is the disk full?")


def errors() -> tuple[type[Exception], ...]:
    """What PyAV raises, and Python's own file under it."""
    return (OSError, ValueError, _av().FFmpegError)


def _av() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise PosetrtError(f"writing video needs the package av (PyAV): {install_hint('av')}") from error
    return av
