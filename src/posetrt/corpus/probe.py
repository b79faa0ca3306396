"""What a machine of a cluster is asked before the work starts. It travels by value, and imports posetrt only when it is there."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import platform
from collections.abc import Iterator
from pathlib import Path


def code_version() -> str | None:
    """The version of posetrt with the first digits of its code's hash; None where there is none.

    Results are equal to the byte only where the code is the same.
    """
    spec = importlib.util.find_spec("posetrt")
    if spec is None or spec.origin is None:
        return None
    import posetrt

    digest = hashlib.sha256()
    for path in _sources(Path(spec.origin).parent):
        digest.update(path.read_bytes())
    return f"{posetrt.__version__} (code {digest.hexdigest()[:10]})"


def _sources(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in ("__pycache__", "ros2", "examples"):
            yield from _sources(path)
        elif path.suffix == ".py":
            yield path


def complaint(expected: str, job: bytes, first: bytes) -> tuple[str, str | None]:
    """This machine's name, and why it cannot do the work; None where it can.

    Args:
        expected: `code_version()` of the driver.
        job: the pickled `Job`.
        first: the pickled first item.
    """
    here = code_version()
    if here is None:
        return platform.node(), f"has no posetrt in its Python ({platform.python_version()}); install posetrt {expected} there"
    if here != expected:
        return platform.node(), f"has posetrt {here}; this machine has {expected}. Install the same on both"
    try:
        pickle.loads(job).check(pickle.loads(first))  # noqa: S301 comes from our own driver
    except Exception as error:  # noqa: BLE001 whatever it is, the user is told
        name = "" if hasattr(error, "exit_code") else f"{type(error).__name__}: "
        return platform.node(), f"{name}{error}"
    return platform.node(), None
