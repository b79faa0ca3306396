"""A power mode is put back: at the end, after an error, after kill -9; and never left half set without saying so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from posetrt.jetson.nvpmodel import read_power_modes
from posetrt.jetson.power import held, left_over, note_path, restore
from posetrt.runtime.errors import PosetrtError, UsageError
from tests.jetson.conftest import Tree

SOURCE = Path(__file__).resolve().parents[2] / "src"

# nvpmodel and jetson_clocks as far as they are used here, on a file tree: mode 3 asks for a reboot, as modes that gate units do.
_NVPMODEL = """#!/bin/sh
[ "$1" = -m ] || exit 2
if [ "$2" = 3 ]; then
    printf 'DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:\\n'; read answer
    [ "$answer" = no ] && exit 0
fi
printf 'pmode:%04d\\n' "$2" > "$ROOT/var/lib/nvpmodel/status"
"""
_CLOCKS = """#!/bin/sh
gpu="$ROOT/sys/class/devfreq/17000000.gpu"
case "$1" in
--store) cat "$gpu/min_freq" > "$2" ;;
--restore) cat "$2" > "$gpu/min_freq" ;;
*) cat "$gpu/max_freq" > "$gpu/min_freq" ;;
esac
"""


@pytest.fixture
def nano(board_root: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Orin Nano in MAXN_SUPER whose nvpmodel and jetson_clocks are scripts."""
    root = board_root("orin-nano_jetpack-6.2")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("nvpmodel", _NVPMODEL), ("jetson_clocks", _CLOCKS)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("ROOT", str(root))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    return root


def _mode(root: Path) -> str | None:
    modes = read_power_modes(root)
    assert modes is not None
    return modes.current


def _gpu_min(root: Path) -> int:
    return int((root / "sys/class/devfreq/17000000.gpu/min_freq").read_text())


def test_mode_and_clocks_are_held_and_put_back(nano: Path) -> None:
    with held("15W", clocks=True, root=nano, is_root=True) as name:
        assert (name, _mode(nano), _gpu_min(nano)) == ("15W", "15W", 1_020_000_000)
        assert left_over(nano) is not None
    assert (_mode(nano), _gpu_min(nano)) == ("MAXN_SUPER", 306_000_000)
    assert list(note_path(nano).parent.iterdir()) == []


def test_after_an_error_the_mode_is_put_back(nano: Path) -> None:
    with pytest.raises(RuntimeError, match="of the work"), held("25W", root=nano, is_root=True):
        raise RuntimeError(f"of the work in {_mode(nano)}")
    assert _mode(nano) == "MAXN_SUPER"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_kill_the_guard_puts_it_back(nano: Path, number: signal.Signals) -> None:
    program = (
        "import sys, time, pathlib; from posetrt.jetson.power import held\n"
        "with held('15W', clocks=True, root=pathlib.Path(sys.argv[1]), is_root=True):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(nano)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert (_mode(nano), _gpu_min(nano)) == ("15W", 1_020_000_000)
    process.send_signal(number)
    process.wait(10)
    process.stdout.close()
    deadline = time.monotonic() + 20
    while note_path(nano).exists():
        assert time.monotonic() < deadline, "the guard put nothing back"
        time.sleep(0.05)
    assert (_mode(nano), _gpu_min(nano)) == ("MAXN_SUPER", 306_000_000)


def test_what_a_power_cut_left_is_found_and_mended(nano: Path) -> None:
    note_path(nano).parent.mkdir(parents=True)
    note_path(nano).write_text('{"mode_id": 1, "mode": "25W", "clocks": null}')
    found = left_over(nano)
    assert found is not None
    assert found.mode == "25W"
    assert restore(nano) == found
    assert _mode(nano) == "25W"
    assert restore(nano) is None


def test_a_mode_that_needs_a_reboot_is_refused_and_nothing_stays_changed(nano: Path) -> None:
    with pytest.raises(PosetrtError, match=r"7W did not come into force .*sudo nvpmodel -m 3, reboot"), held("7W", root=nano, is_root=True):
        pass
    assert _mode(nano) == "MAXN_SUPER"
    assert not note_path(nano).exists()


def test_without_root_nothing_is_touched(nano: Path) -> None:
    with pytest.raises(PosetrtError, match="needs root: run this command with sudo"), held("15W", root=nano, is_root=False):
        pass
    assert _mode(nano) == "MAXN_SUPER"


def test_a_mode_that_does_not_exist_names_those_that_do(nano: Path) -> None:
    with pytest.raises(UsageError, match="15W, 25W, MAXN_SUPER, 7W"), held("60W", root=nano, is_root=True):
        pass


def test_the_present_mode_needs_no_root(nano: Path) -> None:
    with held("maxn_super", root=nano, is_root=False) as name:
        assert name == "MAXN_SUPER"


def test_a_computer_has_no_power_modes(tmp_path: Path) -> None:
    with pytest.raises(PosetrtError, match="on a Jetson only"), held("MAXN", root=tmp_path):
        pass


def _note(root: Path, mode: int = 0o755) -> Path:
    """A note that asks for the mode 25W, in a folder of these rights."""
    note_path(root).parent.mkdir(parents=True)
    note_path(root).write_text('{"mode_id": 1, "mode": "25W", "clocks": null}')
    note_path(root).parent.chmod(mode)
    return note_path(root)


def test_root_acts_on_no_note_that_others_may_write(nano: Path) -> None:
    _note(nano, 0o777)
    with pytest.raises(PosetrtError, match="not root's own"):
        restore(nano)
    note_path(nano).parent.chmod(0o755)
    note_path(nano).chmod(0o666)
    with pytest.raises(PosetrtError, match="not root's own"):
        restore(nano)
    assert _mode(nano) == "MAXN_SUPER"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_acts_on_no_note_of_the_services_user(nano: Path) -> None:
    os.chown(_note(nano), 65534, 65534)
    with pytest.raises(PosetrtError, match="not root's own"):
        restore(nano)


def test_the_note_lies_in_no_folder_of_the_services_user(nano: Path) -> None:
    unit = (Path(__file__).resolve().parents[2] / "jetson/system/posetrt.service").read_text()
    assert "StateDirectory=posetrt\n" in unit
    assert not note_path(nano).is_relative_to(nano / "var/lib/posetrt")


def test_a_note_cannot_name_a_file_of_clocks_elsewhere(nano: Path, tmp_path: Path) -> None:
    _note(nano).write_text(f'{{"mode_id": 1, "mode": "25W", "clocks": "{tmp_path}/clocks.conf"}}')
    with pytest.raises(PosetrtError, match=r"clocks\.conf was expected"):
        restore(nano)
