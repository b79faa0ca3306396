"""A camera that may vanish, freeze and come back: connected again with growing pauses, watched from beside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources.address import redacted
from posetrt.runtime.sources.base import Frame

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
DAMAGED_IN_A_ROW = 25
"""So many damaged pictures without a whole one are no accident: a second of a usual camera."""

FIRST_TRIES = 5
"""A camera that gave no picture in so many connections, about eight seconds of pauses, hardly exists."""
IN_VAIN = 3
"""After so many connections in a row without a picture the user is told what may help."""
_LEAVE_S = 2.5
"""A thread is waited for so long: a pipeline gets two seconds to release its camera before the next one asks for it."""


class Lost(Exception):
    """The connection failed or ended; it may come back."""


class Ended(Lost):
    """All there was has come: nothing more would if it were connected again."""


class Connection(Protocol):
    """One connection to a camera, read from one thread.

    It may have `came_s`, a float or None: when the picture that was read last was taken or first came, on the clock of
    `time.perf_counter`; otherwise the moment after reading counts. And `whole_wh`: see `Frame`.
    """

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture, (H, W, 3) uint8 BGR, or NV12 as `Frame` has it; None for one that came damaged.

        Raises:
            Lost: the stream ended or broke.
        """

    def close(self) -> None:
        """Let go of it, from the reading thread."""

    def interrupt(self) -> None:
        """From another thread: make a read that waits end soon, where that can be done."""


class Camera:
    """A live source over connections that come and go.

    Args:
        label: short name.
        shown: the address without credentials, for lines to people.
        connect: opens a connection; raises `Lost` where that may succeed later, and PosetrtError where it never will.
        stall_s: no picture for so long means that the camera is gone.
        first_s: a connection's first picture may take so long; None for `stall_s`.
        advice: told after three connections in a row that gave no picture; None for nothing.
        tries: connections without a picture until the first one ever, after which that is an error; None: it is waited for, however long.
        frozen_s: the same picture for so long, to the last sampled bit, means that it is frozen; 0 never asks.
        say: takes lines for people.

    Raises:
        PosetrtError: by its iterator: after `tries`, or what `connect` or a connection raised.

    Attributes:
        damaged: pictures so far that came and could not be decoded.
        enough_wh, nv12_wh: for `connect`: see `Source`.
    """

    live = True
    fps: float | None = None

    def __init__(
        self,
        label: str,
        shown: str,
        connect: Callable[[], Connection],
        *,
        stall_s: float = 5.0,
        first_s: float | None = None,
        frozen_s: float = 10.0,
        say: Callable[[str], None] | None = None,
        advice: str | None = None,
        tries: int | None = None,
    ) -> None:
        self.label = label
        self.state = "away"
        self.damaged = 0
        self.enough_wh: tuple[int, int] | None = None
        self.nv12_wh: tuple[int, int] | None = None
        self.skipped: list[str] = []
        self.shortfall: str | None = None
        self._shown = shown
        self._connect = connect
        self._stall_s = stall_s
        self._first_s = stall_s if first_s is None else first_s
        self._advice = advice
        self._tries = tries
        self._frozen_s = frozen_s
        self._say = say
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        first_s: float | None = None
        seen, pause, away_since, told_frozen, in_vain = 0, FIRST_PAUSE_S, time.perf_counter(), False, 0
        while not self._closed.is_set():
            grabber = _Grabber(self._connect, self._came_damaged)
            reason, sample, changed_s, before = "", b"", time.perf_counter(), seen
            try:
                heard_s = time.perf_counter()
                while not self._closed.is_set():
                    taken = grabber.take(0.1)
                    now = time.perf_counter()
                    if taken is None:
                        limit_s = self._stall_s if seen > before else self._first_s
                        if now - heard_s > limit_s:
                            reason = f"no picture for {limit_s:g} s"
                            break
                        continue
                    image, captured_s, count, whole_wh = taken
                    heard_s, seen = now, before + count
                    first_s = captured_s if first_s is None else first_s
                    if self.state == "away":
                        if seen > count or pause > FIRST_PAUSE_S:
                            self._tell(f"back after {now - away_since:.1f} s")
                        self.state, pause = "on", FIRST_PAUSE_S
                    latest = image[::16, ::16].tobytes()
                    if latest != sample:
                        sample, changed_s, told_frozen = latest, now, told_frozen and self.state == "frozen"
                        if self.state == "frozen" and count > 1:
                            self._tell("the picture moves again")
                            self.state, told_frozen = "on", False
                    elif self._frozen_s and now - changed_s > self._frozen_s and not told_frozen:
                        reason, told_frozen = f"the same picture for {self._frozen_s:g} s: the camera is frozen", True
                        break
                    name = f"{self.label}_{seen - 1:012d}"
                    yield Frame(image, name, seen - 1, captured_s - first_s, captured_s, 0, self.label, whole_wh=whole_wh)
            except Ended:
                return
            except Lost as lost:
                reason = redacted(str(lost))
            finally:
                grabber.leave()
            if self._closed.is_set():
                return
            if self.state != "away":
                away_since = time.perf_counter()
            self.state = "frozen" if "frozen" in reason else "away"
            in_vain = in_vain + 1 if seen == before else 0
            if first_s is None and in_vain == self._tries:
                raise PosetrtError(
                    f"{self._shown}: no picture in {in_vain} tries: {reason}. Check the address, the cable and the camera's power. A camera "
                    "that comes later is waited for with: posetrt run --wait"
                )
            self._tell(f"{reason}; connecting again in {pause:g} s")
            if in_vain == IN_VAIN and self._advice is not None:
                self._tell(self._advice)
            self._closed.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def close(self) -> None:
        """End the iteration within 0.2 s."""
        self._closed.set()

    def _came_damaged(self, in_a_row: int) -> None:
        """A picture came that cannot be decoded; a camera that sends nothing else is told of."""
        self.damaged += 1
        if in_a_row == DAMAGED_IN_A_ROW:
            self._tell(f"{in_a_row} pictures in a row came damaged or are no JPEG; check the camera's stream and its network")

    def _tell(self, line: str) -> None:
        if self._say is not None:
            self._say(f"{self._shown}: {line}")


