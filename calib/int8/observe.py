"""What every tensor of a network holds while it looks at photographs: one pass, and memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrt.calib.int8.histogram import Distribution, Histogram, merged
from posetrt.export.graph.graph import Graph
from posetrt.runtime.errors import PosetrtError


@dataclass
class Seen:
    """What one tensor held.

    Attributes:
        low, high: (C,) float32: smallest and largest value of each channel.
        shape: of the tensor, batch included, as first seen.
        histogram: of the whole tensor (1 row) or of each channel (C rows).
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    shape: tuple[int, ...]
    histogram: Histogram

    def distribution(self, divisors: NDArray[np.float64] | None = None) -> Distribution:
        """The tensor as a whole.

        Args:
            divisors: (C,) what equalisation divides each channel by; needs a histogram a channel.
        """
        if self.histogram.rows == 1:
            if divisors is not None and np.any(divisors != 1):
                raise ValueError("rescaling channels needs a histogram for each of them")
            return self.histogram.row(0, float(self.low.min()), float(self.high.max()))
        factors = np.ones(len(self.low)) if divisors is None else 1.0 / divisors
        return merged(self.channels(), factors)

    def channels(self) -> list[Distribution]:
        """Each channel by itself; needs a histogram a channel."""
        if self.histogram.rows != len(self.low):
            raise ValueError("this tensor was not observed channel by channel")
        return [self.histogram.row(index, float(self.low[index]), float(self.high[index])) for index in range(len(self.low))]


@dataclass
class Observation:
    """What a network did on a set of images.

    Attributes:
        tensors: what was seen, by tensor name.
        count: images that were looked at.
        empty: how many of them showed nobody: no heat map of a part reached 0.2.
    """

    tensors: dict[str, Seen] = field(default_factory=dict)
    count: int = 0
    empty: int = 0


def observe(
    graph: Graph,
    inputs: Iterable[tuple[Path, NDArray[np.float32] | NDArray[np.uint8]]],
    *,
    by_channel: Collection[str] = (),
    unseen: Collection[str] = (),
    people_in: Callable[[dict[str, NDArray[np.float32]]], bool] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Observation:
    """Run a graph over images and count the values of every float tensor.

    Args:
        inputs: path (for errors) and input tensor of each image, batch 1.
        by_channel: tensors that need a histogram for each channel.
        unseen: tensors that nobody needs, such as the inputs of ReLUs.
        people_in: tells from the outputs, by name, whether anybody was seen.
        progress: called after each image.

    Raises:
        PosetrtError: an activation is NaN or infinite (the tensor and the image are named), or the graph does not run.
    """
    for name, constant in graph.constants.items():
        if constant.dtype.kind == "f" and not np.isfinite(constant).all():
            raise PosetrtError(f"weight {name!r} of {graph.where} holds NaN or infinity; export the network again from sound weights")
    names = [name for name in graph.float_tensors if name not in graph.inputs and (name not in unseen or name in graph.outputs)]
    session = open_session(graph, names)
    feed = graph.inputs[0]
    outputs = set(graph.outputs)
    seen = Observation()

    def infer(path: Path, tensor: NDArray[np.float32] | NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        try:
            return list(session.run(names, {feed: tensor}))
        except Exception as error:
            raise PosetrtError(f"ONNX Runtime cannot run {graph.where} on {path.name}: {error}") from error

    def take(path: Path, tensor: NDArray[np.float32] | NDArray[np.uint8], values: list[NDArray[np.float32]]) -> None:
        everything = dict(zip(names, values, strict=True))
        if tensor.dtype == np.float32:
            everything[feed] = np.asarray(tensor, np.float32)
        for name, value in everything.items():
            _count(seen, name, value, name in by_channel, path)
        if people_in is not None and not people_in({name: everything[name] for name in outputs if name in everything}):
            seen.empty += 1
        seen.count += 1
        progress()

    # The network looks at the next image while the values of this one are counted.
    with ThreadPoolExecutor(1) as ahead:
        waiting: tuple[Path, NDArray[Any], Future[list[NDArray[np.float32]]]] | None = None
        for path, tensor in inputs:
            started = (path, tensor, ahead.submit(infer, path, tensor))
            if waiting is not None:
                take(waiting[0], waiting[1], waiting[2].result())
            waiting = started
        if waiting is not None:
            take(waiting[0], waiting[1], waiting[2].result())
    return seen


def _count(seen: Observation, name: str, value: NDArray[np.float32], by_channel: bool, path: Path) -> None:
    """Add one tensor of one image."""
    channels = value.shape[1] if value.ndim == 4 else 1
    flat = value.reshape(channels, -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        what = "NaN" if np.isnan(low).any() else "infinity"
        raise PosetrtError(
            f"tensor {name!r} holds {what} on {path.name}: no range can be found for it. "
            "The network itself overflows there; check its weights, and that --normalise fits what it was trained with"
        )
    known = seen.tensors.get(name)
    if known is None:
        known = seen.tensors[name] = Seen(low.copy(), high.copy(), tuple(value.shape), Histogram(channels if by_channel else 1))
    else:
        np.minimum(known.low, low, out=known.low)
        np.maximum(known.high, high, out=known.high)
    if by_channel:
        known.histogram.add(flat, low, high)
    else:
        known.histogram.add(value.reshape(1, -1), low.min(keepdims=True), high.max(keepdims=True))


def open_session(graph: Graph, names: list[str]) -> Any:
    """An ONNX Runtime session of the graph with every tensor of `names` as an output."""
    import onnx
    import onnxruntime

    model = graph.copy().model
    present = set(graph.outputs)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
