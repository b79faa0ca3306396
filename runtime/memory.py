"""What this process holds of the computer's memory, from /proc."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

_M_ARENA_MAX = -8
"""Of glibc's malloc.h."""


def resident_mb(*, peak: bool = False) -> float:
    """Resident memory now, or the most so far, in MB; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    name = "VmHWM:" if peak else "VmRSS:"
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith(name)), 0.0)


def one_heap() -> None:
    """Let all threads of this program share one heap: glibc gives each its own, and keeps what each once needed. For a program's own process."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
