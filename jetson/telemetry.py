"""Power, temperatures, load, clocks and throttling, sampled in the background at a cost that is itself measured.

`watch()` picks the sensors of this machine: jetson-stats where its service runs, else a Jetson's sysfs, else a desktop's NVML and
RAPL; where nothing can be read the report says "not measured".
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from posetrt.jetson.sensors import Beside, Reading, Sensors, SysfsSensors
from posetrt.runtime.telemetry import Usage

HERTZ = 10.0
_JTOP_COST = "the cost of sampling is this process's own; jtop's service reads the sensors, and its work is not counted"
# Where samples lie further apart than this many periods, the machine slept or the sensor was stuck: nothing is known of the time between.
_GAP_PERIODS = 5.0
# Energy is told only where samples cover this share of the time asked for.
_COVERAGE = 0.9
_KEPT = 36_000


class Watch:
    """Samples sensors in a thread. Use it as a context manager.

    Args:
        sensors: read in turn; where the first fails for good the next takes over, as when jtop's service is stopped in mid-run.
        hertz: samples a second.
    """

    def __init__(self, sensors: Sequence[Sensors], hertz: float = HERTZ) -> None:
        self._sensors = list(sensors)
        self._period_s = 1.0 / hertz
        self._samples: deque[tuple[float, Reading]] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="posetrt-telemetry", daemon=True)
        self._busy_s = 0.0
        self._wall_s = 0.0
        self.notes: list[str] = []

    @property
    def source(self) -> str:
        """Where power comes from and what it covers; "not measured" where nothing tells."""
        return self._sensors[0].source if self._sensors else "not measured"

    @property
    def sampling(self) -> bool:
        """Whether there is anything to sample: temperatures may be there where power is not."""
        return bool(self._sensors)

    def settled_c(self, within_s: float = 1.0) -> float | None:
        """The hottest sensor now, waiting a moment for the first sample; None where there is none."""
        until = time.monotonic() + within_s
        while self._sensors and self.latest() is None and time.monotonic() < until:
            time.sleep(0.02)
        newest = self.latest()
        return newest.hottest_c if newest is not None else None

    def __enter__(self) -> Watch:
        if self._sensors:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for sensors in self._sensors:
            sensors.close()

    def _loop(self) -> None:
        started = time.monotonic()
        due = started
        while not self._stop.is_set() and self._sensors:
            self.sample(time.monotonic())
            # CPU time of this thread alone: what sampling takes from the program beside it.
            self._busy_s, self._wall_s = time.thread_time(), time.monotonic() - started
            due = max(due + self._period_s, time.monotonic())
            self._stop.wait(max(0.0, due - time.monotonic()))

    def sample(self, now_s: float) -> None:
        """Take one sample; the thread calls it, and tests do."""
        try:
            reading = self._sensors[0].read()
        except (OSError, RuntimeError) as error:
            lost = self._sensors.pop(0)
            lost.close()
            self.notes.append(f"{lost.source} stopped ({error})" + (f"; {self.source} took over" if self._sensors else ""))
            return
        with self._lock:
            # A clock that stands still or runs backwards would make energy out of nothing.
            if not self._samples or now_s > self._samples[-1][0]:
                self._samples.append((now_s, reading))

    def latest(self) -> Reading | None:
        """The newest sample, for a page that shows watts live."""
        with self._lock:
            return self._samples[-1][1] if self._samples else None

    def cost(self) -> float | None:
        """Share of one core that this process's sampling takes; `cost_note` says whose work is not in it."""
        return self._busy_s / self._wall_s if self._wall_s > 0 else None

    @property
    def cost_note(self) -> str:
        """Whose work `cost` does not count, as that of a service which reads the sensors for us; "" for nobody's."""
        return str(getattr(self._sensors[0], "cost_note", "")) if self._sensors else ""

    def between(self, start_s: float, end_s: float) -> Usage:
        """Usage between two moments of `time.monotonic()`; power is taken as straight lines between samples."""
        with self._lock:
            samples = list(self._samples)
        times = [moment for moment, _ in samples]
        # One sample on each side, so that the ends are covered.
        first, last = max(0, bisect_left(times, start_s) - 1), min(len(samples), bisect_right(times, end_s) + 1)
        chosen = samples[first:last]
        inside = [reading for moment, reading in chosen if start_s <= moment <= end_s] or [reading for _, reading in chosen[-1:]]
        temperatures = [reading.hottest_c for reading in inside if reading.hottest_c is not None]
        throttled = [reading.throttled for reading in inside if reading.throttled is not None]
        return Usage(
            seconds=end_s - start_s,
            joules=self._energy(chosen, start_s, end_s),
            temperature_start_c=temperatures[0] if temperatures else None,
            temperature_end_c=temperatures[-1] if temperatures else None,
            throttled=any(throttled) if throttled else None,
            gpu_mhz=_mean([reading.gpu_mhz for reading in inside]),
            gpu_load=_mean([reading.gpu_load for reading in inside]),
        )

    def _energy(self, samples: Sequence[tuple[float, Reading]], start_s: float, end_s: float) -> float | None:
        """Trapezoids over the samples with power, clipped to the window, and stretched over the little that they leave open."""
        known = [(moment, reading.watts) for moment, reading in samples if reading.watts is not None]
        if end_s <= start_s:
            return None
        joules = covered = 0.0
        for (before, low), (after, high) in pairwise(known):
            left, right = max(before, start_s), min(after, end_s)
            if right <= left or after - before > _GAP_PERIODS * self._period_s:
                continue
            slope = (high - low) / (after - before)
            joules += (right - left) * (low + slope * ((left + right) / 2 - before))
            covered += right - left
        open_s = end_s - start_s - covered
        if covered == 0 or open_s > max((1 - _COVERAGE) * (end_s - start_s), 2 * self._period_s):
            return None
        return joules * (end_s - start_s) / covered


