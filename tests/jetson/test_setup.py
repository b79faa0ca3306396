"""setup.sh in a fake root: a dry run touches nothing, an applied one does each step, and the second finds all of it done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.jetson.conftest import Tree

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / "jetson" / "setup.sh"

# The programs that change a system, as scripts: each writes down how it was called, and leaves behind what the next run looks for.
_LOG = '#!/bin/sh\necho "${0##*/} $*" >> "$LOG"\n'
_APT = (
    _LOG
    + """
for name in "$@"; do case "$name" in -*|install) ;; *)
    printf '\\nPackage: %s\\nStatus: install ok installed\\nVersion: 1\\nArchitecture: arm64\\n' "$name" >> "$FAKE/var/lib/dpkg/status" ;;
esac; done
"""
)
_PYTHON = (
    _LOG
    + """
for last; do :; done
mkdir -p "$last/bin"; echo 'include-system-site-packages = true' > "$last/pyvenv.cfg"
cp "$VENV_PYTHON" "$last/bin/python"; cp "$LOGGER" "$last/bin/jtop"
"""
)
_VENV_PYTHON = """#!/bin/sh
if [ "$1" = -c ]; then grep -q "installed ${2#import }" "$LOG"; exit; fi
echo "python $*" >> "$LOG"
case "$*" in *pycuda*) echo installed pycuda >> "$LOG"; echo "pycuda-path ${PATH%%:*} $CUDA_ROOT" >> "$LOG" ;;
*matplotlib*pycocotools*) echo installed matplotlib >> "$LOG"; echo installed pycocotools >> "$LOG" ;;
*aiohttp*av*) echo installed aiohttp >> "$LOG"; echo installed av >> "$LOG" ;;
*jetson-stats*) echo installed jtop >> "$LOG" ;; *) echo installed posetrt >> "$LOG" ;; esac
"""


class Fake:
    """A board's root folder with programs that only take notes."""

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.venv, self.log = root, work / "venv", work / "log"
        programs = work / "bin"
        programs.mkdir()
        self.log.touch()
        scripts = {"apt-get": _APT, "python3": _PYTHON}
        scripts |= dict.fromkeys(("systemctl", "udevadm", "useradd", "swapon", "fallocate", "mkswap", "chown", "usermod"), _LOG)
        for name, text in {**scripts, "venv-python": _VENV_PYTHON, "logger": _LOG}.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "LOG": str(self.log),
            "FAKE": str(root),
            "VENV_PYTHON": str(programs / "venv-python"),
            "LOGGER": str(programs / "logger"),
        }
        compiler = root / "usr/local/cuda/bin/nvcc"
        compiler.parent.mkdir(parents=True)
        compiler.write_text("#!/bin/sh\n")
        compiler.chmod(0o755)
        (root / "proc/swaps").write_text("Filename Type Size Used Priority\n")

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [str(SETUP), "--root", str(self.root), "--venv", str(self.venv), *options]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def contents(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}


@pytest.fixture
def nano(board_root: Tree, tmp_path: Path) -> Fake:
    work = tmp_path / "work"
    work.mkdir()
    return Fake(board_root("orin-nano_jetpack-6.2"), work)


def test_a_dry_run_says_the_steps_and_touches_nothing(nano: Fake) -> None:
    before = nano.contents()
    done = nano.run("--jtop", "--service", "--swap")
    assert done.returncode == 0, done.stderr
    assert nano.contents() == before
    assert nano.log.read_text() == ""
    assert not nano.venv.exists()
    for step in ("nothing is changed", "libopencv-python", "pycuda", "numpy>=1.23,<2", "fallocate", "posetrt.service", "--install-service"):
        assert step in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="--apply asks for root")
def test_applied_once_everything_is_there_and_twice_nothing_is_done_again(nano: Fake) -> None:
    first = nano.run("--apply", "--jtop", "--service")
    assert first.returncode == 0, first.stdout + first.stderr
    log = nano.log.read_text()
    assert "apt-get install --yes --no-install-recommends python3-venv python3-dev build-essential" in log
    assert " libopencv-python" in log
    assert f"pycuda-path {nano.root}/usr/local/cuda/bin {nano.root}/usr/local/cuda" in log
    assert "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good" in log
    assert "pip install numpy>=1.23,<2 matplotlib>=3.7 pycocotools>=2.0.7" in log
    assert f"pip install --upgrade numpy>=1.23,<2 {ROOT / 'jetson'}/.." in log
    assert (nano.root / "etc/systemd/system/posetrt.service").read_bytes() == (ROOT / "jetson/system/posetrt.service").read_bytes()
    (nano.root / "etc/posetrt.env").write_text("POSETRT_MODEL=/my/own\n")
    (nano.root / "etc/systemd/system/jtop.service").touch()
    nano.log.write_text(
        "".join(f"installed {one}\n" for one in ("pycuda", "posetrt", "matplotlib", "pycocotools", "aiohttp", "av", "jtop"))
    )
    second = nano.run("--apply", "--jtop", "--service")
    assert second.returncode == 0
    again = [line for line in nano.log.read_text().splitlines() if not line.startswith(("installed", "systemctl", "udevadm", "useradd"))]
    assert again == []
    assert (nano.root / "etc/posetrt.env").read_text() == "POSETRT_MODEL=/my/own\n"


