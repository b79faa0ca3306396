"""Files that grow by whole records: after a kill at any moment they hold every record but perhaps the last."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.files import BINARY


class Appended:
    """A file that records are added to, each in one write, so that no record is ever half followed by another.

    What a full disk cut short is taken back. The file grows under its own name, so that it can be followed.

    Args:
        path: replaced where it exists; its folder is made.

    Raises:
        PosetrtError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, 0o666)
        except OSError as error:
            raise PosetrtError(f"cannot write {path}: {error.strerror or error}; choose a place that you may write to") from error
        self._length = 0

    def add(self, record: bytes) -> None:
        """Add one record.

        Raises:
            PosetrtError: it cannot be written whole; the file holds the records before it.
        """
        if self._file is None:
            raise PosetrtError(f"{self.path} was closed")
        written = 0
        try:
            while written < len(record):
                written += os.write(self._file, record[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._length)
                os.lseek(self._file, self._length, os.SEEK_SET)
            raise PosetrtError(
                f"cannot write {self.path}: {error.strerror or error}. It holds all records up to this one; free space and run again"
            ) from error
        self._length += written

    def close(self) -> None:
        """Have it on the disk; closing twice is harmless."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                os.fsync(file)
            os.close(file)
