"""Source → letterbox → network → decoder → crops → tracker → sinks, overlapped so that the slowest alone sets the rate.

Between two stages lies one place. A live source's newer frame takes the place of an older one, which is counted; a file's
frames wait for each other and come in order. `captured == delivered + dropped` holds for each source when a run is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.pipeline.batch import Batch
from posetrt.runtime.pipeline.counts import RunStats, SourceCounts
from posetrt.runtime.pipeline.following import Following
from posetrt.runtime.pipeline.looking import Looking
from posetrt.runtime.pipeline.mailbox import Closed, Mailbox
from posetrt.runtime.pipeline.options import Options
from posetrt.runtime.pipeline.reader import Reader
from posetrt.runtime.pipeline.stages import Decoding, Letterboxing, Network, Writing
from posetrt.runtime.pipeline.supervisor import Stage, Supervisor
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sources.base import Frame, Source, as_nv12, enough
from posetrt.runtime.sources.names import source_labels
from posetrt.runtime.track.tracker import Tracker

if TYPE_CHECKING:
    from typing_extensions import Self

    from posetrt.runtime.events.watcher import Watcher
    from posetrt.runtime.pose import Pose
    from posetrt.runtime.track.follow import Follow

__all__ = ["Options", "Pipeline", "Result", "RunStats", "results", "run"]


class Pipeline:
    """The stages and the places between them. Use it as a context manager and take results from it.

    Args:
        pose: an open network; the pipeline alone drives it while it runs.
        sources: read each in a thread of its own.
        options: see `Options`.
        stats: counted up while frames pass.
        sinks: written in order in a thread of their own; without any, iterate over `results()`.
    """

    def __init__(
        self,
        pose: Pose,
        sources: Sequence[Source],
        options: Options | None = None,
        stats: RunStats | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        options, live = options or Options(), [source.live for source in sources]
        self.pose, self.sources, self.stats = pose, list(sources), stats or RunStats()
        self.stats.precision, self.stats.backend = pose.people_engine.precision, pose.people_engine.backend
        self.stats.readers = len(self.sources)
        spec = pose.engine.manifest.input
        for source in self.sources:
            as_nv12(source, spec.picture_wh if spec.pixel_format == "nv12" else None)
        labels = source_labels([source.label for source in self.sources])
        self.stats.sources = [SourceCounts(label, source.live) for label, source in zip(labels, self.sources, strict=True)]
        self.supervisor = Supervisor(self.stats, options, live=any(live))
        self._source_errors: list[Exception] = []
        self._captured: Mailbox[Frame] = Mailbox(live)
        self._ready: Mailbox[Batch] = Mailbox([False])
        self._computed: Mailbox[Batch] = Mailbox([False])
        self._found: Mailbox[Result] = Mailbox(live)
        self._looked: Mailbox[Result] = Mailbox(live) if pose.stages else self._found
        cues = {"smooth": options.smooth, "camera_motion": options.camera_motion, "appearance": options.appearance}
        trackers = [Tracker(pose.skeleton, **cues) if options.track else None for _ in live]
        follow = _Follow(trackers, options.follow, _watchers(pose, options, live))
        self._stages: list[Stage] = []
        every = [self._every_of(source) for source in self.sources]
        if pose.detect_every > 1:
            self.stats.looks = {name: looks for stage in pose.stages for name, looks in stage.looks.items()}
            batch = options.batch or self._batch_of_engine()
            self._stages.append(Following(self.supervisor, pose, every, batch, options.track, follow, self._captured, self._looked))
        elif pose.whole is not None:
            last: Callable[[Result], Result] = _as_it_is if pose.stages else follow
            self._stages += [
                Letterboxing(
                    self.supervisor,
                    pose.whole,
                    options.batch or self._batch_of_engine(),
                    options.no_pictures,
                    self._captured,
                    self._ready,
                ),
                Network(self.supervisor, pose.whole, self._ready, self._computed),
                Decoding(self.supervisor, pose.whole, last, options.keep_tensors, self._computed, self._found),
            ]
        if pose.stages and pose.detect_every == 1:
            self.stats.looks = {name: looks for stage in pose.stages for name, looks in stage.looks.items()}
            inlet = self._found if pose.whole is not None else self._captured
            self._stages.append(Looking(self.supervisor, pose, follow, inlet, self._looked))
        self._writing = Writing(self.supervisor, sinks, self._looked) if sinks else None

    def _every_of(self, source: Source) -> int:
        """How often a source's frames are detected in: photographs show no scene in which anybody could be followed."""
        return self.pose.detect_every if source.live or source.fps else 1

    def _batch_of_engine(self) -> int:
        most = (self.pose.whole.frames_at_once if self.pose.whole is not None else self.pose.engine.max_batch) or len(self.sources)
        return min(most, len(self.sources)) if self.pose.engine.frames_in_flight > 1 else 1

    def start(self) -> None:
        """Start reading. A network's first call is slow: a camera's first frame need not wait for it."""
        if self.supervisor.live:
            self.pose.warm_up()
        self.supervisor.start_clock()
        for number, source in enumerate(self.sources):
            reader = Reader(self.supervisor, source, number, len(self.sources) == 1, self._captured, self._source_errors.append)
            self.supervisor.spawn(f"source-{number}", reader.read)
        for stage in self._stages:
            self.supervisor.start(stage)
        if self._writing is not None:
            self.supervisor.start(self._writing)
        self.supervisor.spawn("watchdog", self.supervisor.watch, self.sources, self.stop)

    def stop(self) -> None:
        """End within the frame that each stage is at; frames that wait are counted as stopped. Not for signal handlers: it takes locks."""
        supervisor = self.supervisor
        supervisor.stopping.set()
        for source in self.sources:
            source.close()
        supervisor.stopped(self._captured.close())
        supervisor.stopped(frame for batch in self._ready.close() + self._computed.close() for frame in batch.frames)
        supervisor.stopped(result.frame for result in self._found.close() + self._looked.close())

    @property
    def running(self) -> bool:
        """Whether the last stage still works; not once a stage is found to hang for good."""
        return not self.supervisor.given_up and self.supervisor.alive("sinks", "crops", "parser")

    @property
    def hanging_sink(self) -> Sink | None:
        """The sink that does not come back from a write, when the run is over: closing it may wait for ever too."""
        return self._writing.writing if self._writing is not None and self.supervisor.alive("sinks") else None

    def results(self) -> Iterator[Result]:
        """People of each frame as they come; for a live source that outruns the caller, the newest."""
        while True:
            try:
                result = self._looked.take()[0]
            except Closed:
                break
            self.supervisor.delivered(result.frame, len(result.people), len(result.events or ()))
            yield result
        self.finish()

    def finish(self) -> None:
        """Stop, wait for the threads, and raise what ended the run.

        Raises:
            PosetrtError: what a stage or a source raised, or a stage that hangs.
        """
        self.stop()
        hanging = self.supervisor.join()
        refused = self._writing.failures if self._writing is not None else []
        error = self.supervisor.error or next(iter([*self._source_errors, *refused]), None)
        if error is None and hanging:
            error = PosetrtError(f"{', '.join(hanging)} did not end within {self.supervisor.patience_s:g} s of the stop")
        if error is not None:
            self.stats.reason = str(error)
            raise error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self.supervisor.join()


