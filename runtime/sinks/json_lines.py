"""JSON lines: to a file, to standard output, or to any number of readers at a Unix socket."""

from __future__ import annotations

import contextlib
import socket
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sinks.appended import Appended
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.rows import json_line

Lines = Callable[[Result], bytes]
"""What a frame comes to: whole lines, or nothing."""


def open_json_lines(where: str, lines: Lines = json_line) -> Sink:
    """The sink that `--jsonl` names, or `--write-events` with its own lines: `-`, `unix:PATH` or a file."""
    if where == "-":
        return StdoutLines(lines)
    if where.startswith("unix:"):
        return SocketLines(Path(where.removeprefix("unix:")), lines)
    return FileLines(Path(where), lines)


class FileLines(Sink):
    """A line a frame, in a file that can be followed while it grows."""

    def __init__(self, path: Path, lines: Lines = json_line) -> None:
        self._file, self._lines = Appended(path), lines

    def write(self, result: Result) -> None:
        """Add a frame's lines, whole or not at all."""
        made = self._lines(result)
        if made:
            self._file.add(made)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class StdoutLines(Sink):
    """A line a frame to standard output, each in one write.

    Raises:
        PosetrtError: standard output is closed.
    """

    def __init__(self, lines: Lines = json_line) -> None:
        if sys.stdout is None:
            raise PosetrtError("standard output is closed, so no lines can go there; give --jsonl a file")
        self._lines = lines

    def write(self, result: Result) -> None:
        """Write and flush; a reader that went away raises BrokenPipeError, which ends the run quietly."""
        try:
            sys.stdout.buffer.write(self._lines(result))
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise PosetrtError(f"cannot write to standard output: {error.strerror or error}") from error

    def close(self) -> None:
        """Standard output belongs to the process."""


class SocketLines(Sink):
    """Serves a Unix socket: every reader gets each line from when it came; one that does not keep up misses whole lines, never half ones.

    Args:
        path: of the socket; one left behind by a run that was killed is replaced.

    Raises:
        UsageError: something else than a socket stands there, or another run serves it.
    """

    def __init__(self, path: Path, lines: Lines = json_line) -> None:
        self._path, self._lines = path, lines
        try:
            if path.exists():
                _remove_stale(path)
            self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._server.bind(str(path))
            self._server.listen(16)
        except OSError as error:
            raise PosetrtError(f"cannot serve {path}: {error.strerror or error}") from error
        self._readers: dict[socket.socket, bytes] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="posetrt-socket", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                reader, _ = self._server.accept()
                reader.setblocking(False)
                with self._lock:
                    self._readers[reader] = b""

    def write(self, result: Result) -> None:
        """Send to those who have room; never waits."""
        line = self._lines(result)
        if not line:
            return
        with self._lock:
            for reader, unsent in list(self._readers.items()):
                # The rest of a line goes before anything else; a reader that still owes room for it misses this line.
                sent = 0
                try:
                    if unsent:
                        sent = reader.send(unsent)
                    if sent == len(unsent):
                        unsent, sent = b"", 0
                        sent = reader.send(line)
                        unsent = line
                except BlockingIOError:
                    pass
                except OSError:
                    reader.close()
                    del self._readers[reader]
                    continue
                self._readers[reader] = unsent[sent:]

    def close(self) -> None:
        """End all connections and remove the socket; closing twice is harmless."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(1.0)
        with self._lock:
            for reader in self._readers:
                reader.close()
            self._readers.clear()
        with contextlib.suppress(OSError):
            self._path.unlink()


def _remove_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise UsageError(f"{path} is no socket; --jsonl unix:PATH makes one, so give a name that is free")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise UsageError(f"another program serves {path}; give another name, or end it")
