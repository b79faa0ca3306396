"""What a run did: frames in, out and dropped, their age, and how busy each stage was."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

STAGES = ("source", "letterbox", "network", "parser", "crops", "sinks")


class Ages:
    """Durations in bins 1 % wide, from 10 us to 1000 s: percentiles of days of frames in constant memory."""

    _LEAST_S = 1e-5
    _STEP = float(np.log(1.01))

    def __init__(self) -> None:
        self._bins = np.zeros(int(np.log(1e8) / self._STEP) + 2, np.int64)

    def add(self, seconds: float) -> None:
        """Count one."""
        place = int(math.log(max(seconds, self._LEAST_S) / self._LEAST_S) / self._STEP)
        self._bins[min(place, len(self._bins) - 1)] += 1

    def percentile_s(self, percent: float) -> float:
        """The duration that `percent` of all do not exceed, within 1 %; 0 where none was counted."""
        total = int(self._bins.sum())
        if not total:
            return 0.0
        place = int(np.searchsorted(self._bins.cumsum(), percent / 100 * total))
        return float(self._LEAST_S * np.exp((place + 1) * self._STEP))


@dataclass
class SourceCounts:
    """Frames of one source. When the run is over, `captured == delivered + dropped`.

    Attributes:
        label: the source's short name.
        live: whether the newest frame wins.
        captured: that the source gave, with those that it had to leave out itself.
        delivered: that reached the sinks, or the caller's loop.
        late: dropped because a newer one had come.
        damaged: dropped because it came damaged and could not be decoded.
        failed: dropped because a stage failed on them.
        stopped: in the pipeline when it was stopped.
        ages: capture to output of the frames delivered, of live sources.
        state: of a camera: "on", "away" or "frozen".
    """

    label: str = ""
    live: bool = False
    captured: int = 0
    delivered: int = 0
    late: int = 0
    damaged: int = 0
    failed: int = 0
    stopped: int = 0
    ages: Ages = field(default_factory=Ages)
    state: str = "on"

    @property
    def dropped(self) -> int:
        """All frames that were captured and not delivered."""
        return self.late + self.damaged + self.failed + self.stopped


@dataclass
class StageTime:
    """How long one stage worked.

    Attributes:
        busy_s: in sum; waiting for frames or for room is not work.
        began_s: since when it works on what it has now, on `time.perf_counter`; None while it waits.
        restarts: how often it failed and went on.
        times: of single frames or batches.
    """

    busy_s: float = 0.0
    began_s: float | None = None
    restarts: int = 0
    times: Ages = field(default_factory=Ages)
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=8))

    @property
    def typical_s(self) -> float:
        """The least of the last eight."""
        return min(self._recent, default=0.0)

    @property
    def worst_s(self) -> float:
        """The greatest of the last eight."""
        return max(self._recent, default=0.0)

    @contextmanager
    def work(self) -> Iterator[None]:
        """Time what is done inside."""
        began = self.began_s = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self.busy_s += took
            self._recent.append(took)
            self.times.add(took)
            self.began_s = None


@dataclass
class Looks:
    """How often a second look was taken at one kind of thing, and how often not.

    Attributes:
        looked: crops that the network saw.
        small: boxes too small to see anything in.
        unseen: of people without the parts that place a box, or whose box lies outside the frame.
    """

    looked: int = 0
    small: int = 0
    unseen: int = 0

    def __str__(self) -> str:
        return f"{self.looked} looked at, {self.small} too small, {self.unseen} not in view"


class RunStats:
    """Counts and times of a run; `frames` and `people` are of what was delivered.

    Attributes:
        sources: one a source.
        looks: "hands", "face", "people": of the second look, where there is one.
        happened: events among the people, as many as `--write-events` writes lines.
        detections: frames that the detector looked at, of a run where it does not look at all; else 0.
        stages: busy time by name; a run of several sources has their reading added up in "source", over `readers` threads.
        wall_s: from the first frame asked for until now, or the end.
    """

    def __init__(self) -> None:
        self.sources: list[SourceCounts] = []
        self.looks: dict[str, Looks] = {}
        self.stages = {name: StageTime() for name in STAGES}
        self.readers = 1
        self.people = 0
        self.people_now = 0
        self.happened = 0
        self.not_finite = 0
        self.detections = 0
        self.wall_s = 0.0
        self.precision = ""
        self.backend = ""
        self.reason: str | None = None
        self.events: deque[str] = deque(maxlen=32)
        self._recent: deque[float] = deque(maxlen=64)
        self._lock = threading.Lock()

    @property
    def frames(self) -> int:
        """Frames delivered, of all sources."""
        return sum(source.delivered for source in self.sources)

    @property
    def captured(self) -> int:
        """Frames that the sources gave."""
        return sum(source.captured for source in self.sources)

    @property
    def dropped(self) -> int:
        """Frames captured and not delivered."""
        return sum(source.dropped for source in self.sources)

    @property
    def fps(self) -> float:
        """Frames delivered a second, everything included, over the whole run."""
        return self.frames / self.wall_s if self.wall_s else 0.0

    @property
    def fps_now(self) -> float:
        """Frames delivered a second over the last 64."""
        with self._lock:
            if len(self._recent) < 2:
                return 0.0
            since = max(time.perf_counter(), self._recent[-1]) - self._recent[0]
            return len(self._recent) / since if since else 0.0

    @property
    def silent_s(self) -> float:
        """Time since the last frame was delivered; 0 before the first."""
        with self._lock:
            return time.perf_counter() - self._recent[-1] if self._recent else 0.0

    def delivered(self, source: int, people: int, captured_s: float | None) -> None:
        """Count one frame that reached its end."""
        now = time.perf_counter()
        counts = self.sources[source]
        counts.delivered += 1
        self.people += people
        self.people_now = people
        if captured_s is not None:
            counts.ages.add(now - captured_s)
        with self._lock:
            self._recent.append(now)

    def reading(self, seconds: float) -> None:
        """Add the time that one source took for a frame; several sources are read in as many threads."""
        with self._lock:
            self.stages["source"].busy_s += seconds

    def dropping(self, source: int, why: str, count: int = 1) -> None:
        """Count frames dropped: `why` is "late", "damaged", "failed" or "stopped". Stages call it from their own threads."""
        with self._lock:
            setattr(self.sources[source], why, getattr(self.sources[source], why) + count)

    def shares(self) -> dict[str, float]:
        """For each stage its busy time over the wall time. A camera's reading is mostly waiting for it."""
        wall = self.wall_s or 1.0
        return {name: stage.busy_s / wall / (self.readers if name == "source" else 1) for name, stage in self.stages.items()}

    @property
    def limiting(self) -> str:
        """The stage that sets the rate: the busiest. A camera that loses no frame is itself the limit; one that loses some is not."""
        shares = self.shares()
        if any(source.live for source in self.sources):
            if not any(source.late for source in self.sources):
                return "source"
            del shares["source"]
        return max(shares, key=lambda name: shares[name])

    def age_ms(self, percent: float) -> float:
        """Age of results at that percentile over all live sources, the worst of them; 0 where none is live."""
        return max((1000 * source.ages.percentile_s(percent) for source in self.sources if source.live), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """For machines: the health port, the web page, benchmarks."""
        return {
            "fps": round(self.fps_now, 2),
            "fps_whole": round(self.fps, 2),
            "frames": self.frames,
            "captured": self.captured,
            "dropped": self.dropped,
            "people": self.people_now,
            "people_total": self.people,
            "latency_ms": round(1000 * sum(self.stages[name].typical_s for name in ("letterbox", "network", "parser", "crops")), 2),
            "age_p50_ms": round(self.age_ms(50), 2),
            "age_p99_ms": round(self.age_ms(99), 2),
            "detections": self.detections,
            "limiting": self.limiting,
            "busy": {name: round(share, 4) for name, share in self.shares().items()},
            "looks": {name: asdict(looks) for name, looks in self.looks.items()},
            "restarts": {name: stage.restarts for name, stage in self.stages.items()},
            "precision": self.precision,
            "backend": self.backend,
            "silent_s": round(self.silent_s, 2),
            "reason": self.reason,
            "sources": [
                {
                    "label": source.label,
                    "state": source.state,
                    "captured": source.captured,
                    "delivered": source.delivered,
                    "late": source.late,
                    "damaged": source.damaged,
                    "failed": source.failed,
                    "stopped": source.stopped,
                    "age_p50_ms": round(1000 * source.ages.percentile_s(50), 2),
                    "age_p99_ms": round(1000 * source.ages.percentile_s(99), 2),
                }
                for source in self.sources
            ],
        }

    def summary(self) -> str:
        """A line for people: the rate, the stage that limits it, age and drops of live sources."""
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.shares().items() if share >= 0.005)
        lines = [
            f"{self.frames} {'frame' if self.frames == 1 else 'frames'}, {self.fps:.1f} fps end to end; limited by the {self.limiting} (busy: {shares})"
        ]
        lines += [
            f"{source.label}: {source.captured} in = {source.delivered} out + {source.dropped} dropped "
            f"({source.late} late, {f'{source.damaged} damaged, ' if source.damaged else ''}{source.failed} failed, "
            f"{source.stopped} at the stop); "
            f"age {1000 * source.ages.percentile_s(50):.0f} ms, p99 {1000 * source.ages.percentile_s(99):.0f} ms"
            for source in self.sources
            if source.live
        ]
        if self.detections:
            lines.append(f"detector: looked at {self.detections} of {self.frames} frames")
        lines += [f"{name}: {looks}" for name, looks in self.looks.items()]
        return "\n".join(lines)
