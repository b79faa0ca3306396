"""What `posetrt eval` asks of a data set, and what all readers of annotation files share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError, printable
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
    def notes(self) -> Sequence[str]:
        """What was mended in the annotations, a sentence each, for the user."""

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

    As many of the names' leading folders are left out as it takes to find the first photograph, of all names alike: a photograph of
    another folder that only has the same last name is never taken.

    Raises:
        UsageError: no such folder.
        PosetrtError: photographs are missing, two names are one file, or a name leads out of the folder.
    """
    if not images.is_dir():
        raise UsageError(f"there is no folder {images}")
    steps = [_steps(name, annotations) for name in names]
    tries = []
    for left_out in range(max((len(one) for one in steps), default=1)):
        paths = [images.joinpath(*one[min(left_out, len(one) - 1) :]) for one in steps]
        if len(set(paths)) < len(set(steps)):
            break
        tries.append(paths)
        if any(_is_file(path) for path in paths):
            break
    found = tries[-1] if tries and any(_is_file(path) for path in tries[-1]) else tries[0] if tries else []
    missing = [name for name, path in zip(names, found, strict=True) if not _is_file(path)]
    if missing:
        raise PosetrtError(
            f"{images} lacks {len(missing)} of the {len(names)} photographs that {annotations.name} names, as {', '.join(missing[:3])}"
        )
    return found


def _steps(name: str, annotations: Path) -> tuple[str, ...]:
    """Folders and file of a name; one that begins at the root or a drive is taken from there on.

    Raises:
        PosetrtError: it goes upwards, or holds what no file name has.
    """
    steps = tuple(step for step in name.replace("\\", "/").split("/") if step not in ("", "."))
    if not steps or ".." in steps or name != printable(name):
        raise PosetrtError(f"{annotations} names the photograph {name!r}, which is no file below the folder of the photographs")
    return steps[1:] if len(steps) > 1 and steps[0].endswith(":") else steps


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long
        return False


def require(fields: Any, keys: Sequence[str], where: str, dataset: str) -> None:
    """Refuse an object that lacks keys.

    Raises:
        PosetrtError: says which, of which object, and what is there.
    """
    if not isinstance(fields, Mapping):
        raise PosetrtError(f"{where}: an object with {', '.join(keys)} was expected ({dataset}); got {type(fields).__name__}")
    missing = [key for key in keys if key not in fields]
    if missing:
        held = ", ".join(map(str, list(fields)[:8])) or "nothing"
        raise PosetrtError(f"{where} lacks {', '.join(missing)}, which {dataset} has; it holds {held}")


def whole_number(value: Any, where: str, field: str) -> int:
    """A whole number that a file states, also one that it writes as text or as 3.0.

    Raises:
        PosetrtError: it is none.
    """
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not number.is_integer() or abs(number) > 2**53:
        raise PosetrtError(f"{where}: {field} is {str(value)[:60]!r}; a whole number was expected")
    return int(number)


def numbers(value: Any, shape: tuple[int, ...], where: str, field: str) -> NDArray[np.float64]:
    """Finite numbers of a shape, -1 where any count will do.

    Raises:
        PosetrtError: null, text, NaN, or another count.
    """
    try:
        array = np.array(value, np.float64).reshape(shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise PosetrtError(f"{where}: {field} is not {'x'.join(map(str, shape)).replace('-1', 'N')} numbers ({error})") from error
    if not np.isfinite(array).all():
        raise PosetrtError(f"{where}: {field} holds null, NaN or an infinite number; finite numbers were expected")
    return array


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
