"""What every tensor of a network holds while it looks at photographs: one pass, and memory that does not grow with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.histogram import SMALLEST, Distribution, Histogram, merged
from posetrt.export.graph.graph import Graph
from posetrt.runtime.engines.onnxruntime import open_session as session_on_cpu
from posetrt.runtime.errors import PosetrtError

# A photograph on which a tensor reaches more than 2 ** BURST times what it usually reaches is a burst of that tensor.
BURST = 3
# So many of the photographs on which a tensor bursts are remembered by name.
NAMED = 5
# How far the network's channels reach is read from so many photographs.
PEAK_IMAGES = 64

Inputs = Iterable[tuple[Path, NDArray[np.float32] | NDArray[np.uint8]]]


@dataclass
class Seen:
    """What one tensor held, sorted by how far it reached on each photograph, so that the few on which it reaches much further can be told apart.

    Attributes:
        shape: of the tensor, batch included, as first seen.
        by_reach: the values of all photographs on which the tensor's largest magnitude lies between 2 ** (exponent - 1) and 2 ** exponent, by exponent.
        with_people: how many of them show people, by exponent.
        furthest: the photographs on which it reached furthest, with the magnitude; the furthest first.
    """

    shape: tuple[int, ...]
    by_reach: dict[int, Reached] = field(default_factory=dict)
    with_people: Counter[int] = field(default_factory=Counter)
    furthest: list[tuple[float, str]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Photographs that were looked at."""
        return sum(one.count for one in self.by_reach.values())

    @property
    def usual(self) -> int | None:
        """The exponent of what the tensor usually reaches: the median over photographs that show people; None where it is nearly always 0."""
        counts = self.with_people if self.with_people else Counter({exponent: one.count for exponent, one in self.by_reach.items()})
        total, below = sum(counts.values()), 0
        for exponent in sorted(counts):
            below += counts[exponent]
            if 2 * below >= total:
                return exponent if exponent > SMALLEST else None
        return None

    def bursts(self) -> dict[int, Reached]:
        """The photographs on which the tensor reaches more than eight times as far as usual, by exponent."""
        usual = self.usual
        return {} if usual is None else {exponent: one for exponent, one in self.by_reach.items() if exponent > usual + BURST}

    def distribution(self, *, bursts: bool = True) -> Distribution:
        """The values of all photographs, or of those on which the tensor does not burst."""
        left_out = {} if bursts else self.bursts()
        parts = [one.distribution() for exponent, one in self.by_reach.items() if exponent not in left_out]
        return parts[0] if len(parts) == 1 else merged(parts, np.ones(len(parts)))


@dataclass
class Reached:
    """The values of a tensor on photographs on which it reaches about equally far.

    Attributes:
        count: photographs.
        low, high: smallest and largest value.
    """

    count: int = 0
    low: float = np.inf
    high: float = -np.inf
    histogram: Histogram = field(default_factory=lambda: Histogram(1))

    def add(self, values: NDArray[np.float32], low: np.float32, high: np.float32) -> None:
        """Count the values of one more photograph."""
        self.count += 1
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        self.histogram.add(values.reshape(1, -1), np.array([low]), np.array([high]))

    def distribution(self) -> Distribution:
        """What they held."""
        return self.histogram.row(0, self.low, self.high)


