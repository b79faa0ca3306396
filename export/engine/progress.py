"""How far a TensorRT build is: its progress monitor, a line on the terminal, and a way to stop it."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

# Told the share that is done (0 to 1) and the phase that TensorRT is in.
Report = Callable[[float, str], None]


@dataclass
class Progress:
    """Phases of a build, each a share of one step of its parent.

    TensorRT builds a tree of phases with a number of steps each; a phase that runs inside another counts as the step
    that its parent is at. It calls from several threads (NvInfer.h, IProgressMonitor), so one lock holds the phases and the
    report. The bindings turn an exception into "stop the build", so none leaves these methods.

    Attributes:
        report: told the share and the phase, one call at a time; not told again once it raised.
        stopped: set it to end the build at its next step.
        failure: what the report raised.
    """

    report: Report | None = None
    stopped: bool = False
    failure: BaseException | None = None
    _phases: dict[str, tuple[str | None, int, int]] = field(default_factory=dict)
    _best: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins inside `parent`."""
        with self._lock:
            self._phases[name] = (parent, max(steps, 1), 0)
            self._tell(name)

    def step(self, name: str, step: int) -> bool:
        """A phase ended its step number `step` (from 0); False asks TensorRT to stop."""
        with self._lock:
            if name in self._phases:
                parent, steps, _ = self._phases[name]
                self._phases[name] = (parent, steps, min(step + 1, steps))
                self._tell(name)
            return not self.stopped

    def finish(self, name: str) -> None:
        """A phase is over."""
        with self._lock:
            self._phases.pop(name, None)

    def share(self) -> float:
        """What is done of the whole, 0 to 1; never falls."""
        with self._lock:
            done = 0.0
            weight = 1.0
            seen: set[str] = set()
            current = next((name for name, (parent, _, _) in self._phases.items() if parent not in self._phases), None)
            while current is not None and current not in seen:
                seen.add(current)
                _, steps, at = self._phases[current]
                done += weight * at / steps
                weight /= steps
                parent = current
                current = next((name for name, (of, _, _) in self._phases.items() if of == parent), None)
            self._best = min(1.0, max(self._best, done))
            return self._best

    def _tell(self, name: str) -> None:
        if self.report is None or self.failure is not None:
            return
        try:
            self.report(self.share(), name)
        except KeyboardInterrupt:
            self.stopped = True
        except BaseException as error:  # noqa: BLE001 - kept: leaving TensorRT's callback it would stop the build
            self.failure = error


def monitor_for(trt: Any, progress: Progress) -> Any:
    """A TensorRT progress monitor that feeds `progress`; None where TensorRT has none (8.6). Keep it alive while the build runs."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()


@contextlib.contextmanager
def stoppable(progress: Progress) -> Iterator[None]:
    """Let Ctrl-C end a build at its next step. An exception raised inside TensorRT's callback would end the process instead.

    Raises:
        KeyboardInterrupt: at the end of the block, where the user asked to stop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        if progress.stopped:
            raise KeyboardInterrupt
        return

    def stop(_number: int, _frame: Any) -> None:
        progress.stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if progress.stopped:
        raise KeyboardInterrupt


def terminal_report(stream: TextIO | None = None) -> Report:
    """A bar on a terminal; elsewhere a line at each tenth, for logs."""
    out = stream or sys.stderr
    began = time.monotonic()
    last = -1

    def report(share: float, phase: str) -> None:
        nonlocal last
        percent = int(share * 100)
        if out.isatty():
            filled = percent // 4
            out.write(f"\r[{'#' * filled}{'.' * (25 - filled)}] {percent:3d} % {time.monotonic() - began:5.0f} s {phase[:40]:40}")
            out.flush()
        elif percent // 10 > last:
            last = percent // 10
            out.write(f"{percent:3d} % {time.monotonic() - began:.0f} s {phase}\n")

    return report
