"""One precision under measurement, and the rounds that time it: the network alone, one frame at a time, and overlapped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from posetrt.runtime.engines.tensorrt import TensorRTEngine
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.memory import resident_mb
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.pose import Pose
from posetrt.runtime.sources import Frame, Source

# A network's first inferences allocate, tune and raise the clocks; each precision runs so long before its first round counts.
WARM_UP_S = 0.5
PARTS = 20
"""Frames of a round whose parts are timed apart."""


@dataclass(frozen=True)
class Stretch:
    """One overlapped round: from when to when, by `time.monotonic()`, its frames, and its frames a second."""

    start_s: float
    end_s: float
    frames: int
    fps: float


@dataclass
class Timing:
    """One precision under measurement: what each round adds. `ends` counts inferences and latencies at the end of each round."""

    pose: Pose
    load_s: float
    memory_mb: float
    network_s: list[float] = field(default_factory=list)
    stages_s: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    ages_s: list[float] = field(default_factory=list)
    overlapped: list[Stretch] = field(default_factory=list)
    ends: list[tuple[int, int]] = field(default_factory=list)
    parts_ms: list[dict[str, float]] = field(default_factory=list)
    people: int = 0
    frames: int = 0


def first_frames(source: Source, frames: int) -> list[Frame]:
    """The first `frames` frames of a source, kept in memory.

    Raises:
        PosetrtError: it has none.
    """
    kept = []
    for frame in source:
        kept.append(frame)
        if len(kept) == frames:
            break
    if not kept:
        raise PosetrtError("the source gave no frame to measure with")
    return kept


def open_timed(opened: Callable[[], Pose], frame: Frame) -> Timing:
    """Open a network and run one frame: how long both take, and by how much memory grows."""
    before = resident_mb()
    started = time.perf_counter()
    pose = opened()
    pose(frame.picture)
    return Timing(pose, time.perf_counter() - started, resident_mb() - before)


def network_round(timing: Timing, kept: list[Frame]) -> None:
    """Time the network alone, as often as there are frames."""
    prepared = [timing.pose.network_input(frame.picture) for frame in kept[:8]]
    timing.pose.engine.infer(prepared[0])
    for index in range(len(kept)):
        started = time.perf_counter()
        timing.pose.engine.infer(prepared[index % len(prepared)])
        timing.network_s.append(time.perf_counter() - started)


def parts_round(timing: Timing, kept: list[Frame]) -> None:
    """Time the parts of a frame on a GPU apart; nothing where the network runs on a CPU."""
    engine = timing.pose.engine
    if isinstance(engine, TensorRTEngine):
        tensor = timing.pose.network_input(kept[0].picture)
        timing.parts_ms += [engine.parts_ms(tensor) for _ in range(min(len(kept), PARTS))]


def latency_round(timing: Timing, source: Source, frames: int) -> None:
    """Time each stage of one frame after the other."""
    iterator = iter(source)
    for _ in range(frames):
        asked = time.perf_counter()
        frame = next(iterator, None)
        if frame is None:
            break
        decoded = time.perf_counter()
        whole = timing.pose.whole
        prepared = inferred = parsed = decoded
        people = timing.pose.nobody()
        if whole is not None:
            ready = whole.prepare(frame.picture)
            prepared = time.perf_counter()
            tensors = whole.engine.infer(ready.tensor)
            inferred = time.perf_counter()
            people = whole.decode(tensors, ready.placements)[0]
            parsed = time.perf_counter()
            whole.give_back(ready.tensor)
        people = timing.pose.look_closer(frame, people)
        looked = time.perf_counter()
        timing.stages_s.append((decoded - asked, prepared - decoded, inferred - prepared, parsed - inferred, looked - parsed))
        timing.people += len(people)
        timing.frames += 1


class _Stamped:
    """A source that notes when each frame left it, by the frame's index."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.fps = source.fps
        self.skipped = source.skipped
        self.shortfall = source.shortfall
        self.left_s: dict[int, float] = {}

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            self.left_s[frame.index] = time.monotonic()
            yield frame


def warm_up(timing: Timing, frame: Frame) -> None:
    """Run the network for `WARM_UP_S`."""
    tensor = timing.pose.network_input(frame.picture)
    until = time.monotonic() + WARM_UP_S
    while time.monotonic() < until:
        timing.pose.engine.infer(tensor)


def end_to_end_round(timing: Timing, source: Source, frames: int, least_s: float) -> None:
    """Time frames as `posetrt run` overlaps them, going through the source again until `least_s` are over."""
    started = time.monotonic()
    count, busy_s = 0, 0.0
    while count == 0 or time.monotonic() - started < least_s:
        stamped = _Stamped(source)
        begun = delivered = time.monotonic()
        found = 0
        results = pipeline.results(timing.pose, stamped)
        for result in results:
            delivered = time.monotonic()
            timing.ages_s.append(delivered - stamped.left_s[result.frame.index])
            found += 1
            if found == frames:
                break
        # Stopping the stages is no part of it.
        results.close()
        if found == 0:
            break
        count, busy_s = count + found, busy_s + delivered - begun
    timing.overlapped.append(Stretch(started, time.monotonic(), count, count / busy_s if busy_s else 0.0))
