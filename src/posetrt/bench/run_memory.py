"""Peak resident memory of `posetrt run`: measured in a process of its own, which imports and opens what that command does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources import Frame, Source

# What the command itself loads is part of what it takes.
_PROGRAM = "import json, sys, posetrt.cli, posetrt.commands.run; from posetrt.bench.run_memory import run; run(json.loads(sys.argv[1]))"


def run_peak_mb(path: Path, source: str, options: dict[str, Any], frames: int) -> float | None:
    """Run some frames of a source through a network as `posetrt run` does, and give the process's peak (VmHWM), in MB.

    Args:
        path: a model folder, a bare .onnx or an engine.
        source: what `posetrt run --source` takes.
        options: of `posetrt.open`, by name.
        frames: at most.

    Returns:
        None where the system does not tell.

    Raises:
        PosetrtError: the run failed.
    """
    given = json.dumps({"path": str(path), "source": source, "options": options, "frames": frames})
    done = subprocess.run([sys.executable, "-c", _PROGRAM, given], capture_output=True, text=True, check=False)
    lines = done.stdout.split()
    if done.returncode or not lines:
        raise PosetrtError(f"the run whose memory was to be measured failed: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    peak = float(lines[-1])
    return peak or None


class _First:
    """The first frames of a source."""

    live = False

    def __init__(self, source: Source, frames: int) -> None:
        self._source, self._frames = source, frames
        self.label, self.fps, self.skipped, self.state = source.label, source.fps, source.skipped, "on"
        self.shortfall: str | None = None

    @property
    def enough_wh(self) -> tuple[int, int] | None:
        """See `Source`."""
        return getattr(self._source, "enough_wh", None)

    @enough_wh.setter
    def enough_wh(self, size_wh: tuple[int, int]) -> None:
        if hasattr(self._source, "enough_wh"):
            self._source.enough_wh = size_wh

    def __iter__(self) -> Iterator[Frame]:
        return islice(iter(self._source), self._frames)

    def close(self) -> None:
        """The iteration ends by itself."""


def run(given: dict[str, Any]) -> None:
    """Run, and print the peak; called by `run_peak_mb` in a process of its own."""
    from posetrt.runtime.memory import one_heap, resident_mb
    from posetrt.runtime.pipeline import pipeline
    from posetrt.runtime.pose import open_pose
    from posetrt.runtime.sources import open_source

    one_heap()
    source = open_source(given["source"])
    with open_pose(given["path"], **given["options"]) as pose:
        pipeline.run(pose, [_First(source, given["frames"])], [], pipeline.Options(track=source.fps is not None))
    sys.stdout.write(f"{resident_mb(peak=True)}\n")
