"""The threads of a run, and what happens when one of them fails or hangs."""

from __future__ import annotations

import abc
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.pipeline.counts import RunStats
from posetrt.runtime.pipeline.mailbox import Closed, Mailbox
from posetrt.runtime.pipeline.options import Options
from posetrt.runtime.sources.base import Frame, Source

T = TypeVar("T")

FORGIVEN_AGAIN_S = 60.0
"""A stage that fails goes on with the next frame; failing again within this time ends the run."""
LIVE_PATIENCE_S, FILE_PATIENCE_S = 20.0, 120.0


class Stage(abc.ABC):
    """One kind of work on frames, in a thread of its own.

    Attributes:
        name: one of `counts.STAGES`.
        timed: the names that its work is timed under; its own alone, unless it does the work of several.
        inlet: where its frames come from.
        outlet: where it leaves them; None for the last.
        begun_anew: whether it may be entered a second time while the first hangs.
        may_wait: whether in a run of files it may rightly stand still, as a pipe that somebody reads slowly.
    """

    name: ClassVar[str]
    timed: ClassVar[tuple[str, ...]] = ()
    begun_anew: ClassVar[bool] = False
    may_wait: ClassVar[bool] = False
    inlet: Mailbox[Any]
    outlet: Mailbox[Any] | None

    @abc.abstractmethod
    def work(self, turn: int) -> None:
        """Take frames and pass them on until `Closed`, or until the supervisor has given this turn to another thread."""

    @staticmethod
    @abc.abstractmethod
    def frames_in(item: Any) -> list[Frame]:
        """The frames of what lies in the inlet."""


