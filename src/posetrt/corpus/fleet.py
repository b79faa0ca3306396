"""Where the work is done: processes of this machine, or a Ray cluster. Both take items and give outcomes in the same way."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from posetrt.corpus.processes import Processes
from posetrt.corpus.work import Job, Outcome
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
        workers: how many; 0 takes a worker for every `threads` cores.
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
    if on == "auto":
        try:
            opened = _on_ray(job, first, on, workers, threads, say)
        except PosetrtError as error:
            if not isinstance(error.__cause__, ConnectionError | ModuleNotFoundError):
                raise
            say("no Ray cluster here: this machine works alone")
        else:
            return opened
    elif on != "local":
        return _on_ray(job, first, on, workers, threads, say)
    count = workers or max(1, len(os.sched_getaffinity(0)) // max(1, threads))
    say(f"{count} workers on this machine")
    return Processes(job, count)


def _on_ray(job: Job, first: Any, on: str, workers: int, threads: int, say: Callable[[str], None]) -> AbstractContextManager[Fleet]:
    from posetrt.corpus.ray_cluster import RayCluster, connect

    connect(on).shutdown()
    cluster = RayCluster(job, workers, on, first, cpus=max(1, threads), gpu=importlib.util.find_spec("tensorrt") is not None)
    say(f"workers on the Ray cluster at {on}")
    return cluster