@dataclass
class Observation:
    """What a network did on a set of images.

    Attributes:
        tensors: what was seen, by tensor name.
        count: images that were looked at.
        empty: how many of them showed nobody, as the head tells.
    """

    tensors: dict[str, Seen] = field(default_factory=dict)
    count: int = 0
    empty: int = 0

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor."""
        return {name: seen.shape for name, seen in self.tensors.items()}


def observe(
    graph: Graph,
    inputs: Inputs,
    *,
    unseen: Collection[str] = (),
    people_in: Callable[[dict[str, NDArray[np.float32]]], bool] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Observation:
    """Run a graph over images and count the values of every float tensor.

    Args:
        inputs: path (for errors) and input tensor of each image, batch 1.
        unseen: tensors that nobody needs, such as the inputs of ReLUs.
        people_in: tells from the outputs, by name, whether anybody was seen.
        progress: called after each image.

    Raises:
        PosetrtError: an activation is NaN or infinite (the tensor and the image are named), or the graph does not run.
    """
    names = [name for name in graph.float_tensors if name not in graph.inputs and (name not in unseen or name in graph.outputs)]
    outputs = set(graph.outputs)
    # Of whole numbers, as the classes of an end-to-end detector, only `people_in` makes something.
    uncounted = outputs.difference(names)
    seen = Observation()
    for path, everything in _run(graph, [*names, *sorted(uncounted)], inputs):
        people = people_in is None or people_in({name: everything[name] for name in outputs if name in everything})
        for name, value in everything.items():
            # A graph may hold a tensor of nothing, as the key points of a detector, or end with the people that it found: none.
            if value.size and name not in uncounted:
                _count(seen, name, value, people, path)
        seen.empty += not people
        seen.count += 1
        progress()
    return seen


def channel_peaks(
    graph: Graph,
    names: Sequence[str],
    inputs: Inputs,
    *,
    people_in: Callable[[dict[str, NDArray[np.float32]]], bool] | None = None,
    enough: int = PEAK_IMAGES,
) -> dict[str, NDArray[np.float32]]:
    """The largest magnitude of each channel on each of the first `enough` images that show people; on the first images, where none does.

    Args:
        names: tensors with channels in their second axis.
        inputs, people_in: as for `observe`.

    Returns:
        (images, C) float32 by tensor, without the images on which the tensor bursts.

    Raises:
        PosetrtError: as for `observe`.
    """
    shown: list[list[NDArray[np.float32]]] = []
    empty: list[list[NDArray[np.float32]]] = []
    wanted = list(dict.fromkeys([*names, *graph.outputs]))
    for path, everything in _run(graph, wanted, inputs):
        people = people_in is None or people_in({name: everything[name] for name in graph.outputs})
        if not people and len(empty) >= enough:
            continue
        for name in names:
            _extremes(name, everything[name], path)
        (shown if people else empty).append([np.abs(everything[name]).max(axis=(0, *range(2, everything[name].ndim))) for name in names])
        if len(shown) >= enough:
            break
    peaks = shown or empty
    return {name: _without_bursts(np.array([one[place] for one in peaks])) for place, name in enumerate(names) if peaks}


def channel_ends(
    graph: Graph, names: Sequence[str], inputs: Inputs, enough: int = PEAK_IMAGES
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The smallest and the largest value of each channel, (C,) float32 each, on the first `enough` images.

    Args:
        names: tensors with channels in their second axis.
        inputs: as for `observe`.

    Raises:
        PosetrtError: as for `observe`.
    """
    found: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    for _, everything in _run(graph, list(names), islice(inputs, enough)) if names else ():
        for name in names:
            value = everything[name]
            axes = (0, *range(2, value.ndim))
            low, high = value.min(axis=axes), value.max(axis=axes)
            known = found.get(name, (low, high))
            found[name] = np.minimum(low, known[0]), np.maximum(high, known[1])
    return found


def _without_bursts(peaks: NDArray[np.float32]) -> NDArray[np.float32]:
    exponents = np.frexp(peaks.max(axis=1))[1]
    usual = int(np.sort(exponents)[(len(exponents) - 1) // 2])
    kept: NDArray[np.float32] = peaks[exponents <= usual + BURST]
    return kept


def _run(graph: Graph, names: list[str], inputs: Inputs) -> Iterator[tuple[Path, dict[str, NDArray[np.float32]]]]:
    """Each image with the tensors named and the graph's float input; the network looks at the next image while this one is used."""
    for name, constant in graph.constants.items():
        if constant.dtype.kind == "f" and not np.isfinite(constant).all():
            raise PosetrtError(f"weight {name!r} of {graph.where} holds NaN or infinity; export the network again from sound weights")
    session = open_session(graph, names)
    feed = graph.inputs[0]

    def infer(path: Path, tensor: NDArray[np.float32] | NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        try:
            values = dict(zip(names, session.run(names, {feed: tensor}), strict=True))
        except Exception as error:
            raise PosetrtError(f"ONNX Runtime cannot run {graph.where} on {path.name}: {error}") from error
        if tensor.dtype == np.float32:
            values[feed] = np.asarray(tensor, np.float32)
        return values

    with ThreadPoolExecutor(1) as ahead:
        waiting: tuple[Path, Future[dict[str, NDArray[np.float32]]]] | None = None
        for path, tensor in inputs:
            started = (path, ahead.submit(infer, path, tensor))
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = started
        if waiting is not None:
            yield waiting[0], waiting[1].result()


def _extremes(name: str, value: NDArray[np.float32], path: Path) -> tuple[np.float32, np.float32]:
    """Smallest and largest value of a tensor."""
    low, high = value.min(), value.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        what = "NaN" if np.isnan(low) or np.isnan(high) else "infinity"
        raise PosetrtError(
            f"tensor {name!r} holds {what} on {path.name}: no range can be found for it. "
            "The network itself overflows there; check its weights, and that --normalise fits what it was trained with"
        )
    return np.float32(low), np.float32(high)


def _count(seen: Observation, name: str, value: NDArray[np.float32], people: bool, path: Path) -> None:
    """Add one tensor of one image."""
    low, high = _extremes(name, value, path)
    known = seen.tensors.setdefault(name, Seen(tuple(value.shape)))
    magnitude = max(-float(low), float(high))
    exponent = max(int(np.frexp(magnitude)[1]), SMALLEST)
    known.by_reach.setdefault(exponent, Reached()).add(value, low, high)
    if people:
        known.with_people[exponent] += 1
    known.furthest = sorted([*known.furthest, (magnitude, path.name)], key=lambda one: (-one[0], one[1]))[:NAMED]


def open_session(graph: Graph, names: list[str]) -> Any:
    """An ONNX Runtime session of the graph with every tensor of `names` as an output."""
    import onnx

    model = graph.copy().model
    present = set(graph.outputs)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return session_on_cpu(model.SerializeToString())
