"""A network of known speed and known people, for what does not depend on a real one: rates, ages, drops, faults."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.engines.base import Engine
from posetrt.runtime.find.whole_frame import WholeFrame
from posetrt.runtime.heads.base import Tensors
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.pose import Pose
from posetrt.runtime.sources import Frame
from tests.heads import DECODED

SIZE_WH = (64, 64)


class StandIn(Engine):
    """Takes `latency_s` a batch, asleep as a CPU is while a GPU works, and sees one person standing in the middle.

    Args:
        latency_s: a batch.
        max_batch: of the manifest.
        frames_in_flight: 2 makes the pipeline treat it as a GPU.
        before: called with the number of the batch before it is worked on; may raise or sleep.
        value: multiplies the outputs; NaN makes a network that fails silently.
    """

    backend = "stand-in"
    precision = "fp32"

    def __init__(
        self,
        latency_s: float = 0.0,
        *,
        max_batch: int = 1,
        frames_in_flight: int = 1,
        before: Callable[[int], None] | None = None,
        value: float = 1.0,
    ) -> None:
        skeleton = load_skeleton("coco18")
        spec = InputSpec("image", "NHWC", SIZE_WH, SIZE_WH, SIZE_WH, max_batch=max_batch, dtype="uint8")
        self.manifest = Manifest("stand-in", skeleton, spec, DECODED)
        self.frames_in_flight = frames_in_flight
        self.batches: list[int] = []
        self.took_s: list[float] = []
        self._latency_s = latency_s
        self._before = before
        peaks = np.zeros((1, 18, 2, 3), np.float32)
        peaks[0, :, 0] = [[4 + part % 3 - 1, part / 3, 0.9] for part in range(18)]
        pairs = np.zeros((1, 19, 2, 2), np.float32)
        pairs[0, :, 0, 0] = 0.9
        self._peaks, self._pairs = peaks * np.float32(value), pairs * np.float32(value)
        self._waiting: list[int] = []

    def infer(self, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> Tensors:
        self.submit(inputs)
        return self.collect()

    def submit(self, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> None:
        assert len(self._waiting) < self.frames_in_flight
        if self._before is not None:
            self._before(len(self.batches))
        self.batches.append(len(inputs))
        self._waiting.append(len(inputs))

    def collect(self) -> Tensors:
        began = time.perf_counter()
        time.sleep(self._latency_s)
        self.took_s.append(time.perf_counter() - began)
        count = self._waiting.pop(0)
        return {"peaks": np.repeat(self._peaks, count, 0), "pairs": np.repeat(self._pairs, count, 0)}

    def close(self) -> None:
        pass


def stand_in(latency_s: float = 0.0, **given: object) -> Pose:
    """A `Pose` over such an engine."""
    return Pose(WholeFrame(StandIn(latency_s, **given)))  # type: ignore[arg-type]


def frames(count: int, size_wh: tuple[int, int] = SIZE_WH) -> list[Frame]:
    """Frames whose first pixel tells their number."""
    made = []
    for index in range(count):
        image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
        image[0, 0] = (index & 255, index >> 8 & 255, index >> 16 & 255)
        made.append(Frame(image, f"frame_{index:012d}", index, index / 30))
    return made


class Listed:
    """Frames of a list, as a file's source."""

    live = False
    state = "on"
    fps: float | None = 30.0
    shortfall: str | None = None

    def __init__(self, given: list[Frame], label: str = "listed") -> None:
        self.label = label
        self.skipped: list[str] = []
        self._given = given

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._given)

    def close(self) -> None:
        pass
