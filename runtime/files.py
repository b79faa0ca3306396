"""Files that are whole or absent: written beside the target and renamed, and known by their hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posetrt.runtime.errors import PosetrtError


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
    try:
        for target in targets:
            made += _missing(target.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}-", suffix=target.suffix, dir=target.parent)
            os.close(descriptor)
            temporaries.append(Path(name))
        yield list(temporaries)
        umask = os.umask(0)
        os.umask(umask)
        for temporary in temporaries:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~umask)
        for temporary, target in zip(temporaries, targets, strict=True):
            temporary.replace(target)
        done = True
    except OSError as error:
        raise PosetrtError(
            f"cannot write {' and '.join(map(str, targets))}: {error.strerror or error}. What stood there before is unchanged; "
            "free space or choose a folder that you may write to."
        ) from error
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)
        for folder in reversed(made if not done else []):
            with contextlib.suppress(OSError):  # somebody else has put a file there
                folder.rmdir()


def _missing(folder: Path) -> list[Path]:
    """The folders that have to be made for `folder` to be there, the outermost first."""
    return [one for one in reversed((folder, *folder.parents)) if not one.exists()]


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
