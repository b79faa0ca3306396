"""Source → letterbox → network → parser → tracker → sinks, overlapped so that the slowest alone sets the rate: as a loop, or into sinks."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from posetrt.runtime.counts import RunStats
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sources.base import Frame, Source
from posetrt.runtime.stages import Options, Pipeline

if TYPE_CHECKING:
    from posetrt.runtime.pose import Pose

__all__ = ["Options", "Pipeline", "Result", "RunStats", "results", "run"]


def results(
    pose: Pose,
    source: Source | Iterable[Frame],
    stats: RunStats | None = None,
    *,
    keep_outputs: bool = False,
    options: Options | None = None,
) -> Generator[Result, None, None]:
    """People of every frame of a source; of a live one, of the newest.

    Args:
        pose: an open network.
        source: a source, or any frames, in order.
        stats: counted up as frames pass.
        keep_outputs: as in `Options`, where none are given.

    Raises:
        PosetrtError: what a stage raised, in the caller's thread.
    """
    whole: Source = source if hasattr(source, "live") else _Given(source)  # type: ignore[assignment]
    with Pipeline(pose, [whole], options or Options(keep_outputs=keep_outputs), stats) as pipeline:
        yield from pipeline.results()


def run(
    pose: Pose,
    sources: Sequence[Source],
    sinks: Sequence[Sink],
    options: Options | None = None,
    *,
    stats: RunStats | None = None,
    progress: Callable[[RunStats], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> RunStats:
    """Run sources through a network into sinks; each sink is closed, also after an error, but for one that hangs.

    Args:
        pose: an open network.
        sources: read side by side, each getting its fair share of the network.
        sinks: written in order, in a thread of their own.
        options: `keep_outputs` is set where a sink needs it.
        stats: counted up while frames pass; others may look.
        progress: called a few times a second.
        stop: asked 50 times a second whether to end; what a signal handler has noted.

    Returns:
        Counts and times of the whole run.

    Raises:
        PosetrtError: what ended the run; else what a sink said when it was closed. After an error of the run the sinks' errors
            are lines of `RunStats.events`, since they often follow from it.
    """
    options = options or Options()
    if any(sink.needs_outputs for sink in sinks):
        options = replace(options, keep_outputs=True)
    pipeline = Pipeline(pose, sources, options, stats, sinks or [_Nowhere()])
    try:
        with pipeline:
            tick = 0
            while pipeline.running:
                if stop is not None and stop():
                    break
                tick += 1
                if progress is not None and tick % 10 == 0:
                    progress(pipeline.stats)
                time.sleep(0.02)
            pipeline.finish()
    except BaseException:
        _close_after_error(sinks, pipeline)
        raise
    with ExitStack() as closing:
        for sink in reversed(sinks):
            closing.callback(sink.close)
    return pipeline.stats


def _close_after_error(sinks: Sequence[Sink], pipeline: Pipeline) -> None:
    """Close every sink, in order; what they say does not take the place of the error that ended the run."""
    hanging = pipeline.hanging_sink
    for sink in sinks:
        if sink is hanging:
            pipeline.tell(f"{type(sink).__name__} hangs and is left as it is")
            continue
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001 a sink's error of any kind is told, and the run's own is raised
            pipeline.tell(f"{type(sink).__name__} was not closed well: {error}")


class _Given:
    """Frames that a caller has, as a source."""

    live = False
    state = "on"
    fps: float | None = None
    shortfall: str | None = None

    def __init__(self, frames: Iterable[Frame]) -> None:
        self.label = "frames"
        self.skipped: list[str] = []
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def close(self) -> None:
        """The caller's frames are the caller's."""


class _Nowhere(Sink):
    """A run that only counts."""

    def write(self, result: Result) -> None:
        """Nothing to write."""

    def close(self) -> None:
        """Nothing stays open."""
