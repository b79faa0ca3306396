"""Run `posetrt run` under systemd: tell it when people are being found, and feed its watchdog only as long as they are.

  python -m posetrt.jetson.service --health http://127.0.0.1:9464/health -- posetrt run person/ --source csi://0 --status-port 9464

The program's own `/health` answers 200 while frames pass. A hung camera or network then starves the watchdog, and systemd
restarts the service, which a check that the process is alive would never do. Protocol: sd_notify(3).
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence


def notify(message: str) -> None:
    """Tell systemd, where it listens: a datagram to $NOTIFY_SOCKET, whose leading @ stands for the abstract name space."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as plug:
        try:
            plug.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            sys.stderr.write(f"posetrt: systemd cannot be told {message!r}: {error}\n")


def healthy(url: str, timeout_s: float = 2.0) -> bool:
    """Whether the address answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 an address that the unit's author wrote
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def supervise(command: Sequence[str], url: str, period_s: float) -> int:
    """Run a command to its end, passing on SIGTERM and SIGINT.

    Returns:
        Its exit code; 128 + n where signal n ended it.
    """
    # The child must not believe that it is the one to notify.
    inherited = {name: value for name, value in os.environ.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")}
    process = subprocess.Popen(command, env=inherited)
    stopping = False

    def pass_on(number: int, _: object) -> None:
        nonlocal stopping
        stopping = True
        notify("STOPPING=1")
        process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    ready = False
    while process.poll() is None:
        if not stopping and healthy(url):
            notify("WATCHDOG=1" if ready else "READY=1\nSTATUS=finding people\nWATCHDOG=1")
            ready = True
        try:
            process.wait(period_s)
        except subprocess.TimeoutExpired:
            continue
    code = process.returncode
    return code if code >= 0 else 128 - code


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, wait at most half the watchdog's time between two looks, and run."""
    parser = argparse.ArgumentParser(
        prog="posetrt.jetson.service", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--health", metavar="URL", default="http://127.0.0.1:9464/health", help="answers 200 while all is well")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    args = parser.parse_args(argv)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser.error("give the command to run after --")
    period_s = min(5.0, int(os.environ.get("WATCHDOG_USEC", "10000000")) / 2e6)
    started = time.monotonic()
    code = supervise(command, args.health, period_s)
    sys.stderr.write(f"posetrt: {command[0]} ended with code {code} after {time.monotonic() - started:.0f} s\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