class _Follow:
    """Ids and smoothing, on what the user gets: a tracker for each source, or None. Ids that people have already are theirs.

    Then the one person who is followed, and the events, where somebody asks for that.
    """

    def __init__(self, trackers: Sequence[Tracker | None], follow: Follow | None, watchers: Sequence[Watcher]) -> None:
        self._trackers, self._follow, self._watchers = trackers, follow, watchers

    def __call__(self, result: Result) -> Result:
        tracker, frame = self._trackers[result.frame.source], result.frame
        people, target = result.people, None
        if tracker is not None:
            people = tracker.update(people, frame.time_s, frame.image if tracker.needs_image else None)
            target = None if self._follow is None else self._follow.update(people, frame.time_s, frame.image)
        events = self._watchers[frame.source].update(people, frame.time_s, frame.size_wh) if self._watchers else None
        return replace(result, people=people, target=target, events=events)


def _watchers(pose: Pose, options: Options, live: Sequence[bool]) -> list[Watcher]:
    """A watcher for each source; none where no events are looked for.

    Raises:
        UsageError: the people's skeleton lacks what a rule looks at.
    """
    if options.events is None:
        return []
    from posetrt.runtime.events.watcher import Watcher

    return [Watcher(options.events, pose.skeleton) for _ in live]


def _as_it_is(result: Result) -> Result:
    return result


def results(
    pose: Pose,
    source: Source | Iterable[Frame],
    stats: RunStats | None = None,
    *,
    keep_tensors: bool = False,
    options: Options | None = None,
) -> Generator[Result, None, None]:
    """People of every frame of a source; of a live one, of the newest.

    Args:
        pose: an open network.
        source: a source, or any frames, in order.
        stats: counted up as frames pass.
        keep_tensors: as in `Options`, where none are given.

    Raises:
        PosetrtError: what a stage raised, in the caller's thread.
    """
    whole: Source = source if hasattr(source, "live") else _Given(source)  # type: ignore[assignment]
    with Pipeline(pose, [whole], options or Options(keep_tensors=keep_tensors), stats) as pipeline:
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
        options: `keep_tensors` is set where a sink needs it. Where no sink and no network for crops needs whole pictures, sources that can
            give smaller ones are asked for them, unless `whole_pictures`.
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
    if any(sink.needs_tensors for sink in sinks):
        options = replace(options, keep_tensors=True)
    looks_at_pictures = (
        options.camera_motion or options.appearance or options.follow is not None or any(sink.needs_pictures for sink in sinks)
    )
    if pose.whole is not None and not pose.stages and not looks_at_pictures:
        options = replace(options, no_pictures=True)
        spec, alone = pose.whole.manifest.input, pose.whole.tiles is None and not options.whole_pictures
        for source in sources if alone and (spec.camera_wh is None or spec.pixel_format == "nv12") else ():
            enough(source, spec.picture_wh)
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
            pipeline.supervisor.tell(f"{type(sink).__name__} hangs and is left as it is")
            continue
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001 a sink's error of any kind is told, and the run's own is raised
            pipeline.supervisor.tell(f"{type(sink).__name__} was not closed well: {error}")


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

    needs_pictures = False

    def write(self, result: Result) -> None:
        """Nothing to write."""

    def close(self) -> None:
        """Nothing stays open."""
