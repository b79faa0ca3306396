"""Run `posetrt run` under systemd: tell it when people are being found, and feed its watchdog only as long as they are.

  python -m posetrt.jetson.service --health http://127.0.0.1:9464/health -- posetrt run person/ --source csi://0 --status-port 9464

systemd starts its watchdog at READY=1; until then TimeoutStartSec= holds. The engine is built by a unit of its own,
posetrt-build.service.

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
    """Whether the address answers 200; the run's token is sent along where the environment has one."""
    token = os.environ.get("POSETRT_WEB_TOKEN")
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310 the unit's author wrote it
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 as above
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def supervise(command: Sequence[str], url: str, period_s: float) -> int:
    """Run a command, passing on SIGTERM and SIGINT, and tell systemd while its health is good.

    Returns:
        The command's exit code; 128 + n where signal n ended it.
    """
    # The child must not believe that it is the one to notify.
    inherited = {name: value for name, value in os.environ.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")}
    process: subprocess.Popen[bytes] | None = None
    stopping = ready = False

    def pass_on(number: int, _: object) -> None:
        nonlocal stopping
        stopping = True
        notify("STOPPING=1")
        if process is not None:
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    process = subprocess.Popen(command, env=inherited)
    if stopping:
        # The signal came while the process was being made, before `pass_on` could know it.
        process.terminate()
    while process.poll() is None:
        if not stopping and healthy(url):
            notify("WATCHDOG=1" if ready else "READY=1\nSTATUS=finding people\nWATCHDOG=1")
            ready = True
        try:
            process.wait(period_s)
        except subprocess.TimeoutExpired:
            continue
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    sys.stderr.write(f"posetrt: {command[0]} ended with code {code}\n")
    return code


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
    return supervise(command, args.health, period_s)


if __name__ == "__main__":
    sys.exit(main())
