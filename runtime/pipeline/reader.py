"""From a source into the first mailbox, in a thread a source."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace

from posetrt.runtime.pipeline.mailbox import Closed, Mailbox
from posetrt.runtime.pipeline.supervisor import Supervisor
from posetrt.runtime.sources.base import Frame, Source


class Reader:
    """Reads one source into its place in the mailbox, and counts what comes.

    Args:
        supervisor: of the run.
        source: read to its end, or until the run stops.
        number: its place among the sources.
        alone: whether it is the only one; of several, frames are named by their source.
        outlet: a place a source.
        failed: takes the error that ended the source.
    """

    def __init__(
        self, supervisor: Supervisor, source: Source, number: int, alone: bool, outlet: Mailbox[Frame], failed: Callable[[Exception], None]
    ) -> None:
        self._supervisor, self._stats = supervisor, supervisor.stats
        self._source, self._number, self._alone = source, number, alone
        self._outlet, self._failed = outlet, failed

    def read(self) -> None:
        """Read until the source ends or the run stops."""
        counts, last = self._stats.sources[self._number], -1
        frames = iter(self._source)
        try:
            while not self._supervisor.stopping.is_set():
                # A frame that was decoded before there is room for it would only take memory.
                self._outlet.wait_room(self._number)
                before = time.perf_counter()
                frame = next(frames, None)
                self._stats.reading(time.perf_counter() - before)
                if frame is None:
                    return
                if self._source.live:
                    missed, last = frame.index - last - 1, frame.index
                    damaged = min(missed, self._damaged())
                    counts.captured += missed - damaged
                    self._stats.dropping(self._number, "late", missed - damaged)
                    self._count_damaged(damaged)
                counts.captured += 1
                frame = replace(frame, name=self._name(frame), source=self._number, label=counts.label)
                try:
                    older = self._outlet.put(self._number, frame)
                except Closed:
                    self._supervisor.stopped([frame])
                    return
                if older is not None:
                    self._stats.dropping(self._number, "late")
                del frame, older
        except Closed:
            return
        except Exception as error:  # noqa: BLE001 raised by `finish`, when the frames before it are through
            self._failed(error)
            if not self._alone:
                # The others go on; of the only source, the error ends the run, which prints it.
                self._supervisor.tell(f"{counts.label}: {error}")
        finally:
            if isinstance(frames, Generator):
                frames.close()
            self._count_damaged(self._damaged())
            self._outlet.finish(self._number)

    def _damaged(self) -> int:
        """Pictures that came damaged and are not counted yet."""
        return getattr(self._source, "damaged", 0) - self._stats.sources[self._number].damaged

    def _count_damaged(self, count: int) -> None:
        self._stats.sources[self._number].captured += count
        self._stats.dropping(self._number, "damaged", count)

    def _name(self, frame: Frame) -> str:
        """Two sources may call their frames alike, and files are named by them."""
        name, label, own = frame.name, self._stats.sources[self._number].label, self._source.label
        if self._alone:
            return name
        # A video's and a camera's frames, and a photograph that is a source by itself, are called by their source already.
        if name in (own, f"{own}_{frame.index:012d}"):
            return label + name.removeprefix(own)
        return f"{label}_{name}"
