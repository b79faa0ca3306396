"""Viewers of the web page in a process of their own, as they are in life: some read, the others have stopped.

Run as `python -m posetrt.bench.viewers PORT READING STALLED`: says `watching` when all are connected, ends when its input ends,
and says how many bytes the readers got.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from posetrt.runtime.errors import PosetrtError

if TYPE_CHECKING:
    from typing_extensions import Self


class Viewers:
    """So many viewers, connected while the context lasts.

    Attributes:
        received: bytes that the readers got, once they have gone.

    Args:
        port: of the page on this computer.
        reading: viewers that read as fast as pictures come.
        stalled: viewers that ask for the stream and read nothing.

    Raises:
        PosetrtError: they cannot connect.
    """

    def __init__(self, port: int, reading: int, stalled: int) -> None:
        self.received = 0
        self._words = [sys.executable, "-m", __name__, str(port), str(reading), str(stalled)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "watching\n":
            self._process.kill()
            self._process.communicate()
            raise PosetrtError("the viewers could not connect to the page, or as many files may not be open: ulimit -n 1024 allows them")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        said, _ = self._process.communicate()
        self.received = int(said or 0)


def watch(port: int, reading: int, stalled: int) -> int:
    """Connect, read until this program's input ends, and give the bytes that the readers got."""
    received, room = 0, bytearray(1 << 18)
    with ExitStack() as connections, selectors.DefaultSelector() as ready:
        for number in range(reading + stalled):
            viewer = connections.enter_context(socket.create_connection(("127.0.0.1", port)))
            viewer.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            if number < reading:
                ready.register(viewer, selectors.EVENT_READ)
        ready.register(sys.stdin, selectors.EVENT_READ)
        print("watching", flush=True)  # noqa: T201 a program of its own
        while True:
            for key, _ in ready.select():
                if key.fileobj is sys.stdin:
                    return received
                assert isinstance(key.fileobj, socket.socket)
                chunk = key.fileobj.recv_into(room)
                received += chunk
                if not chunk:
                    ready.unregister(key.fileobj)


if __name__ == "__main__":
    print(watch(*map(int, sys.argv[1:])))  # noqa: T201 a program of its own
