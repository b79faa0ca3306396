"""A network's parameters, handed out by name and shape; what does not fit is told in one error."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError

_SHOWN = 12


class Parameters:
    """Arrays of a weight file, taken one after the other by a network that knows which it needs.

    Args:
        arrays: name → array; None stands in with zeros that take no memory, to learn what a network needs.

    Attributes:
        shapes: name → shape of everything taken so far.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]] | None) -> None:
        self._arrays = arrays
        self._wrong: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def sizes(self) -> dict[str, int]:
        """Name → how many numbers, of everything taken so far."""
        return {name: int(np.prod(shape)) for name, shape in self.shapes.items()}

    def take(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The array `name` as float32 of `shape`; zeros where it is missing or misshapen, which `check` then reports."""
        self.shapes[name] = shape
        zeros: NDArray[np.float32] = np.broadcast_to(np.float32(0), shape)
        if self._arrays is None:
            return zeros
        array = self._arrays.get(name)
        if array is None:
            return zeros
        if array.shape != shape:
            self._wrong.append(f"{name} is {'×'.join(map(str, array.shape)) or 'a single number'}, expected {'×'.join(map(str, shape))}")
            return zeros
        if not np.isfinite(array).all():
            self._wrong.append(f"{name} holds NaN or infinite values")
            return zeros
        with np.errstate(over="ignore"):
            taken: NDArray[np.float32] = np.ascontiguousarray(array, np.float32)
        if array.dtype == np.float64 and not np.isfinite(taken).all():
            self._wrong.append(f"{name} holds values beyond float32's range")
            return zeros
        return taken

    def check(self, where: str, network: str, unused: Sequence[str] = ()) -> None:
        """Refuse a file that is not this network's.

        Args:
            where: the file, for the error.
            network: the network, for the error.
            unused: patterns (`*.fc.*`) of names that the file may hold and the network does not use.

        Raises:
            PosetrtError: lists missing, extra, misshapen and non-finite arrays by name.
        """
        arrays = self._arrays or {}
        missing = [name for name in self.shapes if name not in arrays]
        extra = [name for name in arrays if name not in self.shapes and not any(fnmatch.fnmatchcase(name, part) for part in unused)]
        problems = [
            f"{title}: {', '.join(names[:_SHOWN])}" + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
            for title, names in (("missing", missing), ("not of this network", extra), ("wrong", self._wrong))
            if names
        ]
        if problems:
            hint = (
                "The file belongs to another network; `posetrt export --list` shows which file each one takes"
                if missing or extra
                else "Take the file from its authors again"
            )
            raise PosetrtError(f"{where} does not fit {network}. {'; '.join(problems)}. {hint}")
