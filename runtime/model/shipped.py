"""The model folders that ship with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from posetrt.runtime.errors import PosetrtError, UsageError

SHIPPED = ("nano",)


def shipped_model(name: str = "nano") -> Path:
    """The model folder of a network that ships with the package. It is read-only to users: copy it before building engines in it.

    Raises:
        UsageError: no network of that name ships.
        PosetrtError: this installation lacks its files.
    """
    if name not in SHIPPED:
        raise UsageError(f"no network {name!r} ships with posetrt: give one of {', '.join(SHIPPED)}, or the path of a model folder")
    folder = Path(str(resources.files("posetrt.runtime.model").joinpath("networks").joinpath(name)))
    if not (folder / "model.onnx").is_file():
        raise PosetrtError(f"this installation of posetrt lacks {folder / 'model.onnx'}; install it again from a wheel or a checkout")
    return folder
