"""Files played as if a camera gave them: a frame is due at its time, whether anybody is ready or not."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from posetrt.runtime.errors import UsageError
from posetrt.runtime.sources.base import Frame, Source


class Paced:
    """A source played at its own or another rate.

    Up to 63 frames are held in memory, decoded once, so that the rate is met whatever decoding costs; of a longer source the first 64.

    Args:
        source: any source of files.
        fps: frames a second; None plays each frame at the recording's own time.
        frames: how many to give, starting over as needed; None plays the source once, 0 for ever.

    Raises:
        UsageError: photographs without a rate, or a rate that is not positive.
    """

    live = True
    state = "on"
    HELD = 64

    def __init__(self, source: Source, fps: float | None = None, frames: int | None = None) -> None:
        rate = fps if fps is not None else source.fps
        if rate is None or rate <= 0:
            raise UsageError(f"a paced source needs a rate above 0, got {rate}; photographs have none of their own: give ?fps=30")
        self.label = source.label
        self.fps: float | None = rate
        self.skipped: list[str] = []
        self.shortfall: str | None = None
        self._rate, self._own_times = rate, fps is None
        self._source = source
        self._frames = frames
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        began = time.perf_counter()
        # Of the recording's own times: where this turn of it began, and the last frame's time in it.
        turn_s, last_s = 0.0, 0.0
        for index, frame in enumerate(self._all()):
            if self._own_times:
                if index and frame.time_s <= last_s:
                    turn_s += last_s + 1 / self._rate
                last_s, time_s = frame.time_s, turn_s + frame.time_s
            else:
                time_s = index / self._rate
            due = began + time_s
            late = time.perf_counter() - due
            if self._closed.wait(-late) if late < 0 else self._closed.is_set():
                return
            yield replace(frame, name=f"{self.label}_{index:012d}", index=index, time_s=time_s, captured_s=due, number=None)

    def _all(self) -> Iterator[Frame]:
        """The frames of a short source, held and repeated; a source that is longer plays on from its file, and then again."""
        if self._frames is None:
            return iter(self._source)
        playing = iter(self._source)
        held = list(itertools.islice(playing, self.HELD))
        if len(held) < self.HELD:
            return itertools.islice(itertools.cycle(held), self._frames or None)
        again = itertools.chain.from_iterable(itertools.repeat(self._source))
        return itertools.islice(itertools.chain(held, playing, again), self._frames or None)

    def close(self) -> None:
        """Give no further frame."""
        self._closed.set()
