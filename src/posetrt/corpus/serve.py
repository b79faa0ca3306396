"""The process of a worker on this machine: `python -m posetrt.corpus.serve FD`, where FD is its end of a pipe to the driver."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from multiprocessing.connection import Connection

from posetrt.corpus.work import Worker
from posetrt.runtime.errors import PosetrtError


def serve(pipe: Connection) -> None:
    """Take the job, say whether it opens, then give an outcome for each item until the pipe ends."""
    # Ctrl-C goes to all processes of a terminal, and is the driver's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        worker = Worker(pipe.recv())
    except PosetrtError as error:
        pipe.send((error.exit_code, str(error)))
        return
    except ModuleNotFoundError as error:
        pipe.send((1, f"a worker needs the package {error.name}, which is not installed"))
        return
    pipe.send(None)
    with contextlib.suppress(EOFError, OSError):  # the driver has ended
        while True:
            pipe.send(worker(pipe.recv()))
    worker.close()


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
    # What the engine's own threads do at the end must not keep the process.
    os._exit(0)
