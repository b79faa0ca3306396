"""In which order layers are put into float: the most noise taken away for the multiply-adds that leave INT8 with them, first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.plan import eight_bit_layers
from posetrt.calib.int8.scales import Layout
from posetrt.export.graph.graph import Graph, Layer
from posetrt.export.graph.onnx_file import reads

# What a boundary between INT8 and float costs beside the layer itself, as a share of all multiply-adds; without it the smallest layers
# would come first however little they cost.
BOUNDARY = 0.005
LONGEST_RUN = 3
# Graphs that `ranked_by_measuring` tries at most: what bounds the minutes that it takes.
MOST_GRAPHS = 240

# Squared error of the maps on each photograph, (photographs,) float64, with these layers in float and all others in INT8.
MapErrors = Callable[[Sequence[str]], NDArray[np.float64]]


def ranked_by_shares(
    base: Graph,
    noise: Mapping[str, float],
    shares: Mapping[str, float],
    layout: Layout,
    least: float,
    begin_with: Sequence[str] = (),
    least_worth: float = 0.0,
) -> list[str]:
    """Layers in the order in which they are put into float, by the noise that each makes alone.

    Args:
        noise: by layer, its share of what all make one by one.
        shares: by layer, its share of the multiply-adds.
        least: share of the multiply-adds that must stay in INT8; what would leave less is left out.
        begin_with: layers that come first in any case.
        least_worth: ends where a layer takes away no more than so many times as large a share of the noise as of the multiply-adds.
    """
    order = list(begin_with)
    moves = _moves(base, [(name,) for name in noise], order, shares, layout, least)
    while moves:
        worth = {run: sum(noise.get(one, 0.0) for one in gone) / _cost(gone, shares) for run, (_, gone) in moves.items()}
        best = max(worth, key=lambda run: worth[run])
        if worth[best] <= least_worth:
            break
        order += best
        moves = _moves(base, moves, order, shares, layout, least)
    return order


def ranked_by_measuring(
    base: Graph,
    errors: MapErrors,
    shares: Mapping[str, float],
    layout: Layout,
    least: float,
    begin_with: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    near: Collection[str] | None = None,
    enough: Callable[[Sequence[str]], bool] = lambda _order: False,
) -> list[str]:
    """Layers in the order in which they are put into float, each time those with which the whole graph's error falls most.

    In ONNX Runtime's layout a layer's price cannot be told from it alone: sums and concatenations are rounded too, and a layer kept in
    float takes the one before it along; three layers in a row take away much that none of them does alone. So runs of one to three layers are
    tried, each once on the graph as it begins, and after each choice only those that still promise the most (lazy greedy: Minoux,
    "Accelerated greedy algorithms for maximizing submodular set functions", 1978).

    Args:
        errors: of the whole graph with a set of layers in float. Logarithms are compared, so that no photograph decides alone.
        begin_with: layers that come first in any case.
        shares, least: as in `ranked_by_shares`.
        progress: called with graphs tried and about how many will be.
        near: only runs with one of these layers are tried; None tries all.
        enough: asked with the layers so far after each choice; True ends the ranking. After `MOST_GRAPHS` graphs it ends in any case.
    """
    order = list(begin_with)
    tried, expected = 0, 1

    def log_error(kept: Sequence[str]) -> float:
        nonlocal tried
        tried += 1
        progress(tried, max(tried, expected))
        return float(np.log(np.maximum(errors(kept), 1e-30)).mean())

    now = log_error(order)
    runs = [run for run in _runs(base) if near is None or set(run) & set(near)]
    moves = _moves(base, runs, order, shares, layout, least)
    expected += len(moves) + len(moves) // 4
    # Of each run: its worth, the log error with it, the size of the set with which it was tried.
    promises: dict[tuple[str, ...], tuple[float, float, int]] = dict.fromkeys(moves, (np.inf, 0.0, -1))
    while promises:
        best = max(promises, key=lambda run: promises[run][0])
        worth, with_it, size = promises[best]
        new, gone = moves[best]
        if size != len(order):
            if tried >= MOST_GRAPHS:
                break
            with_it = log_error([*order, *new])
            promises[best] = ((now - with_it) / _cost(gone, shares), with_it, len(order))
            continue
        if worth <= 0:
            break
        order += new
        now = with_it
        if enough(order):
            break
        moves = _moves(base, promises, order, shares, layout, least)
        promises = {run: promises[run] for run in moves}
    return order


def from_the_end(base: Graph) -> list[str]:
    """Layers in the order in which they stand before the outputs: those that make them first, then what these read, along the longest way.

    In networks of several stages a later one makes up for what an earlier one rounded, and nothing makes up for the last.
    """
    layers = {layer.output: layer for layer in base.layers}
    behind: dict[str, int] = {}
    far: dict[str, int] = {}
    for node in reversed(base.nodes):
        steps = max((behind.get(name, 0) for name in node.output if name), default=0)
        layer = layers.get(node.output[0])
        if layer is not None:
            far[layer.name] = steps
            steps += 1
        for name in reads(node):
            behind[name] = max(behind.get(name, 0), steps)
    return sorted(far, key=lambda name: far[name])


def _runs(base: Graph) -> list[tuple[str, ...]]:
    """Every layer, every two and every three that read each other's output, by name."""
    readers: dict[str, list[Layer]] = {}
    for layer in base.layers:
        readers.setdefault(layer.input, []).append(layer)
    found: list[tuple[Layer, ...]] = [(layer,) for layer in base.layers]
    for _ in range(LONGEST_RUN - 1):
        longer = [(*run, reader) for run in found for reader in readers.get(run[-1].activated, [])]
        found += [run for run in longer if run not in found]
    return [tuple(layer.name for layer in run) for run in found]


def _moves(
    base: Graph, runs: Iterable[tuple[str, ...]], order: Sequence[str], shares: Mapping[str, float], layout: Layout, least: float
) -> dict[tuple[str, ...], tuple[list[str], set[str]]]:
    """For each run that can still be put into float, its layers that are not yet, and all that leave INT8 with them.

    What was taken along by another is in float already. In ONNX Runtime's layout those that make the maps are not computed in INT8, and
    yet read 8 bits until they are kept.
    """
    inside = eight_bit_layers(base, layout, order)
    outside = {layer.name for layer in base.layers} - eight_bit_layers(base, layout, ())
    found = {}
    for run in runs:
        new = [name for name in run if name not in order and (name in inside or name in outside)]
        if new:
            left = eight_bit_layers(base, layout, [*order, *new])
            if sum(shares[one] for one in left) >= least:
                found[run] = (new, (inside - left) | set(new))
    return found


def _cost(gone: Iterable[str], shares: Mapping[str, float]) -> float:
    return sum(shares[name] for name in gone) + BOUNDARY
