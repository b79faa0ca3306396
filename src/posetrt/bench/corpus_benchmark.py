"""What `posetrt map` costs and gains: overhead over a bare loop, workers side by side, the driver's memory, how busy many workers are kept."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from posetrt.corpus.fleet import outcomes
from posetrt.corpus.label import LabelJob, Shard, Wanted, opened, people_of_clip
from posetrt.corpus.listing import clips
from posetrt.corpus.mapping import Place, Tally, map_clips
from posetrt.runtime.sinks.rows import json_line


@dataclass(frozen=True)
class SleepingJob:
    """A job that only waits: what a network of that speed would leave of the time to everything else.

    Attributes:
        seconds: a clip takes.
        length: bytes of its one file.
    """

    seconds: float
    length: int = 1000
    sinks: tuple[str, ...] = ("jsonl",)

    @property
    def may_use_gpu(self) -> bool:
        """See `Job.may_use_gpu`."""
        return False

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[Any], Any]]:
        """See `Job.open`."""
        yield self._wait

    def check(self, first: Any) -> None:
        """Every machine can wait."""

    def _wait(self, item: Any) -> Any:
        time.sleep(self.seconds)
        return Shard(dict.fromkeys(self.sinks, b"x" * self.length), "", 1) if isinstance(item, Wanted) else item


def overhead(job: LabelJob, sources: list[str], rounds: int = 3) -> dict[str, Any]:
    """`map` with one worker by a bare loop of the same work, in turns: wall time, and processor time, which other programs disturb less."""
    walls: dict[str, list[float]] = {"loop": [], "map": []}
    spent: dict[str, list[float]] = {"loop": [], "map": []}
    for _ in range(rounds):
        for name, work in (("loop", _bare_loop), ("map", _map_with_one)):
            with tempfile.TemporaryDirectory() as folder:
                before, began = _processor_s(), time.perf_counter()
                _alone(work, job, sources, Path(folder))
                walls[name].append(time.perf_counter() - began)
                spent[name].append(_processor_s() - before)
    return {
        "rounds": rounds,
        "loop_s": median(walls["loop"]),
        "map_s": median(walls["map"]),
        "overhead": median(walls["map"]) / median(walls["loop"]) - 1,
        "loop_processor_s": median(spent["loop"]),
        "map_processor_s": median(spent["map"]),
        "overhead_processor": median(spent["map"]) / median(spent["loop"]) - 1,
    }


def workers(job: LabelJob, sources: list[str], rounds: int = 3) -> dict[str, Any]:
    """Clips a second of two workers by those of one, a thread each, in turns; the same with engines that sleep half a second a clip."""
    listed = len(list(clips(sources)))
    real: dict[int, list[float]] = {1: [], 2: []}
    asleep: dict[int, list[float]] = {1: [], 2: []}
    for _, count in itertools.product(range(rounds), (1, 2)):
        with tempfile.TemporaryDirectory() as folder:
            tally = map_clips(job, sources, Path(folder) / "out", Place("local", count), note=job.note)
            real[count].append(_span(tally))
        began = time.perf_counter()
        first = 0.0
        for _ in outcomes(SleepingJob(0.5), iter(range(20)), "local", count):
            first = first or time.perf_counter() - 0.5
        asleep[count].append(time.perf_counter() - (first or began))
    return {
        "clips": listed,
        "one_s": median(real[1]),
        "two_s": median(real[2]),
        "speed_up": median(real[1]) / median(real[2]),
        "speed_up_asleep": median(asleep[1]) / median(asleep[2]),
    }


def memory(counts: tuple[int, ...] = (100, 10_000)) -> dict[str, Any]:
    """The driver's largest memory, in MB, for lists of so many tiny clips: each in a process of its own."""
    found = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                place = Path(folder) / "clips" / f"{number % 100:02d}"
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{number:06d}.mp4").write_bytes(b"tiny")
            found[str(count)] = _alone(_largest_memory, None, [f"{folder}/clips"], Path(folder)) / 1024
    first, last = (found[str(count)] for count in (counts[0], counts[-1]))
    return {"driver_mb": found, "growth": last / first - 1}


def sleeping(count: int = 64, seconds: float = 2.0, each: int = 20, on: str = "local") -> dict[str, Any]:
    """How busy so many workers are kept whose engines only sleep.

    Returns:
        `busy`: their work over workers times the time from the first item's begin to the last one's end; `busy_filled`: the same from when
        the last worker had begun, to when the list was at its end.
    """
    spans: list[tuple[float, float, str]] = []
    for outcome in outcomes(SleepingJob(seconds), iter(range(count * each)), on, count):
        now = time.perf_counter()
        spans.append((now - outcome.busy_s, now, f"{outcome.node} {outcome.pid}"))
    starts: dict[str, float] = {}
    for begin, _, who in spans:
        starts[who] = min(begin, starts.get(who, begin))
    first, last = min(begin for begin, _, _ in spans), max(end for _, end, _ in spans)
    full_from, full_to = max(starts.values()), sorted(begin for begin, _, _ in spans)[-count]
    inside = sum(max(0.0, min(end, full_to) - max(begin, full_from)) for begin, end, _ in spans)
    return {
        "workers": len(starts),
        "items": len(spans),
        "seconds_each": seconds,
        "wall_s": last - first,
        "busy": sum(end - begin for begin, end, _ in spans) / (len(starts) * (last - first)),
        "busy_filled": inside / (len(starts) * (full_to - full_from)) if full_to > full_from else None,
    }


def _span(tally: Tally) -> float:
    """Since the first worker was ready: starting Python is no part of a day's rate."""
    return time.perf_counter() - tally.began_s if tally.first_s is None else time.perf_counter() - tally.first_s


def _bare_loop(job: LabelJob, sources: list[str], folder: Path) -> None:
    with opened(job.network, job.options) as pose:
        for number, clip in enumerate(clips(sources)):
            with (folder / f"{number}.jsonl").open("wb") as file:
                for result in people_of_clip(pose, clip, track=job.track)[1]:
                    file.write(json_line(result))


def _map_with_one(job: LabelJob, sources: list[str], folder: Path) -> None:
    map_clips(replace(job, sinks=("jsonl",)), sources, folder / "out", Place("local", 1), note=job.note)


def _largest_memory(_: Any, sources: list[str], folder: Path) -> int:
    """In kB. Linux hands ru_maxrss on to a new process, but counts VmHWM from its begin."""
    map_clips(SleepingJob(0.0), sources, folder / "out", Place("local", 1), note={})
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def _alone(work: Callable[[Any, list[str], Path], Any], job: Any, sources: list[str], folder: Path) -> Any:
    """Call in a new process, so that both begin alike and nothing of one is left in the other."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, work, job, sources, folder))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join()


def _answer(pipe: Any, work: Callable[[Any, list[str], Path], Any], job: Any, sources: list[str], folder: Path) -> None:
    pipe.send(work(job, sources, folder))


def _processor_s() -> float:
    """Of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
