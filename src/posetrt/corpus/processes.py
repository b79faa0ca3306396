"""Workers on this machine: a process each, of which each has one item at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any

from posetrt.corpus.work import ATTEMPTS, Job, Outcome, node
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass
class _Seat:
    """One worker's process, the pipe to it, its place among the others, and the item that it has, with how often that was given out."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    place: int
    item: Any = None
    attempt: int = 0
    busy: bool = field(default=False)


class Processes:
    """Workers on this machine. Use it as a context manager: it starts them, and ends them whatever happens.

    A worker that dies is replaced, and its item goes to the new one; an item that three workers died of is listed as failed.

    Args:
        job: what is done.
        workers: how many.
        gpus: of this machine, which workers take in turn; 0 where none is used.

    Raises:
        PosetrtError: a worker cannot open the job; as the worker said.
    """

    def __init__(self, job: Job, workers: int, gpus: int = 0) -> None:
        self._job, self._count, self._gpus = job, workers, gpus
        self._seats: list[_Seat] = []

    def __enter__(self) -> Self:
        try:
            for place in range(self._count):
                self._seats.append(self._start(place))
            for seat in self._seats:
                self._hear_ready(seat)
        except BaseException:
            self.close()
            raise
        return self

    def results(self, items: Iterator[Any]) -> Iterator[Outcome]:
        """What comes of each item, as it comes. Items are taken when a worker is free, so no more of them are held than workers."""
        for seat in self._seats:
            self._next(seat, items)
        while busy := {seat.pipe: seat for seat in self._seats if seat.busy}:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                seat = busy[pipe]
                try:
                    outcome: Outcome = pipe.recv()
                except (EOFError, OSError):
                    lost = self._replace(seat)
                    if lost is not None:
                        yield lost
                        self._next(seat, items)
                    continue
                self._next(seat, items)
                yield outcome

    def close(self) -> None:
        """End the workers; one that works on an item is not waited for."""
        for seat in self._seats:
            seat.pipe.close()
            if seat.busy:
                seat.process.terminate()
        for seat in self._seats:
            _wait_for(seat.process)
        self._seats.clear()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self, place: int) -> _Seat:
        """Not by multiprocessing, which would run the program's own main module again in each worker."""
        ours, theirs = Pipe()
        command = [sys.executable, "-m", "posetrt.corpus.serve", str(theirs.fileno())]
        path = os.pathsep.join(str(one) or "." for one in sys.path)
        # A clip that cannot be read is listed with its error; FFmpeg would add lines of its own.
        environment = {"OPENCV_FFMPEG_LOGLEVEL": "8", **os.environ, "PYTHONPATH": path}
        if self._gpus > 1:
            shown = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one] or [str(one) for one in range(self._gpus)]
            environment["CUDA_VISIBLE_DEVICES"] = shown[place % len(shown)]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL)
        theirs.close()
        ours.send(self._job)
        return _Seat(process, ours, place)

    def _hear_ready(self, seat: _Seat) -> None:
        try:
            said = seat.pipe.recv()
        except (EOFError, OSError):
            code = seat.process.wait(5)
            raise PosetrtError(f"a worker ended before it began (exit code {code}); give fewer --workers if memory is short") from None
        if said is not None:
            code, text = said
            raise {2: UsageError, 3: EngineMismatch}.get(code, PosetrtError)(text)

    def _next(self, seat: _Seat, items: Iterator[Any]) -> None:
        try:
            seat.item, seat.attempt, seat.busy = next(items), 1, True
        except StopIteration:
            seat.item, seat.busy = None, False
            return
        self._give(seat)

    def _give(self, seat: _Seat) -> None:
        try:
            seat.pipe.send(seat.item)
        except OSError:
            return  # it has died: reading from it says so

    def _replace(self, seat: _Seat) -> Outcome | None:
        """A new worker at this place with the same item; the outcome of an item that was given out often enough."""
        code, pid = seat.process.wait(), seat.process.pid
        seat.pipe.close()
        new = self._start(seat.place)
        seat.process, seat.pipe = new.process, new.pipe
        self._hear_ready(seat)
        if seat.attempt < ATTEMPTS:
            seat.attempt += 1
            self._give(seat)
            return None
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Outcome(
            seat.item, error=f"{ATTEMPTS} workers ended while they worked on it, the last by {how}", attempts=ATTEMPTS, node=node(), pid=pid
        )


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
