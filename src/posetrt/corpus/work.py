"""What a worker does, wherever it runs: open once, then item after item, each tried three times."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from posetrt.runtime.errors import PosetrtError

ATTEMPTS = 3
"""How often an item is tried: once, and twice again."""


class Unreadable(PosetrtError):
    """The item itself is at fault, as a clip that no decoder reads: it would fail again."""


class Job(Protocol):
    """What is done to each item. It travels to the workers, so it holds what can be pickled alone."""

    @property
    def may_use_gpu(self) -> bool:
        """Whether its engine runs on a GPU where there is one."""

    def open(self) -> AbstractContextManager[Callable[[Any], Any]]:
        """Open the engine; gives what takes an item to its value.

        Raises:
            PosetrtError: it cannot be opened here.
        """

    def check(self, first: Any) -> None:
        """What an item needs of a machine, before the work starts.

        Raises:
            PosetrtError: this machine lacks it.
        """


@dataclass(frozen=True)
class Outcome:
    """What came of an item.

    Attributes:
        item: as it was given.
        value: what the job made of it; None where it failed.
        error: why it failed, each time; empty where it did not.
        lasting: the item itself is at fault, and will fail again.
        attempts: how often it was tried.
        node: name of the machine.
        pid: of the process.
        busy_s: spent on it.
    """

    item: Any
    value: Any = None
    error: str = ""
    lasting: bool = False
    attempts: int = 1
    node: str = ""
    pid: int = 0
    busy_s: float = 0.0


class Worker:
    """A job that is open. Use it as a context manager."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._held = contextlib.ExitStack()
        self._work = self._held.enter_context(job.open())

    def __call__(self, item: Any) -> Outcome:
        """Work on one item; whatever goes wrong is told in the outcome."""
        began, error, lasting, attempt = time.perf_counter(), "", False, 0
        value = None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if attempt > 1 and not lasting:
                    self._reopen()
                value, error = self._work(item), ""
                break
            except Exception as failure:  # noqa: BLE001 a failed item never ends the job
                error = str(failure) or type(failure).__name__
                if not isinstance(failure, PosetrtError):
                    error = f"{type(failure).__name__}: {error}"
                lasting = isinstance(failure, Unreadable)
        lasting = lasting and bool(error)
        return Outcome(item, value, error, lasting, attempt, node(), os.getpid(), time.perf_counter() - began)

    def _reopen(self) -> None:
        """An engine that failed may be broken for good, as after an error on a GPU."""
        self._held.close()
        self._work = self._held.enter_context(self._job.open())

    def close(self) -> None:
        """Close what the job opened."""
        self._held.close()


def node() -> str:
    """This machine's name; on a Ray cluster with the node's number, since several may run on one machine."""
    name = platform.node()
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        name += f" (node {ray.get_runtime_context().get_node_id()[:6]})"
    return name
