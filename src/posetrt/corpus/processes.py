"""Workers on this machine: a process each, of which each has one item at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import TYPE_CHECKING, Any

from posetrt.corpus.work import ATTEMPTS, Job, Outcome, Worker, node
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass
class _Seat:
    """One worker's process, the pipe to it, and the item that it has, with how often that was given out."""

    process: BaseProcess
    pipe: Connection
    item: Any = None
    attempt: int = 0
    busy: bool = field(default=False)


class Processes:
    """Workers on this machine. Use it as a context manager: it starts them, and ends them whatever happens.

    A worker that dies is replaced, and its item goes to the new one; an item that three workers died of is listed as failed.

    Args:
        job: what is done.
        workers: how many.

    Raises:
        PosetrtError: a worker cannot open the job; as the worker said.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self._job, self._count = job, workers
        self._context = multiprocessing.get_context("spawn")
        self._seats: list[_Seat] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(self._count):
                self._seats.append(self._start())
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
        """End the workers at once."""
        for seat in self._seats:
            seat.pipe.close()
            seat.process.terminate()
        for seat in self._seats:
            seat.process.join(5)
            if seat.process.is_alive():
                seat.process.kill()
                seat.process.join()
        self._seats.clear()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self) -> _Seat:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._job, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Seat(process, ours)

    def _hear_ready(self, seat: _Seat) -> None:
        try:
            said = seat.pipe.recv()
        except (EOFError, OSError):
            seat.process.join(5)
            raise PosetrtError(
                f"a worker ended before it began (exit code {seat.process.exitcode}); give fewer --workers if memory is short"
            ) from None
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
        seat.process.join()
        code, pid = seat.process.exitcode, seat.process.pid or 0
        seat.pipe.close()
        new = self._start()
        seat.process, seat.pipe = new.process, new.pipe
        self._hear_ready(seat)
        if seat.attempt < ATTEMPTS:
            seat.attempt += 1
            self._give(seat)
            return None
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return Outcome(
            seat.item, error=f"{ATTEMPTS} workers ended while they worked on it, the last by {how}", attempts=ATTEMPTS, node=node(), pid=pid
        )


def _serve(job: Job, pipe: Connection) -> None:
    """A worker's process: until the pipe ends. Ctrl-C goes to all processes of a terminal, and is the driver's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        worker = Worker(job)
    except PosetrtError as error:
        pipe.send((error.exit_code, str(error)))
        return
    except ModuleNotFoundError as error:
        pipe.send((1, f"a worker needs the package {error.name}, which is not installed"))
        return
    pipe.send(None)
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            break
        try:
            pipe.send(worker(item))
        except BrokenPipeError:
            break
    # What the engine's own threads do at the end must not keep the process.
    os._exit(0)
