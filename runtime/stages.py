"""The stages of a run, each in its own thread, and the one place that lies between two of them.

Between two stages lies one place. A live source's newer frame takes the place of an older one, which is counted; a file's
frames wait for each other and come in order. `captured == delivered + dropped` holds for each source when a run is over.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.counts import RunStats, SourceCounts
from posetrt.runtime.engines.base import Outputs
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.letterbox import Letterbox
from posetrt.runtime.mailbox import Closed, Mailbox
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sources.base import Frame, Source
from posetrt.runtime.tracker import Tracker

if TYPE_CHECKING:
    from typing_extensions import Self

    from posetrt.runtime.pose import Pose, Prepared

T = TypeVar("T")

_GLANCE_S = 0.004
FORGIVEN_AGAIN_S = 60.0
"""A stage that fails goes on with the next frame; failing again within this time ends the run."""


@dataclass(frozen=True)
class Options:
    """How a pipeline works.

    Attributes:
        keep_outputs: give the network's outputs with each result, for drawing maps.
        track: give people stable ids.
        smooth: smooth their key points with a One-Euro filter; needs `track`.
        batch: frames of several sources in one call of the network; None: as many as the engine takes where it overlaps
            calls (a GPU), else 1: a batch makes everybody on a CPU wait for the last.
        patience_s: a stage that works on one frame for longer than this hangs.
        say: takes a line for people when something goes wrong and the run goes on.
    """

    keep_outputs: bool = False
    track: bool = False
    smooth: bool = False
    batch: int | None = None
    patience_s: float = 20.0
    say: Callable[[str], None] | None = None


@dataclass(frozen=True)
class _Batch:
    frames: list[Frame]
    boxes: list[Letterbox]
    tensor: NDArray[np.float32] | NDArray[np.uint8]
    outputs: Outputs | None = None


class Pipeline:
    """The stages and the threads between them. Use it as a context manager and take results from it.

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
        self.pose = pose
        self.sources = list(sources)
        self.options = options or Options()
        self.stats = stats or RunStats()
        self.stats.precision, self.stats.backend = pose.engine.precision, pose.engine.backend
        self.stats.readers = len(self.sources)
        self.stats.sources = [SourceCounts(label, source.live) for label, source in zip(labels(self.sources), self.sources, strict=True)]
        self.error: BaseException | None = None
        self._source_errors: list[BaseException] = []
        self._sinks = list(sinks)
        live = [source.live for source in self.sources]
        self._live = any(live)
        self._captured: Mailbox[Frame] = Mailbox(live)
        self._ready: Mailbox[_Batch] = Mailbox([False])
        self._computed: Mailbox[_Batch] = Mailbox([False])
        self._found: Mailbox[Result] = Mailbox(live)
        self._trackers = [Tracker(pose.manifest.skeleton, smooth=self.options.smooth) if self.options.track else None for _ in live]
        self._batch = self.options.batch or self._batch_of_engine()
        self._stopping = threading.Event()
        self._failed_s: dict[str, float] = {}
        self._turn = {"letterbox": 0, "network": 0, "parser": 0, "sinks": 0}
        self._hand: dict[str, list[Frame]] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._started_s = 0.0
        self._given_up = False
        self._writing: Sink | None = None

    def _batch_of_engine(self) -> int:
        most = self.pose.manifest.input.max_batch or len(self.sources)
        return min(most, len(self.sources)) if self.pose.engine.frames_in_flight > 1 else 1

    def start(self) -> None:
        """Start reading. A network's first call is slow: a camera's first frame need not wait for it."""
        if self._live:
            width, height = self.pose.manifest.input.size_wh
            self.pose(np.full((height, width, 3), 128, np.uint8))
        self._started_s = time.perf_counter()
        for number, source in enumerate(self.sources):
            self._spawn(f"source-{number}", self._read, number, source)
        for stage in ("letterbox", "network", "parser", *(["sinks"] if self._sinks else [])):
            self._start_stage(stage)
        if self._live:
            self._spawn("watchdog", self._watch)

    def stop(self) -> None:
        """End within the frame that each stage is at; frames that wait are counted as stopped. Not for signal handlers: it takes locks."""
        self._stopping.set()
        for source in self.sources:
            source.close()
        self._count(self._captured.close())
        self._count(frame for batch in self._ready.close() + self._computed.close() for frame in batch.frames)
        self._count(result.frame for result in self._found.close())

    @property
    def running(self) -> bool:
        """Whether the last stage still works; not once a stage is found to hang for good."""
        return not self._given_up and any(
            thread.is_alive() for thread in self._threads if "sinks" in thread.name or "parser" in thread.name
        )

    @property
    def hanging_sink(self) -> Sink | None:
        """The sink that does not come back from a write, when the run is over: closing it may wait for ever too."""
        return self._writing if any(thread.is_alive() and "sinks" in thread.name for thread in self._threads) else None

    def results(self) -> Iterator[Result]:
        """People of each frame as they come; for a live source that outruns the caller, the newest."""
        while True:
            try:
                result = self._found.take()[0]
            except Closed:
                break
            self._deliver(result)
            yield result
        self.finish()

    def finish(self) -> None:
        """Stop, wait for the threads, and raise what ended the run.

        Raises:
            PosetrtError: what a stage or a source raised, or a stage that hangs.
        """
        self.stop()
        for thread in self._threads:
            thread.join(self.options.patience_s if self.error is None else 2.0)
        self.stats.wall_s = time.perf_counter() - self._started_s
        hanging = sorted(thread.name.removeprefix("posetrt-") for thread in self._threads if thread.is_alive())
        error = self.error or next(iter(self._source_errors), None)
        if error is None and hanging:
            error = PosetrtError(f"{', '.join(hanging)} did not end within {self.options.patience_s:g} s of the stop")
        if error is not None:
            self.stats.reason = str(error)
            raise error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(self.options.patience_s if self.error is None else 2.0)
        self.stats.wall_s = time.perf_counter() - self._started_s

    # The stages, each in its thread.

    def _read(self, number: int, source: Source) -> None:
        counts, last = self.stats.sources[number], -1
        frames = iter(source)
        try:
            while not self._stopping.is_set():
                before = time.perf_counter()
                frame = next(frames, None)
                self.stats.reading(time.perf_counter() - before)
                if frame is None:
                    return
                if source.live:
                    missed, last = frame.index - last - 1, frame.index
                    counts.captured += missed
                    self.stats.dropping(number, "late", missed)
                counts.captured += 1
                name = frame.name
                if len(self.sources) > 1:
                    # Two sources may call their frames alike, and files are named by them.
                    name = counts.label + name.removeprefix(source.label) if name.startswith(source.label) else f"{counts.label}_{name}"
                frame = replace(frame, name=name, source=number, label=counts.label)
                try:
                    older = self._captured.put(number, frame)
                except Closed:
                    self._count([frame])
                    return
                if older is not None:
                    self.stats.dropping(number, "late")
        except Exception as error:  # noqa: BLE001 raised by `finish`, when the frames before it are through
            self._source_errors.append(error)
            self.tell(f"{counts.label}: {error}")
        finally:
            if isinstance(frames, Generator):
                frames.close()
            self._captured.finish(number)

    def _letterbox(self, turn: int) -> None:
        while self._mine("letterbox", turn):
            if self._live:
                self._hold_back()
            frames = self._captured.take(self._batch)
            prepared = self._on("letterbox", turn, frames, partial(self._prepare, frames))
            if prepared is None:
                continue
            tensor = prepared[0].tensor if len(prepared) == 1 else np.concatenate([each.tensor for each in prepared])
            self._pass_on(self._ready, _Batch(frames, [each.box for each in prepared], tensor))
            if self._live:
                self._keep_fresh(turn, frames)

    def _keep_fresh(self, turn: int, frames: list[Frame]) -> None:
        """Until the network takes what lies there, put a newer frame of the same source in its place: the network may take longer than usual."""
        source = frames[0].source
        single = len(frames) == 1 and self.sources[source].live
        while not self._ready.wait_empty(_GLANCE_S if single else None):
            newer = self._captured.take_from(source)
            if newer is None:
                continue
            prepared = self._on("letterbox", turn, [newer], partial(self._prepare, [newer]))
            if prepared is None:
                continue
            try:
                self._ready.swap(0, _Batch([newer], [prepared[0].box], prepared[0].tensor))
            except Closed:
                self._count([newer])
                raise
            # Where the network was quicker, the source has had its turn: others wait, and its next frame comes soon.
            self.stats.dropping(source, "late")

    def _prepare(self, frames: list[Frame]) -> list[Prepared]:
        return [self.pose.prepare(frame.image) for frame in frames]

    def _hold_back(self) -> None:
        """Wait until the network is about to be free: a frame letterboxed earlier would only grow old, and a newer one come."""
        network, letterbox = self.stats.stages["network"], self.stats.stages["letterbox"]
        began = network.began_s
        if began is not None and self.pose.engine.frames_in_flight == 1:
            wait = began + network.typical_s - 2 * letterbox.worst_s - 0.002 - time.perf_counter()
            if wait > 0:
                self._stopping.wait(wait)

    def _network(self, turn: int) -> None:
        engine = self.pose.engine
        under_way: deque[_Batch] = deque()

        def work() -> list[Outputs]:
            if taken:
                engine.submit(taken[0].tensor)
                under_way.append(taken[0])
            return [_kept(engine.collect())] if len(under_way) >= engine.frames_in_flight or not taken else []

        open_ = True
        while self._mine("network", turn) and (open_ or under_way):
            try:
                taken = self._ready.take(wait=not under_way) if open_ else []
            except Closed:
                taken, open_ = [], False
                if not under_way:
                    return
            frames = [frame for batch in (*under_way, *taken) for frame in batch.frames]
            outputs = self._on("network", turn, frames, work)
            if outputs is None:
                # What is in flight belongs to frames that were given up with the one that failed.
                self._drain(under_way)
            for each in outputs or []:
                self._pass_on(self._computed, replace(under_way.popleft(), outputs=each))

    def _drain(self, under_way: deque[_Batch]) -> None:
        while under_way:
            under_way.popleft()
            try:
                self.pose.engine.collect()
            except PosetrtError:
                continue

    def _parser(self, turn: int) -> None:
        while self._mine("parser", turn):
            batch = self._computed.take()[0]
            for number, frame in enumerate(batch.frames):
                result = self._on("parser", turn, [frame], partial(self._parse, frame, batch, number))
                if result is None:
                    continue
                try:
                    older = self._found.put(frame.source, result)
                except Closed:
                    self._count(batch.frames[number:])
                    raise
                if older is not None:
                    self.stats.dropping(frame.source, "late")

    def _parse(self, frame: Frame, batch: _Batch, number: int) -> Result:
        assert batch.outputs is not None
        outputs = _only(batch.outputs, number)
        people = self.pose.finish(outputs, batch.boxes[number])
        if not len(people) and any(not np.isfinite(values).all() for values in _arrays(outputs)):
            self.stats.not_finite += 1
            if self.stats.not_finite == 1:
                self.tell(
                    f"{frame.label}: the network gave values that are not numbers, which show nobody; "
                    "check its precision with: posetrt eval, or build it again"
                )
        tracker = self._trackers[frame.source]
        if tracker is not None:
            people = tracker.update(people, frame.time_s)
        kept = outputs if self.options.keep_outputs else None
        return Result(frame, people, self.pose.manifest, batch.boxes[number], kept, self.stats)

    def _write(self, turn: int) -> None:
        def write(result: Result) -> bool:
            for sink in self._sinks:
                self._writing = sink
                sink.write(result)
            self._writing = None
            return True

        while self._mine("sinks", turn):
            result = self._found.take()[0]
            if self._on("sinks", turn, [result.frame], partial(write, result)):
                self._deliver(result)

    def _watch(self) -> None:
        """Begin a stage anew that hangs on a frame, once; then end the run. Sinks and network are not entered a second time."""
        patience = self.options.patience_s
        while not self._stopping.wait(min(0.25, patience / 4)):
            self.stats.wall_s = time.perf_counter() - self._started_s
            for counts, source in zip(self.stats.sources, self.sources, strict=True):
                counts.state = source.state
            for name, stage in self.stats.stages.items():
                began = stage.began_s
                if began is None or time.perf_counter() - began < patience:
                    continue
                reason = PosetrtError(f"the {name} has worked on one frame for more than {patience:g} s and does not answer")
                over = name in ("sinks", "network") or not self._forgive(name, reason)
                if over:
                    self._fail(reason)
                with self._lock:
                    self._turn[name] += 1
                    frames = self._hand.pop(name, [])
                    stage.began_s = None
                for frame in frames:
                    self.stats.dropping(frame.source, "failed")
                if over:
                    self._given_up = True
                    self.stop()
                    return
                # Nobody waits for the thread that was left behind: it may never end.
                left = [thread for thread in self._threads if thread.name == f"posetrt-{name}"]
                self._start_stage(name)
                self._threads = [thread for thread in self._threads if thread not in left]

    # What the stages share.

    def _spawn(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name=f"posetrt-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _start_stage(self, name: str) -> None:
        stages: dict[str, tuple[Callable[[int], None], Mailbox[Any], Mailbox[Any] | None]] = {
            "letterbox": (self._letterbox, self._captured, self._ready),
            "network": (self._network, self._ready, self._computed),
            "parser": (self._parser, self._computed, self._found),
            "sinks": (self._write, self._found, None),
        }
        work, inlet, outlet = stages[name]
        turn = self._turn[name]

        def until_closed() -> None:
            try:
                work(turn)
            except Closed:
                pass
            except BaseException as error:  # noqa: BLE001 raised by `finish` in the caller's thread
                self._fail(error)
            if self._mine(name, turn):
                # Who ends early sends nobody to wait: the stages before are woken, those behind work off what they have.
                self._count(frame for item in inlet.close() for frame in _frames(item))
                if outlet is not None:
                    outlet.finish()

        self._spawn(name, until_closed)

    def _mine(self, name: str, turn: int) -> bool:
        return self._turn[name] == turn

    def _on(self, name: str, turn: int, frames: list[Frame], work: Callable[[], T]) -> T | None:
        """Work on frames; None where the stage failed on them and may go on.

        Raises:
            Closed: the stage failed and may not go on, or its frames were given up meanwhile.
        """
        self._hand[name] = frames
        try:
            with self.stats.stages[name].work():
                done = work()
        except Exception as error:
            with self._lock:
                mine = self._mine(name, turn)
            if mine:
                for frame in frames:
                    self.stats.dropping(frame.source, "failed")
                if not self._forgive(name, error):
                    self._fail(error)
                    raise Closed from error
                return None
            raise Closed from error
        with self._lock:
            if not self._mine(name, turn):
                raise Closed
            self._hand.pop(name, None)
        return done

    def _forgive(self, name: str, error: BaseException) -> bool:
        """Whether a live run goes on after a stage failed: not twice within a minute. A file's run ends at the first error."""
        if not self._live:
            return False
        now = time.monotonic()
        again = now - self._failed_s.get(name, -FORGIVEN_AGAIN_S) < FORGIVEN_AGAIN_S
        self._failed_s[name] = now
        if again:
            self.tell(f"the {name} failed again within {FORGIVEN_AGAIN_S:g} s ({error}); stopping")
            return False
        self.stats.stages[name].restarts += 1
        self.tell(f"the {name} failed on a frame ({type(error).__name__}: {error}); going on with the next")
        return True

    def _fail(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
            self.stats.reason = str(error)

    def _pass_on(self, box: Mailbox[_Batch], batch: _Batch) -> None:
        try:
            box.put(0, batch)
        except Closed:
            self._count(batch.frames)
            raise

    def _deliver(self, result: Result) -> None:
        self.stats.delivered(result.frame.source, len(result.people), result.frame.captured_s)
        self.stats.wall_s = time.perf_counter() - self._started_s

    def _count(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self.stats.dropping(frame.source, "stopped")

    def tell(self, line: str) -> None:
        """Note a line for people, and say it where somebody listens."""
        self.stats.events.append(line)
        if self.options.say is not None:
            self.options.say(line)


def labels(sources: Sequence[Source]) -> list[str]:
    """A different label for each source: a second `camera` is `camera-2`."""
    given: list[str] = []
    for source in sources:
        label, number = source.label, 2
        while label in given:
            label, number = f"{source.label}-{number}", number + 1
        given.append(label)
    return given


def _frames(item: Frame | _Batch | Result) -> list[Frame]:
    if isinstance(item, _Batch):
        return item.frames
    return [item.frame if isinstance(item, Result) else item]


def _arrays(outputs: Outputs) -> Iterator[NDArray[np.floating]]:
    return (value for each in fields(outputs) if (value := getattr(outputs, each.name)) is not None)


def _kept(outputs: Outputs) -> Outputs:
    """Copies: the engine's own buffers are filled again while the parser works."""
    return Outputs(**{each.name: None if (value := getattr(outputs, each.name)) is None else value.copy() for each in fields(outputs)})


def _only(outputs: Outputs, number: int) -> Outputs:
    """One frame of a batch."""
    return Outputs(
        **{each.name: None if (value := getattr(outputs, each.name)) is None else value[number : number + 1] for each in fields(outputs)}
    )