class Supervisor:
    """Starts stages, counts the frames they lose, lets a live run go on after a fault, and ends what hangs.

    Args:
        stats: counted up.
        options: `patience_s` and `say`.
        live: whether any source is live: a run of files ends at the first fault, since every frame counts there.
    """

    def __init__(self, stats: RunStats, options: Options, *, live: bool) -> None:
        usual = LIVE_PATIENCE_S if live else FILE_PATIENCE_S
        self.patience_s = usual if options.patience_s is None else options.patience_s
        self.stats = stats
        self.live = live
        self.stopping = threading.Event()
        self.error: BaseException | None = None
        self.given_up = False
        self._say = options.say
        self._stages: dict[str, Stage] = {}
        self._turn: dict[str, int] = {}
        self._hand: dict[str, list[Frame]] = {}
        self._failed_s: dict[str, float] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._started_s = time.perf_counter()
        self._leave_s: float | None = None

    def start_clock(self) -> None:
        """The run begins now."""
        self._started_s = time.perf_counter()

    def note_time(self) -> None:
        """Bring the run's time in `stats` up to now."""
        self.stats.wall_s = time.perf_counter() - self._started_s

    def spawn(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        """Run something in a thread that `join` waits for."""
        thread = threading.Thread(target=work, args=arguments, name=f"posetrt-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def start(self, stage: Stage) -> None:
        """Run a stage in a thread, in the turn that is its own now."""
        self._stages[stage.name] = stage
        turn = self._turn.setdefault(stage.name, 0)

        def until_closed() -> None:
            try:
                stage.work(turn)
            except Closed:
                pass
            except BaseException as error:  # noqa: BLE001 raised by `finish` in the caller's thread
                self.fail(error)
            if self.mine(stage.name, turn):
                # Who ends early sends nobody to wait: the stages before are woken, those behind work off what they have.
                self.stopped(frame for item in stage.inlet.close() for frame in stage.frames_in(item))
                if stage.outlet is not None:
                    stage.outlet.finish()

        self.spawn(stage.name, until_closed)

    def alive(self, *names: str) -> bool:
        """Whether the thread of one of these stages still runs."""
        return any(thread.is_alive() for thread in self._threads if thread.name.removeprefix("posetrt-") in names)

    def join(self) -> list[str]:
        """Wait for all threads, and note the run's time; the names of those that do not end."""
        if self._leave_s is None:
            self._leave_s = time.perf_counter() + (self.patience_s if self.error is None else 2.0)
        for thread in self._threads:
            thread.join(max(0.0, self._leave_s - time.perf_counter()))
        self.note_time()
        # Stages hold this object, and the frames that they had should not wait for the garbage collector.
        self._stages.clear()
        return sorted(thread.name.removeprefix("posetrt-") for thread in self._threads if thread.is_alive())

    def mine(self, name: str, turn: int) -> bool:
        """Whether the stage's thread of that turn is still the one that counts."""
        return self._turn[name] == turn

    def on(self, name: str, turn: int, frames: list[Frame], work: Callable[[], T], timed: str | None = None) -> T | None:
        """Work on frames; None where the stage failed on them and may go on. Its time counts under `timed`, or the stage's own name.

        Raises:
            Closed: the stage failed and may not go on, or its frames were given up meanwhile.
        """
        self._hand[name] = frames
        try:
            with self.stats.stages[timed or name].work():
                done = work()
        except Exception as error:
            with self._lock:
                mine = self.mine(name, turn)
            if mine:
                for frame in frames:
                    self.stats.dropping(frame.source, "failed")
                if not self._forgive(name, error):
                    self.fail(error)
                    raise Closed from error
                return None
            raise Closed from error
        with self._lock:
            if not self.mine(name, turn):
                raise Closed
            self._hand.pop(name, None)
        return done

    def watch(self, sources: Sequence[Source], stop: Callable[[], None]) -> None:
        """Until the run stops: begin a stage of a live run anew that hangs on a frame, once; then end the run.

        Time in which the whole program was stopped (SIGSTOP, a computer asleep) is nobody's fault and not counted.
        """
        pause = min(0.25, self.patience_s / 4)
        awake_s = looked_s = time.perf_counter()
        while not self.stopping.wait(pause):
            now = time.perf_counter()
            if now - looked_s > pause + 2.0:
                awake_s = now
            looked_s = now
            self.note_time()
            for counts, source in zip(self.stats.sources, sources, strict=True):
                counts.state = source.state
            for stage in list(self._stages.values()):
                if not self._hangs(stage, awake_s, now):
                    continue
                if not self._begin_anew(stage):
                    self.given_up = True
                    stop()
                    return

    def _hangs(self, stage: Stage, awake_s: float, now: float) -> bool:
        begun = [self.stats.stages[name].began_s for name in stage.timed or (stage.name,)]
        hangs = any(began is not None and now - max(began, awake_s) >= self.patience_s for began in begun)
        return hangs and (self.live or not stage.may_wait)

    def _begin_anew(self, stage: Stage) -> bool:
        """Give up the frames of a stage that hangs, and start it again where that may be; False where the run is over."""
        name = stage.name
        reason = PosetrtError(f"the {name} has worked on one frame for more than {self.patience_s:g} s and does not answer")
        goes_on = stage.begun_anew and self._forgive(name, reason)
        if not goes_on:
            self.fail(reason)
        with self._lock:
            self._turn[name] += 1
            frames = self._hand.pop(name, [])
            for timed in stage.timed or (name,):
                self.stats.stages[timed].began_s = None
        for frame in frames:
            self.stats.dropping(frame.source, "failed")
        if goes_on:
            # Nobody waits for the thread that was left behind: it may never end.
            left = [thread for thread in self._threads if thread.name == f"posetrt-{name}"]
            self.start(stage)
            self._threads = [thread for thread in self._threads if thread not in left]
        return goes_on

    def _forgive(self, name: str, error: BaseException) -> bool:
        """Whether a live run goes on after a stage failed: not twice within a minute. A file's run ends at the first error."""
        if not self.live:
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

    def fail(self, error: BaseException) -> None:
        """Note the first error: it ends the run."""
        if self.error is None:
            self.error = error
            self.stats.reason = str(error)

    def delivered(self, frame: Frame, people: int, events: int) -> None:
        """Count a frame that reached its end."""
        self.stats.delivered(frame.source, people, frame.captured_s)
        self.stats.happened += events
        self.note_time()

    def stopped(self, frames: Iterable[Frame]) -> None:
        """Count frames that were under way when the run ended."""
        for frame in frames:
            self.stats.dropping(frame.source, "stopped")

    def tell(self, line: str) -> None:
        """Note a line for people, and say it where somebody listens."""
        self.stats.events.append(line)
        if self._say is not None:
            self._say(line)
