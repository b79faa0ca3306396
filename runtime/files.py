"""Files that are whole or absent: written beside the target and renamed, and known by their hash."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posetrt.runtime.errors import PosetrtError, UsageError

try:
    import fcntl
except ModuleNotFoundError:
    # Windows: no such locks, and no renaming of a file that is open.
    fcntl = None  # type: ignore[assignment]


BINARY = getattr(os, "O_BINARY", 0)
"""For `os.open`: Windows would write each line's end as two bytes."""


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; rename it onto `target` when the block ends without an exception.

    A kill at any moment leaves the old file or the new one. The temporary keeps the suffix of the target, since
    writers choose a format by it.

    Raises:
        PosetrtError: the folder is missing, full or read-only.
    """
    with written_together(target) as (temporary,):
        yield temporary


@contextlib.contextmanager
def written_together(*targets: Path) -> Iterator[list[Path]]:
    """As `written_whole`, for files that are worth nothing without each other: gives a temporary path for each.

    All are whole and on the disk before the first is renamed, and the renames follow one another at once: a full disk or
    a kill while they are made leaves all the old files, and a failure no folder that was made for them. Only a kill between
    two renames mixes them, so a reader still has to check that they belong together.

    Raises:
        PosetrtError: a folder is missing, full or read-only.
    """
    temporaries: list[Path] = []
    made: list[Path] = []
    done = False
    held: list[int] = []
    try:
        for target in targets:
            made += _missing(target.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(target.parent)
            temporary, descriptor = _temporary(target)
            temporaries.append(temporary)
            if fcntl is None:
                os.close(descriptor)
            else:
                held.append(descriptor)
        yield list(temporaries)
        umask = os.umask(0)
        os.umask(umask)
        for temporary in temporaries:
            # Windows flushes only what it may write to.
            with temporary.open("r+b") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~umask)
        for temporary, target in zip(temporaries, targets, strict=True):
            temporary.replace(target)
        done = True
    except OSError as error:
        raise PosetrtError(
            f"cannot write {' and '.join(map(str, targets))}: {error.strerror or error}. What stood there before is unchanged; "
            f"{write_remedy(error)}"
        ) from error
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)
        for descriptor in held:
            os.close(descriptor)
        for folder in reversed(made if not done else []):
            with contextlib.suppress(OSError):  # somebody else has put a file there
                folder.rmdir()


def write_remedy(error: Exception) -> str:
    """What to do about a file that could not be written."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "free space, or choose a folder on another disk" if full else "choose a folder that you may write to"


def check_writable(folder: Path) -> None:
    """Try to write where a folder is or will be, before work whose result would be lost. Nothing stays there.

    Raises:
        PosetrtError: it cannot be written to, or a file stands in its way.
    """
    try:
        nearest = next(one for one in (folder, *folder.parents) if one.exists())
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is a file")
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise PosetrtError(f"cannot write {folder}: {error.strerror or error}; {write_remedy(error)}") from error


def _missing(folder: Path) -> list[Path]:
    """The folders that have to be made for `folder` to be there, the outermost first."""
    return [one for one in reversed((folder, *folder.parents)) if not one.exists()]


_MARK = ".unfinished"
"""In the name of every temporary file, before the suffix: what a kill left is known by it."""
_LEFT_OVER = re.compile(rf"\..*-[a-z0-9_]{{8}}{re.escape(_MARK)}(\.[^.]*)?")
_tidied: set[Path] = set()


def _temporary(target: Path) -> tuple[Path, int]:
    """A new file beside the target, locked as long as its descriptor is open: also a kill lets go of the lock."""
    while True:
        # The stem is cut by its bytes: a name has room for 255, whatever letters it is written in.
        stem = os.fsdecode(os.fsencode(target.stem)[:40])
        descriptor, name = tempfile.mkstemp(prefix=f".{stem}-", suffix=f"{_MARK}{target.suffix}", dir=target.parent)
        if fcntl is None:
            return Path(name), descriptor
        with contextlib.suppress(OSError):
            # A file system without locks has no other writer either that could be told apart.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return Path(name), descriptor
        # Another program's `remove_leftovers` was quicker than the lock.
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed programs left in a folder; each folder is looked at once. Those in use are locked, and stay."""
    if folder in _tidied or fcntl is None:
        return
    _tidied.add(folder)
    # What cannot be looked at or removed, as in a folder that is read-only, harms nobody.
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _LEFT_OVER.fullmatch(path.name) and not path.is_symlink():
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


def is_leftover(name: str) -> bool:
    """Whether a file of that name is a temporary one, which nobody should copy."""
    return _LEFT_OVER.fullmatch(name) is not None


def check_name(path: Path) -> None:
    """Refuse a name that is no UTF-8, for what is handed to the libraries of ONNX and TensorRT: they take nothing else.

    Raises:
        UsageError: says so, with the bytes shown as %XX.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = "".join(f"%{ord(each) - 0xDC00:02X}" if 0xDC80 <= ord(each) <= 0xDCFF else each for each in str(path))
        raise UsageError(f"the name {shown} is not UTF-8, and the engine libraries take no other; rename it") from error


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with written_whole(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON in the order given, whole or not at all. NaN is refused: JSON has none."""
    write_text(target, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file; `what` names it in the error, as in "calibration".

    Raises:
        PosetrtError: missing, unreadable or not JSON.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise PosetrtError(f"there is no {what} at {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PosetrtError(f"{path} cannot be read as the JSON of a {what}: {error}") from error
    return parse_json(text, str(path), what)


def parse_json(text: str | bytes, where: str, what: str) -> Any:
    """The value of a JSON text; `where` and `what` name it in the error. NaN and Infinity, which JSON has not and Python writes, are read.

    Raises:
        PosetrtError: not JSON, nested too deeply, or with a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise PosetrtError(f"{where} cannot be read as the JSON of a {what}: it is nested too deeply") from None
    except ValueError as error:  # JSON's own, the text's encoding, or Python's limit on the digits of a number
        raise PosetrtError(f"{where} cannot be read as the JSON of a {what}: {error}") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex.

    Raises:
        PosetrtError: missing or unreadable.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise PosetrtError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()
