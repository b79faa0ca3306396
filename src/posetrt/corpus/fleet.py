"""Where the work is done: processes of this machine, or a Ray cluster. Both take items and give outcomes in the same way."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from posetrt.corpus.processes import Processes
from posetrt.corpus.work import Job, Outcome
from posetrt.runtime.engines import driver
from posetrt.runtime.engines.choose import best_backend
from posetrt.runtime.errors import PosetrtError, UsageError


class Fleet(Protocol):
    """Open workers."""

    def results(self, items: Iterator[Any]) -> Iterator[Outcome]:
        """What comes of each item, in the order in which it comes; items are taken as workers become free."""


def outcomes(
    job: Job, items: Iterator[Any], on: str = "local", workers: int = 0, *, threads: int = 1, say: Callable[[str], None] = lambda _: None
) -> Iterator[Outcome]:
    """Work on items, on this machine or on a cluster. Without an item nothing is started.

    Args:
        job: what is done.
        items: taken lazily.
        on: "local", `ray://HOST:PORT`, or "auto": the Ray cluster that this machine belongs to, else this machine.
        workers: how many; 0 takes a worker for each GPU where the job may use them, else one for every `threads` cores.
        threads: that each worker uses.
        say: takes a line that says where the work is done.

    Raises:
        UsageError: another `on`, or workers below 0.
        PosetrtError: workers cannot be started.
    """
    check_place(on, workers)
    first = next(items, None)
    if first is None:
        return
    with _open(job, first, on, workers, threads, say) as fleet:
        yield from fleet.results(itertools.chain([first], items))


def check_place(on: str, workers: int) -> None:
    """Raises: UsageError: a place that is none, or workers below 0."""
    if workers < 0:
        raise UsageError(f"--workers is 1 or more; got {workers}")
    if on not in ("local", "auto") and not on.startswith("ray://"):
        raise UsageError(f"--on takes local, auto or ray://HOST:PORT; got {on}")


def _open(job: Job, first: Any, on: str, workers: int, threads: int, say: Callable[[str], None]) -> AbstractContextManager[Fleet]:
    if on != "local" and (on != "auto" or _has_cluster(say)):
        from posetrt.corpus.ray_cluster import RayCluster

        say(f"workers on the Ray cluster at {on}")
        return RayCluster(job, workers, on, first, cpus=max(1, threads), gpu=job.may_use_gpu)
    gpus = _gpus() if job.may_use_gpu else 0
    count = workers or gpus or max(1, len(os.sched_getaffinity(0)) // max(1, threads))
    say(f"workers on this machine: {count}" + (f", {gpus} GPUs" if gpus else ""))
    return Processes(job, count, gpus)


def _has_cluster(say: Callable[[str], None]) -> bool:
    from posetrt.corpus.ray_cluster import connect

    try:
        connect("auto").shutdown()
    except PosetrtError as error:
        if not isinstance(error.__cause__, ConnectionError | ModuleNotFoundError):
            raise
        say("no Ray cluster here: this machine works alone")
        return False
    return True


def _gpus() -> int:
    """How many GPUs engines run on here."""
    return 0 if best_backend() == "onnxruntime" else len(driver.probe().gpus)