Taken = tuple[NDArray[np.uint8], float, int, tuple[int, int] | None]


class _Grabber:
    """Reads one connection in a thread, keeping the newest picture; a thread that hangs in a driver can be left behind."""

    def __init__(self, connect: Callable[[], Connection], came_damaged: Callable[[int], None]) -> None:
        self._came_damaged = came_damaged
        self._changed = threading.Condition()
        self._latest: Taken | None = None
        self._error: Exception | None = None
        self._left = False
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._grab, args=(connect,), name="posetrt-camera", daemon=True)
        self._thread.start()

    def _grab(self, connect: Callable[[], Connection]) -> None:
        error: Exception = Lost("the stream ended")
        connection: Connection | None = None
        try:
            connection = self._connection = connect()
            count = in_a_row = 0
            while not self._left:
                image = connection.read()
                count += 1
                in_a_row = in_a_row + 1 if image is None else 0
                if image is None:
                    self._came_damaged(in_a_row)
                    continue
                with self._changed:
                    self._latest = (image, _came(connection), count, getattr(connection, "whole_wh", None))
                    self._changed.notify_all()
        except (Lost, PosetrtError) as lost:
            error = lost
        except Exception as unforeseen:  # noqa: BLE001 a driver's error of any kind: shown, and connected again
            error = Lost(f"{type(unforeseen).__name__}: {unforeseen}")
        finally:
            if connection is not None:
                connection.close()
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def take(self, timeout_s: float) -> Taken | None:
        """The newest picture, when it came, how many had come, and the size that it had before; None where none came in time.

        Raises:
            Lost, PosetrtError: the connection ended, and its last picture was taken.
        """
        with self._changed:
            if self._latest is None and self._error is None:
                self._changed.wait(timeout_s)
            latest, self._latest = self._latest, None
            if latest is None and self._error is not None:
                raise self._error
            return latest

    def leave(self) -> None:
        """Have the thread end; waits a moment for it."""
        self._left = True
        connection = self._connection
        if connection is not None:
            connection.interrupt()
        self._thread.join(_LEAVE_S)


def _came(connection: Connection) -> float:
    """When the picture came that was just read."""
    came_s: float | None = getattr(connection, "came_s", None)
    return time.perf_counter() if came_s is None else came_s
