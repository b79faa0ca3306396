"""Source → letterbox → engine → parser → sinks, overlapped: reading ahead and writing behind run beside the network."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from posetrt.runtime.engines.base import Outputs
from posetrt.runtime.people import People
from posetrt.runtime.pose import Pose, Prepared
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sources import Frame

T = TypeVar("T")


@dataclass
class RunStats:
    """What a run did; times in seconds.

    Attributes:
        frames, people: counted.
        wall_s: from the first frame asked for to the last sink closed.
        network_s, parse_s: busy time of the stages in the caller's thread.
    """

    frames: int = 0
    people: int = 0
    wall_s: float = 0.0
    network_s: float = 0.0
    parse_s: float = 0.0

    @property
    def fps(self) -> float:
        """Frames a second, everything included."""
        return self.frames / self.wall_s if self.wall_s else 0.0


class _End:
    """Closes a queue; carries the exception that ended its producer."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Ahead(Generic[T]):
    """An iterator that works ahead of its reader in a thread, by at most `depth` items. Use it as a context manager."""

    def __init__(self, items: Iterable[T], depth: int = 2) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items,), name="posetrt-source", daemon=True)

    def _work(self, items: Iterable[T]) -> None:
        end = _End()
        try:
            for item in items:
                if not self._put(item):
                    break
        except BaseException as error:  # noqa: BLE001 handed to the reader, which raises it
            end = _End(error)
        self._put(end)

    def _put(self, item: T | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def __enter__(self) -> Iterator[T]:
        self._thread.start()
        return self._items()

    def _items(self) -> Iterator[T]:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


class Behind(Generic[T]):
    """Hands items to `work` in a thread, in order, at most `depth` waiting. A failure is raised by the next `put` or on exit."""

    def __init__(self, work: Callable[[T], None], depth: int = 2) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._loop, name="posetrt-sinks", daemon=True)

    def _loop(self) -> None:
        while not isinstance(item := self._queue.get(), _End):
            if self._error is None:
                try:
                    self._work(item)
                except BaseException as error:  # noqa: BLE001 raised in the caller's thread; later items are drained unworked
                    self._error = error

    def put(self, item: T) -> None:
        """Queue an item; waits while the queue is full."""
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def __enter__(self) -> Behind[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._queue.put(_End())
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error


def results(
    pose: Pose, frames: Iterable[Frame], stats: RunStats | None = None, *, keep_outputs: bool = False
) -> Generator[Result, None, None]:
    """People of every frame, in order; decoding and letterboxing run ahead in a thread.

    Args:
        pose: an open network.
        frames: a source, or any frames.
        stats: counted up as frames pass.
        keep_outputs: give the network's outputs with each result, for drawing maps.

    Raises:
        PosetrtError: what a stage raised, in the caller's thread.
    """
    stats = stats if stats is not None else RunStats()

    def prepared() -> Iterator[tuple[Frame, Prepared]]:
        for frame in frames:
            yield frame, pose.prepare(frame.image)

    started = time.perf_counter()
    with Ahead(prepared()) as ahead:
        for frame, ready in ahead:
            before = time.perf_counter()
            outputs: Outputs = pose.engine.infer(ready.tensor)
            between = time.perf_counter()
            people: People = pose.finish(outputs, ready.box)
            after = time.perf_counter()
            stats.network_s += between - before
            stats.parse_s += after - between
            stats.frames += 1
            stats.people += len(people)
            stats.wall_s = after - started
            yield Result(frame, people, pose.manifest, ready.box, outputs if keep_outputs else None)


def run(pose: Pose, frames: Iterable[Frame], sinks: Sequence[Sink], progress: Callable[[RunStats], None] | None = None) -> RunStats:
    """Run a source through a network into sinks; each sink is closed, also after an error.

    Args:
        pose: an open network.
        frames: a source.
        sinks: written in order, in a thread of their own.
        progress: called after each frame.

    Returns:
        Counts and times of the whole run.
    """
    stats = RunStats()
    started = time.perf_counter()

    def write(result: Result) -> None:
        for sink in sinks:
            sink.write(result)

    try:
        with Behind(write) as behind:
            for result in results(pose, frames, stats, keep_outputs=any(sink.needs_outputs for sink in sinks)):
                behind.put(result)
                if progress is not None:
                    progress(stats)
    finally:
        for sink in sinks:
            sink.close()
    stats.wall_s = time.perf_counter() - started
    return stats
