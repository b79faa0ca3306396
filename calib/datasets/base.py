"""What `posetrt eval` asks of a data set, and what all readers of annotation files share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.packages import install_hint
from posetrt.runtime.people import People


class Judged(Protocol):
    """A data set's verdict on the people found on its photographs."""

    @property
    def figures(self) -> Mapping[str, float | None]:
        """Every figure by its key, 0 to 1, the main one first; None where nothing of that kind is annotated or found in the skeleton."""

    @property
    def left_out(self) -> Sequence[str]:
        """Parts that the data set annotates and the skeleton has not: no figure counts them."""

    def main(self, draw: NDArray[np.integer[Any]]) -> float:
        """The main figure of the photographs numbered in `draw`, each as often as it stands there."""


class AnnotatedPhotos(Protocol):
    """Photographs, and how the people found on them are judged."""

    @property
    def name(self) -> str:
        """Of the data set, for people."""

    @property
    def titles(self) -> Mapping[str, str]:
        """Key of each figure → title of its column, the main one first."""

    @property
    def photographs(self) -> Sequence[Path]:
        """In the order in which `judge` takes their people."""

    @property
    def boxes(self) -> Sequence[NDArray[np.float64] | None]:
        """Of each photograph the (B, 4) boxes of its annotated people: x, y, width, height, for a network that looks at one person in a box.
        None for a photograph of one person that is to be looked at as a whole."""

    def judge(self, found: Sequence[People], skeleton: Skeleton) -> Judged:
        """Judge people.

        Args:
            found: of each photograph, in its pixels.

        Raises:
            UsageError: the skeleton has none of the data set's parts.
        """


def locate(names: Sequence[str], images: Path, annotations: Path) -> list[Path]:
    """The photographs that an annotation file names, in a folder that holds them with all, some or none of the names' own folders.

    Raises:
        UsageError: no such folder.
        PosetrtError: photographs are missing.
    """
    if not images.is_dir():
        raise UsageError(f"there is no folder {images}")
    paths = [_below(images, name) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if missing:
        raise PosetrtError(
            f"{images} lacks {len(missing)} of the {len(names)} photographs that {annotations.name} names, as {', '.join(missing[:3])}"
        )
    return [path for path in paths if path is not None]


def _below(images: Path, name: str) -> Path | None:
    steps = Path(name.replace("\\", "/")).parts
    for first in range(len(steps)):
        path = images.joinpath(*steps[first:])
        if path.is_file():
            return path
    return None


def require(fields: Any, keys: Sequence[str], where: str, dataset: str) -> None:
    """Refuse an object that lacks keys.

    Raises:
        PosetrtError: says which, of which object, and what is there.
    """
    if not isinstance(fields, Mapping):
        raise PosetrtError(f"{where}: an object with {', '.join(keys)} was expected ({dataset}); got {type(fields).__name__}")
    missing = [key for key in keys if key not in fields]
    if missing:
        raise PosetrtError(f"{where} lacks {', '.join(missing)}, which {dataset} has; it holds {', '.join(list(fields)[:8]) or 'nothing'}")


def read_mat(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file (up to version 7), structures as objects with attributes.

    Raises:
        PosetrtError: unreadable, or SciPy is missing.
    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ModuleNotFoundError as error:
        raise PosetrtError(f"reading {path.name} needs the package scipy: {install_hint('scipy')}") from error
    try:
        variables = loadmat(str(path), struct_as_record=False, squeeze_me=True)
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise PosetrtError(f"{path} cannot be read as a MATLAB file of version 4 to 7: {error}") from error
    return {key: value for key, value in variables.items() if not key.startswith("__")}


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of those that are there; None where none is."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