def cool_down(running: Watch, target_c: float, limit_s: float, *, margin_c: float = 2.0) -> bool:
    """Wait until the hottest sensor is within `margin_c` of `target_c`, so that the next measurement starts as the first did.

    Returns:
        Whether it came to that within `limit_s`.
    """
    until = time.monotonic() + limit_s
    while True:
        now_c = running.settled_c()
        if now_c is None or now_c <= target_c + margin_c:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(min(0.5, max(0.0, until - time.monotonic())))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


@contextmanager
def watch(
    root: Path = Path("/"),
    hertz: float = HERTZ,
    *,
    jtop: Callable[[], Sensors] | None = None,
    gpu_load: Callable[[], float | None] | None = None,
) -> Iterator[Watch]:
    """Sample whatever this machine has.

    Args:
        root: where sysfs is read from.
        jtop: opens jetson-stats; None takes the installed one.
        gpu_load: the GPU's load, 0 to 1, where sysfs does not tell it, as on Thor; None asks NVML.
    """
    from posetrt.jetson.desktop import desktop_sensors, nvml_load
    from posetrt.jetson.jetson_stats import JtopSensors

    sensors: list[Sensors] = []
    notes = []
    sysfs = SysfsSensors(root)
    if sysfs.found:
        load = None if sysfs.tells_gpu_load else gpu_load or nvml_load(root)
        try:
            # Both look at the same files of sysfs for throttling: each event is counted once.
            sensors.append(Beside((jtop or JtopSensors)(), throttled=sysfs.throttled, gpu_load=load, cost_note=_JTOP_COST))
        except RuntimeError as error:
            notes.append(f"jetson-stats is not used: {error}")
        sensors.append(Beside(sysfs, gpu_load=load))
    else:
        sysfs.close()
        desktop = desktop_sensors(root)
        if desktop is not None:
            sensors.append(desktop)
    with Watch(sensors, hertz) as running:
        running.notes += notes
        if running.cost_note:
            running.notes.append(running.cost_note)
        yield running
