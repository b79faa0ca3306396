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
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}-", suffix=target.suffix, dir=target.parent)
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
        temporary = None
    except OSError as error:
        raise PosetrtError(
            f"cannot write {target}: {error.strerror or error}. What stood there before is unchanged; "
            "free space or choose a folder that you may write to."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PosetrtError(f"there is no {what} at {path}") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PosetrtError(f"{path} cannot be read as the JSON of a {what}: {error}") from error


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
