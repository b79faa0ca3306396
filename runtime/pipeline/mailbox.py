"""Frames handed from one stage to the next: one place a source, so that no source waits for another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The mailbox takes and gives nothing any more."""


class Mailbox(Generic[T]):
    """One slot a source between two stages.

    A live source's newer frame takes the place of the older, which `put` hands back to be counted; a file's `put` waits
    until its slot is free. `take` is fair: of the sources that have a frame, the one served longest ago comes first.

    Args:
        live: for each source whether the newest wins.
    """

    def __init__(self, live: Sequence[bool]) -> None:
        self._live = list(live)
        self._slots: list[deque[T]] = [deque() for _ in live]
        self._order = list(range(len(self._live)))
        self._open = set(self._order)
        self._closed = False
        self._changed = threading.Condition()
        self._came_s: deque[float] = deque(maxlen=9)

    def put(self, source: int, item: T) -> T | None:
        """Leave an item; give the older one whose place it took.

        Raises:
            Closed: the mailbox was closed; the item was not taken.
        """
        with self._changed:
            self.wait_room(source)
            slot = self._slots[source]
            older = slot.popleft() if slot else None
            slot.append(item)
            self._came_s.append(time.perf_counter())
            self._changed.notify_all()
            return older

    def wait_room(self, source: int) -> None:
        """Wait until a file's next item would be taken at once; a live source's always is.

        Raises:
            Closed: the mailbox was closed.
        """
        with self._changed:
            while self._slots[source] and not self._live[source] and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Closed

    def due_s(self) -> float | None:
        """When the next item of the only source is expected, on `time.perf_counter`; None where there are several, or it comes unevenly."""
        with self._changed:
            gaps = [later - earlier for earlier, later in zip(self._came_s, list(self._came_s)[1:], strict=False)]
            if len(self._slots) > 1 or len(gaps) < 4:
                return None
            usual = sorted(gaps)[len(gaps) // 2]
            return self._came_s[-1] + usual if max(gaps) - min(gaps) <= usual else None

    def wait_put(self, timeout_s: float) -> None:
        """Wait until something comes, at most for so long."""
        with self._changed:
            if not self._closed:
                self._changed.wait(timeout_s)

    def take(self, most: int = 1, *, wait: bool = True, timeout_s: float | None = None) -> list[T]:
        """Up to `most` items, one a source; nothing where none is there and `wait` is False, or the time is over.

        Raises:
            Closed: closed, or every source has finished and nothing is left.
        """
        with self._changed:
            while True:
                if self._closed:
                    raise Closed
                ready = [source for source in self._order if self._slots[source]][:most]
                if ready:
                    break
                if not self._open:
                    raise Closed
                if not wait or not self._changed.wait(timeout_s):
                    return []
            items = [self._slots[source].popleft() for source in ready]
            for source in ready:
                self._order.remove(source)
                self._order.append(source)
            self._changed.notify_all()
            return items

    def take_from(self, source: int) -> T | None:
        """What one source has, without waiting and out of turn."""
        with self._changed:
            slot = self._slots[source]
            item = slot.popleft() if slot else None
            self._changed.notify_all()
            return item

    def swap(self, source: int, item: T) -> T | None:
        """Put an item in place of one that still lies there, and give that; None, and nothing put, where it was taken already.

        Raises:
            Closed: the mailbox was closed; the item was not taken.
        """
        with self._changed:
            if self._closed:
                raise Closed
            slot = self._slots[source]
            if not slot:
                return None
            older = slot.popleft()
            slot.append(item)
            return older

    def wait_empty(self, timeout_s: float | None = None) -> bool:
        """Wait until somebody has taken what was there; False where nobody has in time.

        Raises:
            Closed: the mailbox was closed.
        """
        with self._changed:
            while any(self._slots) and not self._closed:
                if not self._changed.wait(timeout_s):
                    break
            if self._closed:
                raise Closed
            return not any(self._slots)

    def finish(self, source: int | None = None) -> None:
        """No more will come from this source, or from any; what is there can still be taken."""
        with self._changed:
            self._open = set() if source is None else self._open - {source}
            self._changed.notify_all()

    def close(self) -> list[T]:
        """Wake everybody with `Closed`; gives what nobody took."""
        with self._changed:
            self._closed = True
            left = [item for slot in self._slots for item in slot]
            for slot in self._slots:
                slot.clear()
            self._changed.notify_all()
            return left
