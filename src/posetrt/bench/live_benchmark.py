"""What the live runtime is judged by: how much of the slowest stage's rate comes out, how old results are, who gets what share, what viewers cost."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from posetrt.bench.benchmark import this_machine
from posetrt.bench.viewers import Viewers
from posetrt.runtime.pipeline import pipeline
from posetrt.runtime.pipeline.counts import RunStats
from posetrt.runtime.pose import Pose
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sources import Frame, Paced, Source


class Held:
    """Frames in memory as a file's source, over and over.

    Args:
        frames: decoded once.
        count: to give.
        label: of the source.
    """

    live = False
    state = "on"

    def __init__(self, frames: tuple[Frame, ...], count: int, label: str = "file") -> None:
        self.frames, self.count, self.label = frames, count, label
        self.fps: float | None = 30.0
        self.shortfall: str | None = None
        self.skipped: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        return itertools.islice(itertools.cycle(self.frames), self.count)

    def close(self) -> None:
        """Nothing is open."""


class _Count(Sink):
    """Counts results a source, with the moments they came."""

    def __init__(self) -> None:
        self.moments: dict[int, list[float]] = {}

    def write(self, result: Result) -> None:
        self.moments.setdefault(result.frame.source, []).append(time.perf_counter())

    def close(self) -> None:
        """Nothing is open."""

    def rate(self, source: int, begin: float, end: float) -> float:
        """Results a second of one source between two moments."""
        return sum(begin <= moment < end for moment in self.moments.get(source, [])) / (end - begin)


def overlap(pose: Pose, frames: tuple[Frame, ...], *, runs: int = 5, seconds: float = 6.0) -> dict[str, Any]:
    """The busy share of the stage that limits a file's run: the rate over what that stage reaches while the others run beside it."""
    pipeline.run(pose, [Held(frames, 10)], [_Count()])
    shares, rates, limits = [], [], []
    for _ in range(runs):
        began = time.perf_counter()
        stats = pipeline.run(
            pose,
            [Held(frames, 1_000_000)],
            [_Count()],
            pipeline.Options(track=True),
            stop=lambda began=began: time.perf_counter() - began > seconds,  # type: ignore[misc]
        )
        shares.append(stats.shares()[stats.limiting])
        rates.append(stats.fps)
        limits.append(stats.limiting)
    return {
        "limiting": limits,
        "share_of_slowest_stage": round(median(shares), 4),
        "shares": [round(share, 4) for share in shares],
        "fps": round(median(rates), 2),
    }


def age(pose: Pose, frames: tuple[Frame, ...], *, fps: float = 120.0, count: int = 1200) -> dict[str, Any]:
    """Age and drops of a paced source faster than the network, and how memory grew over the run after its first tenth."""
    stats, resident = RunStats(), []
    source = Paced(Held(frames, len(frames)), fps, count)
    pipeline.run(
        pose,
        [source],
        [_Count()],
        pipeline.Options(track=True),
        stats=stats,
        progress=lambda stats: resident.append((stats.captured, _resident_bytes())),
    )
    counts = stats.sources[0]
    settled = [size for captured, size in resident if captured >= count / 10]
    network_s = stats.stages["network"].busy_s / max(1, counts.delivered)
    return {
        "frames_in": counts.captured,
        "frames_out": counts.delivered,
        "frames_dropped": counts.dropped,
        "exact": counts.captured == counts.delivered + counts.dropped == count,
        "network_ms": round(1000 * network_s, 2),
        "p99_ms": {name: round(1000 * stage.times.percentile_s(99), 2) for name, stage in stats.stages.items() if name != "source"},
        "age_p50_ms": round(1000 * counts.ages.percentile_s(50), 2),
        "age_p99_ms": round(1000 * counts.ages.percentile_s(99), 2),
        "age_p99_in_network_times": round(counts.ages.percentile_s(99) / network_s, 3),
        "network_p99_in_network_times": round(stats.stages["network"].times.percentile_s(99) / network_s, 3),
        "memory_growth_mib": round((median(settled[-10:]) - median(settled[:10])) / 2**20, 2) if len(settled) > 20 else None,
    }