def test_jetpack_7_takes_ubuntus_opencv_and_the_numpy_that_it_imports_with(board_root: Tree, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    done = Fake(board_root("thor_jetpack-7.2"), tmp_path / "work").run()
    assert "python3-opencv" in done.stdout
    pips = [line for line in done.stdout.splitlines() if " -m pip install " in line]
    assert pips
    assert all("numpy>=1.23,<2" in line for line in pips), "Ubuntu 24.04's OpenCV is built against NumPy 1"
    assert "have: memory and swap enough to build" in done.stdout


def test_a_system_whose_numpy_is_2_keeps_it(nano: Fake) -> None:
    with (nano.root / "var/lib/dpkg/status").open("a") as status:
        status.write("\nPackage: python3-numpy\nStatus: install ok installed\nVersion: 1:2.3.1-1\nArchitecture: arm64\n")
    said = nano.run().stdout
    assert "numpy>=2" in said
    assert "<2" not in said


def test_the_jetson_extra_never_brings_a_numpy_that_ubuntus_opencv_does_not_import_with() -> None:
    extra = next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("jetson = "))
    named = [Requirement(text) for text in re.findall(r'"([^"]+)"', extra) if text.startswith("numpy")]
    for python in ("3.10", "3.12"):
        assert any(
            "2.0" not in one.specifier and (one.marker is None or one.marker.evaluate({"python_version": python})) for one in named
        ), python


def test_too_little_memory_is_told(nano: Fake) -> None:
    assert "add --swap for an 8 GB swap file" in nano.run().stdout


def test_zram_is_no_swap_to_build_in(nano: Fake) -> None:
    zram = "Filename Type Size Used Priority\n" + "".join(f"/dev/zram{core} partition 650000 0 5\n" for core in range(6))
    (nano.root / "proc/swaps").write_text(zram)
    assert "add --swap for an 8 GB swap file" in nano.run().stdout
    (nano.root / "proc/swaps").write_text(zram + "/swapfile file 8388604 0 -2\n")
    assert "have: memory and swap enough" in nano.run().stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="--apply asks for root")
def test_sudo_finds_posetrt_and_jtops_unit_finds_jtop(nano: Fake) -> None:
    assert nano.run("--apply", "--jtop").returncode == 0
    for program in ("posetrt", "jtop"):
        assert (nano.root / "usr/local/bin" / program).readlink() == nano.venv / "bin" / program
    log = nano.log.read_text()
    assert log.index("jetson-stats") < log.index("jtop --install-service")


def test_the_user_who_calls_it_gets_the_groups_of_the_gpu_and_cameras(nano: Fake) -> None:
    nano.environment["SUDO_USER"] = "nobody"
    assert "usermod --append --groups video nobody" in nano.run().stdout
    nano.environment["SUDO_USER"] = "root"
    assert "usermod" not in nano.run().stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="--apply asks for root")
def test_an_upgrade_installs_posetrt_again_and_restarts_the_service(nano: Fake) -> None:
    assert nano.run("--apply").returncode == 0
    nano.log.write_text("installed posetrt\n")
    assert nano.run("--apply", "--upgrade").returncode == 0
    log = nano.log.read_text()
    assert f"pip install --force-reinstall --no-deps {ROOT / 'jetson'}/.." in log
    # An image that is being made has no systemd to restart anything.
    assert ("systemctl try-restart posetrt.service" in log) == Path("/run/systemd/system").is_dir()


def test_every_unit_that_the_service_needs_is_installed(nano: Fake) -> None:
    said = nano.run("--service").stdout
    for unit in (ROOT / "jetson/system").glob("*.service"):
        assert f"/etc/systemd/system/{unit.name}" in said


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("", "first line"),
        ("# R35 (release), REVISION: 4.1, GCID: 1\n", "JetPack 5 or older"),
        (None, "this is no Jetson"),
    ],
)
def test_a_board_that_it_is_not_for_is_refused(nano: Fake, release: str | None, said: str) -> None:
    path = nano.root / "etc/nv_tegra_release"
    if release is None:
        path.unlink()
    else:
        path.write_text(release)
    done = nano.run()
    assert done.returncode == 1
    assert said in done.stderr
    assert nano.run("--frobnicate").returncode == 2


def test_shellcheck_finds_nothing() -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([program, *map(str, (ROOT / "jetson").rglob("*.sh"))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, str(ROOT / "jetson/Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
