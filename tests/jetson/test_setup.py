"""setup.sh in a fake root: a dry run touches nothing, an applied one does each step, and the second finds all of it done."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

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
        scripts |= dict.fromkeys(("systemctl", "udevadm", "useradd", "swapon", "fallocate", "mkswap", "chown"), _LOG)
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


def test_jetpack_7_takes_ubuntus_opencv_and_any_numpy(board_root: Tree, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    done = Fake(board_root("thor_jetpack-7.2"), tmp_path / "work").run()
    assert "python3-opencv" in done.stdout
    assert "<2" not in done.stdout
    assert "have: memory and swap enough to build" in done.stdout


def test_too_little_memory_is_told(nano: Fake) -> None:
    assert "add --swap for an 8 GB swap file" in nano.run().stdout


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
