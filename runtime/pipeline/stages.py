"""The stages of a run: each works in its own thread, and takes its frames from the mailbox before it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from posetrt.runtime.engines.base import infer_all
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.pipeline.batch import Batch, all_finite, copied
from posetrt.runtime.pipeline.mailbox import Closed, Mailbox
from posetrt.runtime.pipeline.supervisor import FORGIVEN_AGAIN_S, Stage, Supervisor
from posetrt.runtime.placement import letterbox
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sources.base import Frame, picture_wh

if TYPE_CHECKING:
    from posetrt.runtime.find.whole_frame import WholeFrame

_GLANCE_S = 0.001
_EARLY_S = 0.0005
_WORTH = 0.25
"""Share of the network's time that it may stand still for a frame that is about to come: what it gives is then younger by a frame's time."""


class Letterboxing(Stage):
    """Makes the network's input of frames; of a live source as late as the network allows, and again while a newer one comes.

    Args:
        supervisor: of the run.
        whole: letterboxes.
        batch: frames of several sources in one batch, at most.
        no_pictures: nobody looks at the frames' pictures afterwards.
        inlet: a place a source.
        outlet: one place.
    """

    name = "letterbox"
    begun_anew = True
    outlet: Mailbox[Batch]

    def __init__(
        self,
        supervisor: Supervisor,
        whole: WholeFrame,
        batch: int,
        no_pictures: bool,
        inlet: Mailbox[Frame],
        outlet: Mailbox[Batch],
    ) -> None:
        self._supervisor, self._stats, self._whole, self._batch = supervisor, supervisor.stats, whole, batch
        self._no_pictures = no_pictures
        self.inlet, self.outlet = inlet, outlet

    @staticmethod
    def frames_in(item: Frame) -> list[Frame]:
        """The frame itself."""
        return [item]

    def work(self, turn: int) -> None:
        """See `Stage.work`."""
        while self._supervisor.mine(self.name, turn):
            if self._supervisor.live:
                self._hold_back()
            frames = self.inlet.take(self._batch)
            batch = self._supervisor.on(self.name, turn, frames, partial(self._prepare, frames))
            if batch is None:
                continue
            frames = batch.frames
            _pass_on(self._supervisor, self.outlet, batch)
            if self._supervisor.live:
                self._keep_fresh(turn, frames)

    def _keep_fresh(self, turn: int, frames: list[Frame]) -> None:
        """Until the network takes what lies there, put a newer frame of the same source in its place: the network may take longer than usual."""
        source = frames[0].source
        single = len(frames) == 1 and frames[0].captured_s is not None
        while not self.outlet.wait_empty(_GLANCE_S if single else None):
            newer = self.inlet.take_from(source)
            if newer is None:
                continue
            batch = self._supervisor.on(self.name, turn, [newer], partial(self._prepare, [newer]))
            if batch is None:
                continue
            try:
                older = self.outlet.swap(0, batch)
            except Closed:
                self._supervisor.stopped([newer])
                raise
            self._whole.give_back(batch.tensor if older is None else older.tensor)
            # Where the network was quicker, the source has had its turn: others wait, and its next frame comes soon.
            self._stats.dropping(source, "late")

    def _prepare(self, frames: list[Frame]) -> Batch:
        prepared = self._whole.prepare(*(frame.picture for frame in frames))
        # People come back in pixels of the picture that the source has.
        for place, frame in enumerate(frames):
            if frame.whole_wh is not None:
                smaller = letterbox(frame.whole_wh, picture_wh(frame.picture), "stretch")
                prepared.placements[place] = smaller.then(prepared.placements[place])
        if self._no_pictures:
            frames = [frame.without_picture() for frame in frames]
        return Batch(frames, prepared.placements, prepared.tensor)

    def _hold_back(self) -> None:
        """Wait until the network is about to be free: a frame letterboxed earlier would only grow old, and a newer one come."""
        network, letterbox = self._stats.stages["network"], self._stats.stages["letterbox"]
        began = network.began_s
        if began is not None and self._whole.engine.frames_in_flight == 1:
            wait = began + network.typical_s - 1.2 * letterbox.typical_s - _EARLY_S - time.perf_counter()
            if wait > 0:
                self._supervisor.stopping.wait(wait)
        if self._whole.engine.frames_in_flight == 1:
            pause = pause_for_next(time.perf_counter(), self.inlet.due_s(), network.typical_s)
            if pause > 0:
                self.inlet.wait_put(pause)


def pause_for_next(now_s: float, due_s: float | None, network_s: float) -> float:
    """How long to wait for the next frame before the one that lies there is taken: 0 where that is not worth it.

    Args:
        now_s: when the network is about to be free.
        due_s: when the next frame is expected; None: nobody knows.
        network_s: what the network takes.
    """
    left = 0.0 if due_s is None else due_s - now_s
    return left + _EARLY_S if 0 < left <= _WORTH * network_s else 0.0


class Network(Stage):
    """Runs the engine, with as many calls under way as it overlaps.

    Args:
        supervisor: of the run.
        whole: its engine.
        inlet: one place.
        outlet: one place.
    """

    name = "network"
    outlet: Mailbox[Batch]

    def __init__(self, supervisor: Supervisor, whole: WholeFrame, inlet: Mailbox[Batch], outlet: Mailbox[Batch]) -> None:
        self._supervisor, self._whole, self._engine = supervisor, whole, whole.engine
        self.inlet, self.outlet = inlet, outlet

    @staticmethod
    def frames_in(item: Batch) -> list[Frame]:
        """Those of the batch."""
        return item.frames

    def work(self, turn: int) -> None:
        """See `Stage.work`."""
        engine = self._engine
        under_way: deque[Batch] = deque()

        def call() -> list[Tensors]:
            if taken and engine.max_batch and len(taken[0].tensor) > engine.max_batch:
                # More pictures than one call takes: the batches before it must be out of the engine first.
                done = [copied(engine.collect()) for _ in under_way]
                under_way.append(taken[0])
                return [*done, infer_all(engine, taken[0].tensor)]
            if taken:
                engine.submit(taken[0].tensor)
                self._whole.give_back(taken[0].tensor)
                under_way.append(taken[0])
            return [copied(engine.collect())] if len(under_way) >= engine.frames_in_flight or not taken else []

        open_ = True
        while self._supervisor.mine(self.name, turn) and (open_ or under_way):
            try:
                taken = self.inlet.take(wait=not under_way) if open_ else []
            except Closed:
                taken, open_ = [], False
                if not under_way:
                    return
            frames = [frame for batch in (*under_way, *taken) for frame in batch.frames]
            given = self._supervisor.on(self.name, turn, frames, call)
            if given is None:
                # What is in flight belongs to frames that were given up with the one that failed.
                self._drain(under_way)
            for each in given or []:
                _pass_on(self._supervisor, self.outlet, replace(under_way.popleft(), tensors=each))

    def _drain(self, under_way: deque[Batch]) -> None:
        while under_way:
            under_way.popleft()
            try:
                self._engine.collect()
            except PosetrtError:
                continue


class Decoding(Stage):
    """Finds people in the network's outputs.

    Args:
        supervisor: of the run.
        whole: decodes.
        last: what is done with each result where no stage looks at crops.
        keep_tensors: give the outputs with each result.
        inlet: one place.
        outlet: one place for each source.
    """

    name = "parser"
    begun_anew = True
    outlet: Mailbox[Result]

    def __init__(
        self,
        supervisor: Supervisor,
        whole: WholeFrame,
        last: Callable[[Result], Result],
        keep_tensors: bool,
        inlet: Mailbox[Batch],
        outlet: Mailbox[Result],
    ) -> None:
        self._supervisor, self._stats, self._whole = supervisor, supervisor.stats, whole
        self._last, self._keep_tensors = last, keep_tensors
        self.inlet, self.outlet = inlet, outlet

    @staticmethod
    def frames_in(item: Batch) -> list[Frame]:
        """Those of the batch."""
        return item.frames

    def work(self, turn: int) -> None:
        """See `Stage.work`."""
        while self._supervisor.mine(self.name, turn):
            batch = self.inlet.take()[0]
            for number, frame in enumerate(batch.frames):
                result = self._supervisor.on(self.name, turn, [frame], partial(self._decode, batch, number))
                if result is None:
                    continue
                try:
                    older = self.outlet.put(frame.source, result)
                except Closed:
                    self._supervisor.stopped(batch.frames[number:])
                    raise
                if older is not None:
                    self._stats.dropping(frame.source, "late")

    def _decode(self, batch: Batch, number: int) -> Result:
        frame, placements, tensors = batch.frames[number], batch.placements_of(number), batch.tensors_of(number)
        people = self._whole.decode(tensors, placements)[0]
        if not len(people) and not all_finite(tensors):
            self._stats.not_finite += 1
            if self._stats.not_finite == 1:
                self._supervisor.tell(
                    f"{frame.label}: the network gave values that are not numbers, which show nobody; "
                    "check its precision with: posetrt eval, or build it again"
                )
        kept = {name: array[:1] for name, array in tensors.items()} if self._keep_tensors else None
        result = Result(frame, people, self._whole.manifest, placements[0], kept, self._stats)
        return self._last(result)


class Writing(Stage):
    """Writes each result to all sinks, in order. A sink that fails is left out from then on, and the others go on; the last one's error ends the run.

    Args:
        supervisor: of the run.
        sinks: to write to.
        inlet: a place a source.

    Attributes:
        writing: the sink that is written to now.
        failures: what the sinks that were left out said; raised when the run is over.
    """

    name = "sinks"
    outlet = None
    may_wait = True

    def __init__(self, supervisor: Supervisor, sinks: Sequence[Sink], inlet: Mailbox[Result]) -> None:
        self._supervisor, self._sinks, self.inlet = supervisor, list(sinks), inlet
        self.writing: Sink | None = None
        self.failures: list[Exception] = []
        self._failed_s: dict[Sink, float] = {}

    @staticmethod
    def frames_in(item: Result) -> list[Frame]:
        """The result's frame."""
        return [item.frame]

    def work(self, turn: int) -> None:
        """See `Stage.work`."""
        while self._supervisor.mine(self.name, turn):
            result = self.inlet.take()[0]
            if self._supervisor.on(self.name, turn, [result.frame], partial(self._write, result)):
                self._supervisor.delivered(result.frame, len(result.people), len(result.events or ()))

    def _write(self, result: Result) -> bool:
        for sink in list(self._sinks):
            self.writing = sink
            try:
                sink.write(result)
            except Exception as error:
                if len(self._sinks) == 1:
                    raise
                self._failed(sink, error)
        self.writing = None
        return True

    def _failed(self, sink: Sink, error: Exception) -> None:
        """Leave a sink out: of a run of files at once, of a live one when it fails a second time within a minute."""
        now, before = time.monotonic(), self._failed_s.get(sink, float("-inf"))
        self._failed_s[sink] = now
        if self._supervisor.live and now - before >= FORGIVEN_AGAIN_S:
            self._supervisor.tell(f"{type(sink).__name__} failed on a frame ({error}); going on with the next")
            return
        self._sinks.remove(sink)
        self.failures.append(error)
        self._supervisor.tell(f"{type(sink).__name__} failed and is left out from now on ({error}); the others go on")


def _pass_on(supervisor: Supervisor, outlet: Mailbox[Batch], batch: Batch) -> None:
    try:
        outlet.put(0, batch)
    except Closed:
        supervisor.stopped(batch.frames)
        raise
