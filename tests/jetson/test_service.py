"""The systemd unit is sound, and its watchdog is fed only while people are being found."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SYSTEM = Path(__file__).resolve().parents[2] / "jetson" / "system"
UNITS = ("posetrt.service", "posetrt-build.service")
SOURCE = Path(__file__).resolve().parents[2] / "src"

# jetson-stats before 7.1.5 installs a unit with this order.
OLD_JTOP = """[Unit]
Description=jtop service
After=multi-user.target
[Service]
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
"""


def _settings(unit: str) -> dict[str, str]:
    """The unit's settings; of one that is given twice, the last."""
    lines = (SYSTEM / unit).read_text().replace("\\\n", " ").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def _verified(folder: Path, unit: str) -> str:
    """What systemd says of a unit among those of a folder, which come before this computer's own."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed")
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:"}
    done = subprocess.run([program, "verify", "--man=no", unit], capture_output=True, text=True, check=False, timeout=60, env=environment)
    return done.stderr


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Our units, enabled; the programs of the virtual environment are not on this computer: others stand in their places."""
    folder = tmp_path / "units"
    (folder / "multi-user.target.wants").mkdir(parents=True)
    for unit in UNITS:
        (folder / unit).write_text(re.sub(r"/opt/posetrt/bin/\w+", "/bin/true", (SYSTEM / unit).read_text()))
    (folder / "multi-user.target.wants" / "posetrt.service").symlink_to("../posetrt.service")
    return folder


def test_systemd_accepts_the_units(units: Path) -> None:
    for unit in UNITS:
        assert _verified(units, unit) == ""
    broken = (units / "posetrt.service").read_text().replace("WatchdogSec=60", "WatchdogSec=sixty\nFrobnicate=yes")
    (units / "posetrt.service").write_text(broken)
    assert "Frobnicate" in _verified(units, "posetrt.service")


def test_an_older_jtop_does_not_cost_the_service_its_start_at_boot(units: Path) -> None:
    (units / "jtop.service").write_text(OLD_JTOP)
    (units / "multi-user.target.wants" / "jtop.service").symlink_to("../jtop.service")
    assert _verified(units, "multi-user.target") == ""
    # The same look finds a cycle where there is one.
    cyclic = (units / "posetrt.service").read_text().replace("After=multi-user.target posetrt-build.service", "After=jtop.service")
    (units / "posetrt.service").write_text(cyclic)
    assert "ordering cycle" in _verified(units, "multi-user.target")


def test_the_boot_waits_for_no_engine_and_no_camera() -> None:
    for unit in UNITS:
        # A target does not wait for what it wants if that itself comes after the target.
        assert "multi-user.target" in _settings(unit)["After"].split()
    assert "build" not in _settings("posetrt.service")["ExecStart"].split()
    assert "Restart" not in _settings("posetrt-build.service")


@pytest.mark.parametrize("unit", UNITS)
def test_the_gpus_and_cameras_devices_stay_open(unit: str) -> None:
    # Each of these makes a device policy that denies nvmap, nvgpu and video*; ProtectClock= does so by implication (systemd.exec(5)).
    assert not _settings(unit).keys() & {"ProtectClock", "PrivateDevices", "DeviceAllow", "DevicePolicy"}


# The mounts that systemd makes for a unit, as far as they concern /tmp (systemd.exec(5)), in a name space of their own.
_SANDBOX = """set -e
mount --make-rprivate /
if [ "$1" = yes ]; then mount -t tmpfs tmpfs /tmp; fi
if [ "$2" = strict ] && [ "$1" != yes ]; then
    mount --bind /tmp /tmp
    case " $3 " in *" /tmp "*) ;; *) mount -o remount,bind,ro /tmp ;; esac
fi
exec "$4" -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1]); open(sys.argv[1] + ".mine", "w").close()' "$5"
"""


@pytest.mark.parametrize("unit", UNITS)
def test_the_camera_daemons_socket_in_tmp_is_reached_from_the_sandbox(unit: str) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a mount name space needs root")
    settings = _settings(unit)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as daemon:
        path = str(Path(folder) / "argus_socket")
        daemon.bind(path)
        daemon.listen()
        words = [settings.get(name, "") for name in ("PrivateTmp", "ProtectSystem", "ReadWritePaths")]
        command = ["unshare", "--mount", "sh", "-c", _SANDBOX, "sh", *words, sys.executable, path]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_neither_wrong_usage_nor_a_misfit_is_tried_again() -> None:
    run, build = _settings("posetrt.service"), _settings("posetrt-build.service")
    assert build["ExecStart"].split()[-1] == "--if-needed"
    assert run["Requires"] == "posetrt-build.service"
    assert "posetrt-build.service" in run["After"].split()
    assert run["RestartPreventExitStatus"] == "2 3"
    assert (build["Type"], build["TimeoutStartSec"]) == ("oneshot", "45min")


def test_a_camera_that_is_unplugged_at_boot_is_waited_for() -> None:
    settings = _settings("posetrt.service")
    minutes = int(settings["TimeoutStartSec"].removesuffix("min"))
    # Starts that end by the time-out come too slowly to reach the limit of starts.
    assert minutes * 60 * int(settings["StartLimitBurst"]) > int(settings["StartLimitIntervalSec"])


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


def _start(health: Health, plug: Path, program: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "NOTIFY_SOCKET": str(plug), "WATCHDOG_USEC": "200000"}
    command = [sys.executable, "-m", "posetrt.jetson.service", "--health", health.url, "--", sys.executable, "-c", program]
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


@pytest.mark.parametrize(
    ("program", "code"), [("import sys; sys.exit(2)", 2), ("import sys; sys.exit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_the_exit_code_is_the_runs_own(health: Health, tmp_path: Path, program: str, code: int) -> None:
    assert _start(health, tmp_path / "nobody", program).wait(30) == code
