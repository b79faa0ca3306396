"""The systemd unit is sound, and its watchdog is fed only while people are being found."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "jetson" / "system" / "posetrt.service"
SOURCE = Path(__file__).resolve().parents[2] / "src"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed")
    # The programs of the virtual environment are not on this computer: others stand in their places.
    text = UNIT.read_text().replace("/opt/posetrt/bin/posetrt", "/bin/true").replace("/opt/posetrt/bin/python", "/bin/true")
    (tmp_path / "posetrt.service").write_text(text)
    done = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / "posetrt.service")], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    broken = text.replace("WatchdogSec=60", "WatchdogSec=sixty\nFrobnicate=yes")
    (tmp_path / "posetrt.service").write_text(broken)
    told = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / "posetrt.service")], capture_output=True, text=True, check=False, timeout=60
    )
    assert "Frobnicate" in told.stderr


def test_building_comes_first_and_neither_wrong_usage_nor_a_misfit_is_tried_again() -> None:
    lines = UNIT.read_text().replace("\\\n", " ").splitlines()
    # RestartPreventExitStatus= looks at the main process alone, so the build must be part of it.
    assert not any(line.startswith("ExecStartPre=") for line in lines)
    start = next(line for line in lines if line.startswith("ExecStart="))
    build, _, run = start.partition(" --then ")
    assert " -- /opt/posetrt/bin/posetrt build " in build
    assert build.split()[-1] == "--if-needed"
    assert run.startswith("/opt/posetrt/bin/posetrt run ")
    assert "RestartPreventExitStatus=2 3" in lines
    assert "TimeoutStartSec=45min" in lines


class Health:
    """A /health that answers what it is told."""

    def __init__(self) -> None:
        health = self
        self.status = 503

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(health.status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/health"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()


@pytest.fixture
def health() -> Iterator[Health]:
    served = Health()
    yield served
    served.server.shutdown()
    served.server.server_close()
    served.thread.join()


def _start(health: Health, plug: Path, program: str, first: str | None = None) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "NOTIFY_SOCKET": str(plug), "WATCHDOG_USEC": "200000"}
    command = [sys.executable, "-m", "posetrt.jetson.service", "--health", health.url, "--"]
    if first is not None:
        command += [sys.executable, "-c", first, "--then"]
    command += [sys.executable, "-c", program]
    return subprocess.Popen(command, env=environment)


def _heard(listener: socket.socket, seconds: float) -> list[str]:
    messages, until = [], time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        listener.settimeout(left)
        try:
            messages.append(listener.recv(1024).decode())
        except TimeoutError:
            break
    return messages


def test_the_watchdog_starves_when_frames_stop(health: Health, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        # A run that ends with 0 on SIGTERM, and must not see systemd's socket itself.
        program = "import os, signal, sys, time; assert 'NOTIFY_SOCKET' not in os.environ; "
        program += "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); time.sleep(60)"
        process = _start(health, tmp_path / "notify", program)
        assert _heard(listener, 1.5) == [], "not ready before frames pass"
        health.status = 200
        first = _heard(listener, 3.0)
        assert first[0].startswith("READY=1")
        assert set(first[1:]) == {"WATCHDOG=1"}
        health.status = 503
        _heard(listener, 0.5)
        assert _heard(listener, 1.0) == [], "a hung run must not feed the watchdog"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "STOPPING=1" in _heard(listener, 0.2)


@pytest.mark.parametrize(("program", "code"), [("import sys; sys.exit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_the_exit_code_is_the_runs_own(health: Health, tmp_path: Path, program: str, code: int) -> None:
    assert _start(health, tmp_path / "nobody", program).wait(30) == code


@pytest.mark.parametrize("code", [2, 3])
def test_a_build_that_cannot_succeed_ends_the_service_with_its_code_before_the_run(health: Health, tmp_path: Path, code: int) -> None:
    ran = tmp_path / "ran"
    program = f"import pathlib; pathlib.Path({str(ran)!r}).touch()"
    assert _start(health, tmp_path / "nobody", program, f"import sys; sys.exit({code})").wait(30) == code
    assert not ran.exists()
    assert _start(health, tmp_path / "nobody", program, "pass").wait(30) == 0
    assert ran.exists()


def test_a_build_is_not_ready_whoever_answers_and_stopping_it_starts_no_run(health: Health, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    health.status = 200
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        # A build that ends well although it was told to stop.
        build = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); time.sleep(60)"
        process = _start(health, tmp_path / "notify", f"import pathlib; pathlib.Path({str(ran)!r}).touch()", build)
        heard = _heard(listener, 4.0)
        assert len(heard) == 1
        assert heard[0].startswith("STATUS=first: ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert _heard(listener, 0.2) == ["STOPPING=1"]
    assert not ran.exists()
