"""COCO's result format for key points, of a detector for boxes: one JSON file that pycocotools reads."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import BINARY
from posetrt.runtime.people import to_coco_results
from posetrt.runtime.sinks.base import Result, Sink


class CocoResults(Sink):
    """Writes one JSON list; it is whole JSON after every frame, also when the run is killed.

    `image_id` is the number at the end of the photograph's name, as in COCO's own (COCO_val2014_000000000042 is 42), else the frame's index.

    Args:
        path: replaced where it exists.

    Raises:
        PosetrtError: it cannot be written.
    """

    needs_pictures = False

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, 0o666)
            os.write(self._file, b"[]\n")
        except OSError as error:
            raise PosetrtError(f"cannot write {path}: {error.strerror or error}; choose a place that you may write to") from error
        self._end = 1
        self._empty = True

    def write(self, result: Result) -> None:
        """Put one frame's people before the closing bracket, in one write."""
        if self._file is None:
            raise PosetrtError(f"{self._path} was closed")
        frame, skeleton = result.frame, result.manifest.skeleton
        entries = to_coco_results(result.people, skeleton, frame.image_id)
        if not entries:
            return
        text = ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries)
        data = (("" if self._empty else ",\n") + text + "]\n").encode()
        try:
            written = os.pwrite(self._file, data, self._end)
            if written < len(data):
                raise OSError(28, "No space left on device")
        except OSError as error:
            os.pwrite(self._file, b"]\n", self._end)
            os.ftruncate(self._file, self._end + 2)
            raise PosetrtError(f"cannot write {self._path}: {error.strerror or error}. It holds all frames up to this one") from error
        self._end += len(data) - 2
        self._empty = False

    def close(self) -> None:
        """Have it on the disk; closing twice is harmless."""
        file, self._file = self._file, None
        if file is not None:
            # A device, as /dev/null, cannot be synchronised.
            with contextlib.suppress(OSError):
                os.fsync(file)
            os.close(file)
