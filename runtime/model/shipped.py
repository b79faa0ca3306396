"""The networks that ship with the package, and the copy of each that a user's engines are built in."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib import resources
from pathlib import Path

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import sha256_of

SHIPPED = ("nano",)
"""Their names, which may stand wherever a model folder may; the first is used where none is named."""

CACHE_VARIABLE = "POSETRT_CACHE"
"""Environment variable: the folder of the users' copies, in place of `~/.cache/posetrt`."""


def shipped_model(name: str = SHIPPED[0]) -> Path:
    """The model folder of a network that ships with the package. Nothing is written to it: see `own_copy`.

    Raises:
        UsageError: no network of that name ships.
        PosetrtError: this installation lacks its files.
    """
    if name not in SHIPPED:
        raise UsageError(f"no network {name!r} ships with posetrt: give one of {', '.join(SHIPPED)}, or the path of a model folder")
    folder = _packaged(name)
    if not (folder / "model.onnx").is_file():
        raise PosetrtError(f"this installation of posetrt lacks {folder / 'model.onnx'}; install it again from a wheel or a checkout")
    return folder


def shipped_name(path: str | Path) -> str | None:
    """The name of the shipped network whose folder (or a user's copy of it) this is; None for every other folder."""
    for name in SHIPPED:
        folder = _packaged(name)
        if (folder / "model.onnx").is_file() and Path(path) in (folder, _copy_of(name)):
            return name
    return None


def as_shipped(folder: Path) -> bool:
    """Whether the folder of a network that ships has the ranges that it ships with; a user's copy may have been calibrated since."""
    name = shipped_name(folder)
    if name is None:
        return False
    ours, theirs = (path / "calibration.json" for path in (_packaged(name), folder))
    return theirs.is_file() and sha256_of(ours) == sha256_of(theirs)


def network_folder(given: str | Path) -> Path:
    """Where a network stands that was given by its path, or by the name of one that ships; a folder of that name comes first.

    Of a network that ships, the user's own copy where there is one.
    """
    path = Path(given)
    name = str(given) if str(given) in SHIPPED and not path.exists() else shipped_name(path)
    if name is None:
        return path
    copy = _copy_of(name)
    return copy if copy.is_dir() else shipped_model(name)


def own_copy(given: str | Path) -> Path:
    """As `network_folder`, for commands that write to the folder: of a network that ships, the user's copy, made where absent.

    Raises:
        PosetrtError: it cannot be made.
    """
    path = network_folder(given)
    name = shipped_name(path)
    if name is None or path == _copy_of(name):
        return path
    copy = _copy_of(name)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=copy.parent) as beside:
            whole = Path(beside) / copy.name
            shutil.copytree(path, whole)
            if not copy.is_dir():
                whole.rename(copy)
    except OSError as error:
        if not copy.is_dir():
            raise PosetrtError(
                f"cannot copy {name} to {copy}, where its engines are built: {error.strerror or error}. "
                f"Set {CACHE_VARIABLE} to a folder that you may write to"
            ) from error
    return copy


def _packaged(name: str) -> Path:
    return Path(str(resources.files("posetrt.runtime.model").joinpath("networks").joinpath(name)))


def _copy_of(name: str) -> Path:
    """Where a user's copy stands; another version's network has another copy."""
    base = os.environ.get(CACHE_VARIABLE) or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "posetrt"
    return Path(base) / "networks" / f"{name}-{sha256_of(_packaged(name) / 'model.onnx')[:12]}"
