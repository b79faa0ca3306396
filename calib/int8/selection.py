"""Calibration images that cover what a network can see, rather than the first of a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.observe import open_session
from posetrt.calib.int8.photographs import read_photograph, sample
from posetrt.export.graph.graph import load_graph
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.picture import network_input

CANDIDATES = 8


def select(
    folder: ModelFolder,
    images: Sequence[Path],
    count: int,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Path]:
    """Choose images so that activations of every kind are among them.

    Each candidate is described by how far every activated layer of the network reaches on it and by how much its maps hold, which
    tells large people from small and many from few. The image nearest to the middle comes first, then each time the one farthest from
    all that were chosen (k-center: Sener & Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018).

    Args:
        images: to choose from; of more than 8 · count a random 8 · count are looked at.
        count: how many; all images where there are not more, and fewer where the others look the same to the network.
        seed: of the draw.

    Returns:
        The chosen images, in the order of `images`.

    Raises:
        UsageError: `count` is below 1.
        PosetrtError: no image can be read.
    """
    if count < 1:
        raise UsageError(f"--select takes 1 or more images, not {count}")
    candidates = sample(images, CANDIDATES * count, seed)
    if len(candidates) <= count:
        return candidates
    described, readable = _describe(folder, candidates, progress)
    chosen = set(k_center(described, count))
    return [path for index, path in enumerate(readable) if index in chosen]


def k_center(points: NDArray[np.float64], count: int) -> list[int]:
    """Indices of `count` points that leave none far from all of them, fewer where no other differs; greedy, and the same for the same points.

    Args:
        points: (N, D) float64.
    """
    first = int(np.argmin(((points - np.median(points, axis=0)) ** 2).sum(axis=1)))
    chosen = [first]
    nearest = ((points - points[first]) ** 2).sum(axis=1)
    while len(chosen) < min(count, len(points)) and nearest.max() > 0:
        farthest = int(np.argmax(nearest))
        chosen.append(farthest)
        nearest = np.minimum(nearest, ((points - points[farthest]) ** 2).sum(axis=1))
    return chosen


def _describe(folder: ModelFolder, paths: Sequence[Path], progress: Callable[[int, int], None]) -> tuple[NDArray[np.float64], list[Path]]:
    """(N, D) float64 descriptions, each column of unit spread, and the paths that could be read."""
    graph, manifest = load_graph(folder.onnx), folder.manifest()
    names = [layer.activated for layer in graph.layers]
    session = open_session(graph, names)
    rows, readable = [], []
    for done, path in enumerate(paths, 1):
        try:
            frame = read_photograph(path)
        except (OSError, PosetrtError):
            continue
        values = session.run(names, {manifest.input.name: network_input(frame, manifest.input)})
        rows.append([reach for value in values for reach in (np.log1p(np.abs(value).max()), np.log1p(np.abs(value).mean()))])
        readable.append(path)
        progress(done, len(paths))
    if not rows:
        raise PosetrtError(f"none of the {len(paths)} images can be read as an image (the first is {paths[0]})")
    table = np.array(rows, np.float64)
    return (table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-9), readable