def shares(pose: Pose, frames: tuple[Frame, ...], *, fps: float = 60.0, seconds: float = 24.0) -> dict[str, Any]:
    """Four live sources into one network; the fourth ends half way."""
    sources: list[Source] = [Paced(Held(frames, len(frames), label=f"camera{n}"), fps, 0) for n in range(4)]
    counter, began, ended = _Count(), time.perf_counter(), [0.0]

    def stop() -> bool:
        now = time.perf_counter()
        if not ended[0] and now - began > seconds / 2:
            ended[0] = now
            sources[3].close()
        return now - began > seconds

    stats = pipeline.run(pose, sources, [counter], stop=stop)
    before = [counter.rate(n, began + 1, ended[0]) for n in range(4)]
    after = [counter.rate(n, ended[0] + 0.5, began + seconds) for n in range(3)]
    fair = sum(before) / 4
    return {
        "rates_of_four": [round(rate, 3) for rate in before],
        "worst_off_fair_share": round(max(abs(rate - fair) / fair for rate in before), 4),
        "rates_of_three_left": [round(rate, 3) for rate in after],
        "worst_change_after_one_ended": round(min(a / b for a, b in zip(after, before, strict=False)) - 1, 4),
        "exact": all(s.captured == s.delivered + s.dropped for s in stats.sources),
    }


def viewers(
    pose: Pose, frames: tuple[Frame, ...], *, reading: int = 10, stalled: int = 190, seconds: float = 5.0, rounds: int = 5
) -> dict[str, Any]:
    """The rate of a live run with many viewers of the page over that with none just before and after, and what they cost in memory.

    The viewers are a process of their own on the same computer. Rounds alternate, so that a computer that grows slower does not count.
    """
    from posetrt.runtime.sinks.web import WebPage

    page = WebPage("127.0.0.1", 0)
    source = Paced(Held(frames, len(frames)), 120.0, 0)
    stats, over = RunStats(), threading.Event()
    thread = threading.Thread(target=pipeline.run, args=(pose, [source], [page]), kwargs={"stats": stats, "stop": over.is_set})
    thread.start()
    alone, watched, pictures, memory, received = [], [], [], [], 0
    try:
        time.sleep(2)
        alone.append(_rate(stats, seconds))
        for _ in range(rounds):
            start_bytes = _resident_bytes()
            watchers = Viewers(page.port, reading, stalled)
            with watchers:
                # Until those who read nothing have been sent what fits into their connections.
                time.sleep(3)
                began, before = time.perf_counter(), page.encoded
                watched.append(_rate(stats, seconds))
                pictures.append((page.encoded - before) / (time.perf_counter() - began))
                memory.append((_resident_bytes() - start_bytes) / 2**20)
            received += watchers.received
            time.sleep(0.5)
            alone.append(_rate(stats, seconds))
    finally:
        over.set()
        thread.join()
    ratios = [2 * rate / (first + second) for rate, first, second in zip(watched, alone, alone[1:], strict=False)]
    return {
        "viewers_reading": reading,
        "viewers_stalled": stalled,
        "rate_alone": round(median(alone), 2),
        "rate_with_viewers_over_alone": round(median(ratios), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "pictures_encoded_a_second": round(median(pictures), 2),
        "memory_growth_mib": round(max(memory), 1),
        "mib_read_by_viewers": round(received / 2**20, 1),
    }


def _rate(stats: RunStats, seconds: float) -> float:
    before, began = stats.frames, time.perf_counter()
    time.sleep(seconds)
    return (stats.frames - before) / (time.perf_counter() - began)


def _resident_bytes() -> int:
    """Resident memory of this process; 0 where /proc does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
    except OSError:
        return 0


PARTS: dict[str, Callable[..., dict[str, Any]]] = {"overlap": overlap, "age": age, "shares": shares, "viewers": viewers}


def described(pose: Pose, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The parts with what they were measured on."""
    size = pose.manifest.input.size_wh
    head = {"network": pose.manifest.network, "input_wh": list(size), "precision": pose.engine.precision, "backend": pose.engine.backend}
    return {**head, "machine": this_machine(), **parts}
