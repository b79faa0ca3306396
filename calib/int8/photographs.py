"""Photographs for calibration: the files of a folder, read and letterboxed exactly as the runtime does, and the hash of the set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import sha256_of
from posetrt.runtime.sources import photos_in, read_photo


def photographs_in(folder: Path) -> list[Path]:
    """The image files of a folder, by name.

    Raises:
        UsageError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; --images takes a folder with photographs of people")
    try:
        return photos_in(folder)
    except PosetrtError as error:
        raise UsageError(f"{error}; calibration needs photographs of people, 50 or more") from error


def sample(paths: Sequence[Path], count: int, seed: int) -> list[Path]:
    """`count` of the paths, drawn by `seed`, in the order given; all of them where there are fewer."""
    if count >= len(paths):
        return list(paths)
    chosen = np.random.default_rng(seed).permutation(len(paths))[:count]
    return [paths[index] for index in sorted(chosen.tolist())]


def read_photograph(path: Path) -> NDArray[np.uint8]:
    """A photograph as (H, W, 3) uint8 BGR; a grey one gets three equal channels.

    Raises:
        PosetrtError: broken, or no image.
    """
    return read_photo(path)


def set_hash(paths: Sequence[Path]) -> str:
    """One SHA-256 for a set of images: over the sorted hashes of their bytes, so that names and order do not matter."""
    digest = hashlib.sha256()
    for one in sorted(sha256_of(path) for path in paths):
        digest.update(bytes.fromhex(one))
    return digest.hexdigest()
