"""Jobs that fail as real ones do; workers import them from here."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrt.corpus.work import Unreadable
from posetrt.runtime.errors import EngineMismatch


@dataclass(frozen=True)
class Faulty:
    """Doubles numbers. 3 fails once, 4 always, 5 cannot be read, 6 kills its worker once, 7 always."""

    notes: Path
    opens: bool = True

    may_use_gpu = False

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[Any], Any]]:
        if not self.opens:
            raise EngineMismatch("no engine here")
        yield self._work

    def check(self, first: Any) -> None:
        with self.open():
            pass

    def _work(self, number: int) -> int:
        first = not (self.notes / str(number)).exists()
        (self.notes / str(number)).touch()
        if number == 4 or (number == 3 and first):
            raise RuntimeError("the device failed")
        if number == 5:
            raise Unreadable("no decoder reads it")
        if number == 7 or (number == 6 and first):
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number
