"""Hold a power mode and the clocks for the length of a benchmark, and put back what was before: on exit, after an error, after a kill.

What was before is written down first. A guard, a process of its own, waits for the end of the one that changed the mode and puts
things back if that one did not. After a power cut the note is still there: `posetrt doctor` tells, and `--restore-power` mends.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from posetrt.jetson.nvpmodel import PowerModes, read_power_modes
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.fields import read_fields
from posetrt.runtime.files import write_json

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Before:
    """What was in force before a change, as noted on disk.

    Attributes:
        mode_id, mode: the power mode.
        clocks: the file into which jetson_clocks stored its settings; None where clocks were left alone.
    """

    mode_id: int
    mode: str
    clocks: str | None


def note_path(root: Path = Path("/")) -> Path:
    """Where the state before a change is noted; it survives a power cut, as the mode does.

    The folder is root's alone. It is not the service's /var/lib/posetrt: root acts on what the note says.
    """
    return root / "var/lib/posetrt-power/power.json"


def _check_roots_own(path: Path) -> None:
    """Refuse a file or folder that somebody else may have written, before root acts on it.

    Raises:
        PosetrtError: it is a link, belongs to another user, or is open to others for writing.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PosetrtError(
            f"{path} is not root's own: it is a link, or others may write it, so what it says is not acted on. Look at it, delete it, "
            "and set the mode by hand with nvpmodel -m"
        )


def clocks_path(root: Path = Path("/")) -> Path:
    """Where jetson_clocks stores what was in force before."""
    return note_path(root).with_name("clocks.conf")


def left_over(root: Path = Path("/")) -> Before | None:
    """What a run that died without its guard left changed; None where nothing is left.

    Raises:
        PosetrtError: the note is there but cannot be read, or is not root's own.
    """
    path = note_path(root)
    if not path.is_file():
        return None
    _check_roots_own(path.parent)
    _check_roots_own(path)
    given = read_fields(path, "note of the power mode before", "Set the mode by hand with nvpmodel -m, then delete the note")
    before = Before(given.whole("mode_id", 0, 99), given.text("mode"), given.text("clocks") if "clocks" in given else None)
    if before.clocks is not None:
        if Path(before.clocks) != clocks_path(root):
            raise PosetrtError(f"{path} names {before.clocks} for the clocks, where {clocks_path(root)} was expected; delete the note")
        if Path(before.clocks).exists():
            _check_roots_own(Path(before.clocks))
    return before


def restore(root: Path = Path("/")) -> Before | None:
    """Put back what the note says and delete it; None where there is none.

    Raises:
        PosetrtError: nvpmodel or jetson_clocks failed; the note is kept.
    """
    before = left_over(root)
    if before is None:
        return None
    _set_mode(before.mode_id, before.mode, root)
    if before.clocks is not None:
        _command("jetson_clocks", "--restore", before.clocks)
        Path(before.clocks).unlink(missing_ok=True)
    note_path(root).unlink(missing_ok=True)
    return before


@contextmanager
def held(mode: str | None = None, *, clocks: bool = False, root: Path = Path("/"), is_root: bool | None = None) -> Iterator[str]:
    """Change the power mode, lock the clocks, and put both back at the end of the block.

    Args:
        mode: by name, as nvpmodel's configuration has it; None keeps the present one.
        clocks: run jetson_clocks, which holds CPU, GPU and memory at the mode's highest clocks.
        root: of the board's files.
        is_root: None asks the system.

    Yields:
        The mode's name.

    Raises:
        UsageError: this board has no such mode.
        PosetrtError: no nvpmodel, no root, or the mode needs a reboot to come into force.
    """
    modes = read_power_modes(root)
    if modes is None or modes.current_id is None or modes.current is None:
        raise PosetrtError(f"{root / 'etc/nvpmodel.conf'} cannot be read: power modes can be set on a Jetson only")
    wanted = modes.id_of(mode) if mode is not None else modes.current_id
    if wanted == modes.current_id and not clocks:
        yield modes.current
        return
    if not (os.geteuid() == 0 if is_root is None else is_root):
        raise PosetrtError("setting the power mode needs root: run this command with sudo, or leave --power-mode and --clocks out")
    restore(root)
    modes = read_power_modes(root) or modes
    stored = clocks_path(root) if clocks else None
    note_path(root).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    _check_roots_own(note_path(root).parent)
    if stored is not None:
        stored.unlink(missing_ok=True)
        _command("jetson_clocks", "--store", str(stored))
    write_json(note_path(root), {"mode_id": modes.current_id, "mode": modes.current, "clocks": str(stored) if stored is not None else None})
    guard = _start_guard(root)
    try:
        if wanted != modes.current_id:
            _set_mode(wanted, modes.names[wanted], root)
        if clocks:
            _command("jetson_clocks")
        yield modes.names.get(wanted, modes.current or "")
    finally:
        try:
            restore(root)
        finally:
            if guard.stdin is not None:
                guard.stdin.close()
            guard.wait(_TIMEOUT_S)


def _set_mode(number: int, name: str, root: Path) -> None:
    """Set a mode by id and see that it is in force.

    Raises:
        PosetrtError: it is not. Some modes change what is powered at boot; nvpmodel then asks for a reboot, which is declined.
    """
    now: PowerModes | None = read_power_modes(root)
    if now is not None and now.current_id == number:
        return
    _command("nvpmodel", "-m", str(number), answer="no\n")
    now = read_power_modes(root)
    if now is None or now.current_id != number:
        raise PosetrtError(
            f"the power mode {name} did not come into force (now: {now.current if now else 'unknown'}): "
            f"it needs a reboot. Set it with: sudo nvpmodel -m {number}, reboot, and run this again without --power-mode"
        )


def _command(*command: str, answer: str = "") -> None:
    """Run one of the board's programs.

    Raises:
        PosetrtError: it is absent, failed, or did not end.
    """
    try:
        done = subprocess.run(command, input=answer, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise PosetrtError(f"{command[0]} is not installed: power modes can be set on a Jetson only") from error
    except subprocess.TimeoutExpired as error:
        raise PosetrtError(f"{' '.join(command)} did not end within {_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip().splitlines()
        raise PosetrtError(f"{' '.join(command)} failed with code {done.returncode}: {told[-1] if told else 'it says nothing'}")


def _start_guard(root: Path) -> subprocess.Popen[bytes]:
    """A process that outlives this one: it sees the end of its standard input and puts back what the note still says."""
    return subprocess.Popen(
        [sys.executable, "-m", "posetrt.jetson.power", str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # A group of its own: Ctrl-C in the terminal must not end it together with what it guards.
        start_new_session=True,
    )


def _guard(root: Path) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    try:
        restore(root)
    except PosetrtError as error:
        sys.stderr.write(f"posetrt: the power mode could not be put back: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_guard(Path(sys.argv[1])))
